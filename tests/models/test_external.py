"""Encoders that no plugin declares: from a file, a program, a service, or a module in memory."""

from __future__ import annotations

import base64
import http.server
import io
import json
import pickle
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import Tensor, nn

import faceinv
from faceinv.bench.config import load_config
from faceinv.bench.grid import cells
from faceinv.bench.setup import Setup, make_loader
from faceinv.errors import InputError, UsageError, WeightsError
from faceinv.execution.factory import WorkerFactory
from faceinv.plugins.host import Host
from faceinv.testing import toy

sys.path.insert(0, str(Path(__file__).parent))
from onnx_files import FACE, FACE_ARRAYS, model, run as run_onnx, write

GRID = [
    "bench", "--generator", "toy-faces", "--dataset", "toy-targets", "--limit", "2", "--steps", "5", "--pairs", "200",
    "--losses", "id", "--metric", "mse", "--metric", "id_sim_critic",
]  # fmt: skip
#: An operator that ONNX Runtime knows and the translation does not.
BLACK = model("s = Selu(x) y = Flatten(s)", "float[N,3,8,8] x, float[2,2] unused")


@pytest.fixture
def face(tmp_path: Path) -> Path:
    return write(tmp_path / "Face Net_v2.onnx", model(FACE), FACE_ARRAYS)


def describe(folder: Path, file: str | Path, **facts: Any) -> Path:
    path = folder / "encoder.yaml"
    path.write_text(yaml.safe_dump({"file": str(file), **facts}))
    return path


def load(name: str | Path, cache: Path, **setup: Any) -> Any:
    chosen = Setup(**setup)
    host = chosen.host()
    return make_loader(host, chosen.store(host)).encoder(str(name))


def test_a_file_gets_its_images_as_its_yaml_says(face: Path, tmp_path: Path, cache: Path) -> None:
    path = describe(tmp_path, face.name, colour="bgr", scaling="0..255", framing="tight", licence="Apache-2.0")
    encoder = load(path, cache)
    assert (encoder.spec.dim, encoder.spec.framing.size, encoder.spec.framing.name) == (5, (8, 8), "tight")
    assert encoder.spec.weights_licence == "Apache-2.0"
    images = torch.rand(2, 3, 8, 8)
    expected = run_onnx(face, (255 * images.flip(1)).numpy())
    np.testing.assert_allclose(encoder(images).numpy(), expected, rtol=1e-4, atol=1e-2)


def test_means_prewhitening_and_unit_length(face: Path, tmp_path: Path, cache: Path) -> None:
    images = torch.rand(2, 3, 8, 8)
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]
    encoder = load(describe(tmp_path, face.name, mean=mean, std=std, unit_length=True), cache)
    given = (images - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    expected = run_onnx(face, given.numpy())
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(encoder(images).numpy(), expected, atol=1e-5)
    encoder = load(describe(tmp_path, face.name, scaling="per-image"), cache)
    pixels = 255 * images.numpy()
    whitened = (pixels - pixels.mean((1, 2, 3), keepdims=True)) / pixels.std((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(encoder(images).numpy(), run_onnx(face, whitened), rtol=1e-3, atol=1e-4)


def test_a_name_depends_on_content_and_facts_and_on_no_path(face: Path, tmp_path: Path) -> None:
    def name(given: Path) -> str:
        return str(Host().spec("encoder", str(given)).name)

    plain = name(face)
    assert plain.startswith("face-net-v2.")
    assert Host().spec("encoder", f"onnx:{face}").name == plain
    (tmp_path / "elsewhere").mkdir()
    assert name(Path(shutil.copy(face, tmp_path / "elsewhere"))) == plain
    facts = {name(describe(tmp_path, face.name, colour=colour, licence="x")) for colour in ("rgb", "bgr")}
    assert len(facts) == 2
    assert plain in facts  # RGB is what is assumed, and a licence changes no number
    face.write_bytes(face.read_bytes().replace(b"other", b"Other"))
    assert name(face) != plain


def test_a_bench_attacks_a_file_and_another_judges(
    run: Callable[..., Any], face: Path, tmp_path: Path, cache: Path
) -> None:
    critic = describe(tmp_path, face.name, colour="bgr")
    out = tmp_path / "run"
    result = run(*GRID, "--encoder", face, "--critic", critic, "--json", "--out", out)
    assert result.code == 0, result.err
    assert result.err.count("assumed to be RGB, -1..1, in arcface-112. To check: faceinv encoder inspect") == 1
    (row,) = result.json
    assert row["encoder"].startswith("face-net-v2.")
    (record,) = out.glob("cells/*.json")
    content = json.loads(record.read_text())
    assert str(tmp_path) not in json.dumps(content["config"])
    assert len([name for name in content["weights"] if name.startswith("face-net-v2.")]) == 2
    # A second run computes nothing, and a report needs no file.
    assert run(*GRID, "--encoder", face, "--critic", critic, "--out", out).code == 0
    face.unlink()
    assert run("report", out).code == 0


def test_a_worker_finds_the_file_too(face: Path, tmp_path: Path, cache: Path) -> None:
    setup = Setup(plugins=(toy.__file__,))
    given = {"encoder": str(face), "critic": "toy.critic", "generator": "toy-faces", "dataset": "toy-targets"}
    config, source = load_config(None, {**given, "out": tmp_path / "run"})
    grid = cells(config, setup.host(), source)
    factory = pickle.loads(pickle.dumps(WorkerFactory.of(setup, config, grid)))  # noqa: S301
    runner = factory(device="cpu", progress=None, say=print)
    assert runner.loader.encoder(grid[0].encoder).spec.dim == 5


def test_an_unknown_operator_makes_a_black_box(
    run: Callable[..., Any], tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "black.onnx", BLACK)
    encoder = load(path, cache)
    assert encoder.spec.black_box
    assert "operator Selu" in encoder.spec.summary
    images = torch.rand(2, 3, 8, 8)
    expected = torch.selu(2 * images - 1).flatten(1)
    torch.testing.assert_close(encoder(images), expected)
    out = tmp_path / "run"
    result = run(*GRID, "--encoder", path, "--critic", "toy.critic", "--method", "latent-adam", "--out", out)
    assert result.code == 2
    assert "is a black box" in result.err
    assert "Selu" in result.err
    assert not out.exists()
    result = run(*GRID, "--encoder", path, "--critic", "toy.critic", "--method", "cma", "--out", out)
    assert result.code == 0, result.err
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(WeightsError, match=r"pip install 'faceinv\[onnx\]'"):
        Host().spec("encoder", str(path))


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3 * 64, 6)

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.normalize(self.layer(images.flatten(1)))


@pytest.fixture
def small() -> Small:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Small().eval()


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning")
@pytest.mark.parametrize("scheme", ["torchscript", "torch"])
def test_a_program_is_read_only_if_it_is_trusted(
    run: Callable[..., Any], small: Small, tmp_path: Path, cache: Path, scheme: str
) -> None:
    path = tmp_path / f"small.{'pt2' if scheme == 'torch' else 'pt'}"
    if scheme == "torch":
        torch.export.save(torch.export.export(small, (torch.rand(1, 3, 8, 8),)), path)
    else:
        torch.jit.trace(small, torch.rand(2, 3, 8, 8)).save(str(path))
    with pytest.raises(UsageError, match=r"can run code in it.*must be given in a YAML file"):
        Host().spec("encoder", f"{scheme}:{path}")
    described = describe(tmp_path, f"{scheme}:{path.name}", dim=6, size=8, scaling="0..1")
    with pytest.raises(WeightsError, match=r"is a program: reading it runs code.*--trust-sha256"):
        load(described, cache)
    np.save(tmp_path / "image.npy", np.zeros(1))
    Image.new("RGB", (8, 8), (10, 200, 30)).save(tmp_path / "face.png")
    out = tmp_path / "out.npy"
    embed = ("embed", tmp_path / "face.png", "--aligned", "--encoder", described, "--out", out)
    assert run(*embed).code == 4
    result = run("--trust", path, *embed)
    assert result.code == 0, result.err
    image = (torch.tensor([10, 200, 30]) / 255).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    np.testing.assert_allclose(np.load(out), small(image).detach().numpy(), atol=1e-5)
    assert run(*embed).code == 0  # remembered
    path.write_bytes(path.read_bytes() + b" ")
    assert run(*embed).code == 4


def test_a_module_in_memory_is_attacked(small: Small, cache: Path) -> None:
    options: dict[str, Any] = {
        "losses": ["id"], "generator": "toy-faces", "pairs": 200, "steps": 2, "plugins": [toy.__file__],
        "facts": {"size": 8, "scaling": "0..1"},
    }  # fmt: skip
    encoder = faceinv.load_encoder(small, facts=options["facts"])
    images = torch.rand(2, 3, 8, 8)
    assert torch.allclose(encoder(images), small(images))
    assert small.layer.weight.requires_grad  # the user's own module stays as it is
    assert faceinv.invert(encoder(images), encoder=small, **options).images.shape == (2, 3, 16, 16)
    with torch.no_grad():
        small.layer.weight.mul_(2)
    assert faceinv.load_encoder(small, facts=options["facts"]).spec.name != encoder.spec.name
    with pytest.raises(UsageError, match=r"no fact 'color'\. Did you mean 'colour'"):
        faceinv.load_encoder(small, facts={"color": "bgr"})
    with pytest.raises(UsageError, match=r"belong in an encoder\.yaml"):
        faceinv.load_encoder("arcface", facts={"colour": "bgr"})


PROGRAM = """
    import io, sys, numpy as np
    images = np.load(io.BytesIO(sys.stdin.buffer.read()))
    if sys.argv[1:] == ["fail"]:
        sys.exit("no GPU")
    np.save(sys.stdout.buffer, images.mean((2, 3)).astype("f4"))
"""


def test_a_program_is_asked_with_arrays(tmp_path: Path, cache: Path) -> None:
    import stat

    program = tmp_path / "embed.py"
    program.write_text(f"#!{sys.executable}\n{textwrap.dedent(PROGRAM)}")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    encoder = load(describe(tmp_path, f"command:{program}", dim=3, size=8), cache)
    assert encoder.spec.black_box
    images = torch.rand(3, 3, 8, 8)
    torch.testing.assert_close(encoder(images), 255 * images.mean((2, 3)))
    with pytest.raises(InputError, match="ended with exit code 1: no GPU"):
        load(describe(tmp_path, f"command:{program} fail", dim=3, size=8), cache)(images)
    with pytest.raises(UsageError, match="there is no program 'no-such-program'"):
        Host().spec("encoder", "command:no-such-program")
    with pytest.raises(UsageError, match="length of its descriptors must be given"):
        Host().spec("encoder", f"command:{program}")


@dataclass
class Answering:
    """A service on this machine: what it answers next, and what it was sent."""

    url: str = ""
    answer: Callable[[np.ndarray[Any, Any]], tuple[str, bytes]] = lambda images: ("", b"")
    sent: list[int] = field(default_factory=list)


def npy(array: np.ndarray[Any, Any]) -> tuple[str, bytes]:
    stream = io.BytesIO()
    np.save(stream, array)
    return "application/x-npy", stream.getvalue()


@pytest.fixture
def service() -> Iterator[Answering]:
    state = Answering()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Content-Type"] == "application/json":
                files = [io.BytesIO(base64.b64decode(text)) for text in json.loads(body)["images"]]
                images = np.stack([np.asarray(Image.open(file), "f4").transpose(2, 0, 1) for file in files])
            else:
                images = np.load(io.BytesIO(body))
            state.sent.append(len(images))
            kind, answer = state.answer(images)
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/embed"
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_service_is_asked_within_its_rate_and_budget(service: Answering, tmp_path: Path, cache: Path) -> None:
    service.answer = lambda images: npy(images.mean((2, 3)))
    facts: dict[str, Any] = {"dim": 3, "size": 8, "batch": 2, "queries": 6, "rate": 20}
    encoder = load(describe(tmp_path, service.url, **facts), cache)
    images = torch.rand(5, 3, 8, 8)
    begun = time.monotonic()
    torch.testing.assert_close(encoder(images), 255 * images.mean((2, 3)))
    assert time.monotonic() - begun >= 0.1  # three requests, 20 per second
    assert service.sent == [2, 2, 1]
    # Other processes count on; another service has a count of its own.
    again = load(tmp_path / "encoder.yaml", cache, offline=True)
    with pytest.raises(InputError, match=r"was sent 5 of the 6 images .*raise 'queries', or delete the count in"):
        again(images[:2])
    assert service.sent == [2, 2, 1]
    assert service.url not in "".join(path.read_text() for path in (cache / "services").iterdir())
    load(describe(tmp_path, f"{service.url}/v2", **facts), cache)(images)
    for count in (cache / "services").glob("*.json"):
        count.write_text("{")
    with pytest.raises(InputError, match="is damaged; delete it"):
        again(images[:1])


def test_offline_allows_services_of_this_machine_only(
    run: Callable[..., Any], service: Answering, tmp_path: Path, cache: Path
) -> None:
    path = describe(tmp_path, "https://faces.example.org/embed", dim=3, size=8)
    result = run("--offline", *GRID, "--encoder", path, "--critic", "toy.critic", "--out", tmp_path / "run")
    assert result.code == 2
    assert "is a service at faces.example.org, and --offline is on" in result.err
    assert not (tmp_path / "run").exists()


def test_processes_share_a_budget(cache: Path) -> None:
    code = """
from faceinv.errors import InputError
from faceinv.models.external.allowance import Allowance
allowance, taken = Allowance("The service", "its address", 30, 0), 0
try:
    for _ in range(25):
        allowance.take(1)
        taken += 1
except InputError:
    pass
print(taken)
"""
    processes = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(2)]
    assert sum(int(process.communicate()[0]) for process in processes) == 30


def test_a_service_may_take_and_give_json(service: Answering, tmp_path: Path, cache: Path) -> None:
    service.answer = lambda images: (
        "application/json",
        json.dumps({"descriptors": images.mean((2, 3)).tolist()}).encode(),
    )
    encoder = load(describe(tmp_path, f"http:{service.url}", dim=3, size=8, body="json"), cache)
    images = torch.randint(256, (2, 3, 8, 8)) / 255
    torch.testing.assert_close(encoder(images), 255 * images.mean((2, 3)))


ANSWERS: dict[str, tuple[Callable[[Any], tuple[str, bytes]], str]] = {
    "a web page": (lambda _: ("text/html", b"<html><b>Log in</b>"), "neither a .npy file nor JSON.*begins: <html>"),
    "NaN": (lambda images: npy(np.full((len(images), 3), np.nan)), "NaN or infinity"),
    "another length": (lambda images: npy(np.zeros((len(images), 4))), r"answered \(2, 4\) for 2 images"),
    "one row too few": (lambda images: npy(np.zeros((len(images) - 1, 3))), r"answered \(1, 3\) for 2 images"),
    "a cut-off array": (lambda images: ("", npy(np.zeros((2, 3)))[1][:-8]), "neither"),
    "a pickle": (lambda _: npy(np.array([[object]])), "neither"),
    "ragged lists": (lambda _: ("", b"[[1, 2, 3], [1]]"), "neither"),
    "nothing": (lambda _: ("", b""), "neither"),
    "too late": (lambda _: (time.sleep(0.6) or "", b"[]"), "did not answer within 0.3 seconds"),  # type: ignore[func-returns-value]
}


@pytest.mark.parametrize("case", ANSWERS)
def test_an_answer_that_is_none_is_an_error_in_one_line(
    service: Answering, tmp_path: Path, cache: Path, case: str
) -> None:
    service.answer, words = ANSWERS[case]
    encoder = load(describe(tmp_path, service.url, dim=3, size=8, timeout=0.3), cache)
    with pytest.raises(InputError, match=words) as caught:
        encoder(torch.rand(2, 3, 8, 8))
    assert "\n" not in str(caught.value)


def test_a_service_that_fails_leaves_what_was_computed(
    run: Callable[..., Any], service: Answering, tmp_path: Path, cache: Path
) -> None:
    service.answer = lambda images: npy(images.reshape(len(images), -1)[:, ::16])
    path = describe(tmp_path, service.url, dim=12, size=8, queries=230)
    out = tmp_path / "run"
    args = (*GRID, "--encoder", path, "--critic", "toy.critic", "--out", out)
    result = run(*args, "--method", "regression,cma", "--steps", "200")
    assert result.code == 1
    assert "of the 230 images" in result.err
    records = [json.loads(path.read_text()) for path in out.glob("cells/*.json")]
    found = {(record["config"]["method"], record["config"]["steps"], record["status"]) for record in records}
    assert found == {("regression", 0, "ok"), ("cma", 5, "ok"), ("cma", 200, "failed")}


BAD: dict[str, tuple[str, int, str]] = {
    "a file that is not there": ("onnx:no.onnx", 4, "no.onnx does not exist"),
    "an empty name": ("onnx:", 4, "cannot be read"),
    "a file that is no ONNX": ("text.onnx", 4, "not a usable ONNX file"),
    "a YAML file without a file": ("empty.yaml", 2, "describes no encoder"),
    "a YAML file of something else": ("list.yaml", 2, "describes no encoder"),
    "a YAML file that is none": ("broken.yaml", 2, "is not YAML"),
    "an unknown fact": ("fact.yaml", 2, "no fact 'colours'. Did you mean 'colour'"),
    "a value that is not allowed": ("value.yaml", 2, "colour must be one of rgb, bgr, got 'grb'"),
    "no known kind of file": ("kind.yaml", 2, "file must be a .onnx or .pt2 file or one of onnx:FILE.onnx"),
    "another size": ("size.yaml", 4, "takes images of 8x8 pixels, not 9x9"),
    "a service without an address": ("http://", 2, "is not an address"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_name_is_one_line_and_an_exit_code(
    run: Callable[..., Any], face: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.chdir(tmp_path)
    texts = {
        "text.onnx": "hello", "empty.yaml": "", "list.yaml": "- 1", "broken.yaml": "a: [",
        "fact.yaml": f"file: {face.name}\ncolours: rgb", "value.yaml": f"file: {face.name}\ncolour: grb",
        "kind.yaml": "file: face.tflite", "size.yaml": f"file: {face.name}\nsize: 9",
    }  # fmt: skip
    for name, text in texts.items():
        Path(name).write_text(text)
    given, code, words = BAD[case]
    result = run(*GRID, "--encoder", given, "--critic", "toy.critic", "--out", "run")
    assert (result.code, words in result.err) == (code, True), result.err
    assert "Traceback" not in result.err
    assert not Path("run").exists()
