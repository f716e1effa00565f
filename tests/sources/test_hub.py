"""Encoders that are timm models on the Hugging Face Hub, from a local server with a real model."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save
from torch.testing import assert_close

from faceinv.bench.setup import Setup, make_loader
from faceinv.errors import HashMismatchError, UsageError, WeightsError
from faceinv.models.external.timm_model import TimmModel
from faceinv.testing import toy

timm = pytest.importorskip("timm", reason="the extra 'image' is not installed")
COMMIT = "5" * 40
ARGUMENTS = {"num_classes": 24, "img_size": 112, "patch_size": 28, "embed_dim": 32, "depth": 1, "num_heads": 2}
CONFIG: dict[str, Any] = {
    "architecture": "test_vit",
    "num_classes": 24,
    "model_args": {key: value for key, value in ARGUMENTS.items() if key != "num_classes"},
    "pretrained_cfg": {"input_size": [3, 112, 112], "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4], "file": "/x.pth"},
}


class Hub:
    """A site that answers like the Hub, with one repository."""

    def __init__(self, site: Any) -> None:
        self.site = site
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.network = timm.create_model("test_vit", **ARGUMENTS).eval()
        self.tensors = save(self.network.state_dict())
        self.publish(CONFIG)

    def publish(self, config: Any, *, name: str = "own/face", file: str = "model.safetensors", card: Any = ()) -> None:
        lfs = {"sha256": hashlib.sha256(self.tensors).hexdigest(), "size": len(self.tensors)}
        siblings = [{"rfilename": "config.json"}, {"rfilename": file, "size": len(self.tensors), "lfs": lfs}]
        facts = {"sha": COMMIT, "siblings": siblings, "cardData": {"license": "mit"} if card == () else card}
        self.site.files |= {
            f"/api/models/{name}/revision/main?blobs=true": json.dumps(facts).encode(),
            f"/{name}/resolve/{COMMIT}/config.json": json.dumps(config).encode(),
            f"/{name}/resolve/{COMMIT}/{file}": self.tensors,
        }


@pytest.fixture
def hub(site: Any, monkeypatch: pytest.MonkeyPatch) -> Hub:
    monkeypatch.setenv("HF_ENDPOINT", site.url)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    # Its client reads its settings at import.
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    return Hub(site)


def load(name: str, said: list[str] | None = None, **setup: Any) -> Any:
    chosen = Setup(**setup)
    host = chosen.host()
    store = chosen.store(host, notify=said.append if said is not None else None)
    return make_loader(host, store).encoder(name)


def test_a_repository_is_an_encoder(hub: Hub, cache: Path, tmp_path: Path) -> None:
    said: list[str] = []
    encoder = load("hf:own/face", said)
    assert (encoder.spec.dim, encoder.spec.framing.name, encoder.spec.weights_licence) == (24, "arcface-112", "mit")
    assert "Licence: mit." in said[0]
    assert "assumed to be RGB, mean and std, in arcface-112" in said[-1]
    images = torch.rand(2, 3, 112, 112)
    mean, std = (torch.tensor(CONFIG["pretrained_cfg"][key]).view(3, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        assert_close(encoder(images), hub.network((images - mean) / std))
        # The facts of a YAML file come first, and another output is another encoder.
        (tmp_path / "encoder.yaml").write_text("file: hf:own/face\nscaling: 0..255\noutput: features\nlicence: x")
        other = load(str(tmp_path / "encoder.yaml"), offline=True)
        assert other.spec.name != encoder.spec.name
        expected = hub.network.forward_head(hub.network.forward_features(255 * images), pre_logits=True)
        assert_close(other(images), expected)
    # Asked once: everything is on this machine now.
    asked = len(hub.site.asked)
    assert load("hf:own/face", offline=True).weights == encoder.weights
    assert len(hub.site.asked) == asked


def test_a_name_of_timm_is_its_features(hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.publish(CONFIG, name="timm/test_vit.r160_in1k", card={})
    encoder = load("timm:test_vit.r160_in1k")
    assert (encoder.spec.dim, encoder.spec.weights_licence) == (32, "not stated")
    assert load("timm:test_vit").spec == encoder.spec
    with pytest.raises(UsageError, match=r"no model 'test_vit\.in1k' with weights"):
        load("timm:test_vit.in1k")
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UsageError, match=r"pip install 'faceinv\[image\]'"):
        load("timm:test_vit")


def test_offline_names_the_command_that_fetches(run: Callable[..., Any], hub: Hub, cache: Path, tmp_path: Path) -> None:
    bench = (
        "bench", "--encoder", "hf:own/face", "--critic", "toy.critic", "--generator", "toy-faces", "--dataset",
        "toy-targets", "--limit", "2", "--steps", "2", "--pairs", "200", "--losses", "id", "--metric", "mse",
        "--out", tmp_path / "run",
    )  # fmt: skip
    result = run("--offline", *bench)
    assert (result.code, hub.site.asked) == (4, [])
    assert "--offline is on; go online and run: faceinv weights pull hf:own/face" in result.err
    assert not (tmp_path / "run").exists()
    assert run("weights", "pull", "hf:own/face").code == 0
    (weights,) = (cache / "weights").glob("face.*/*-model.safetensors")
    weights.unlink()
    result = run("--offline", *bench)
    assert "go online and run: faceinv weights pull hf:own/face" in result.err


def test_what_is_fetched_is_what_the_hub_named(hub: Hub, cache: Path) -> None:
    hub.site.files[f"/own/face/resolve/{COMMIT}/model.safetensors"] = hub.tensors[:-1] + b"?"
    with pytest.raises(HashMismatchError, match="is pinned"):
        load("hf:own/face")


BAD: dict[str, tuple[Any, str]] = {
    "no timm model": ({"model_type": "bert"}, "names no architecture of timm"),
    "an unknown architecture": (CONFIG | {"architecture": "test_vitt"}, "Did you mean 'test_vit'"),
    "an address as an architecture": (CONFIG | {"architecture": "hf-hub:a/b"}, "timm does not have"),
    "a file to read": (CONFIG | {"model_args": {"checkpoint_path": "/etc/passwd"}}, "sets 'checkpoint_path'"),
    "a huge network": (CONFIG | {"model_args": {"depth": 10**9}}, "impossible value for 'depth'"),
    "an argument that does not exist": (CONFIG | {"model_args": {"wings": 2}}, "cannot build 'test_vit' as described"),
    "no list": ([1], "names no architecture of timm"),
    "another size": (CONFIG | {"pretrained_cfg": {"input_size": [3, 64, 64]}}, "does not take images of 64x64"),
    "means that are none": (CONFIG | {"pretrained_cfg": {"mean": "a", "std": "b"}}, "mean must be three numbers"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_repository_is_one_line(hub: Hub, cache: Path, case: str) -> None:
    config, words = BAD[case]
    hub.publish(config)
    with pytest.raises((WeightsError, UsageError), match=words) as caught:
        Setup(plugins=(toy.__file__,)).host().spec("encoder", "hf:own/face")
    assert "\n" not in str(caught.value)


def test_weights_of_another_network_are_refused_before_memory_is_taken(hub: Hub, cache: Path) -> None:
    wide = CONFIG | {"model_args": CONFIG["model_args"] | {"embed_dim": 64}}
    hub.publish(wide)
    with pytest.raises(WeightsError, match="does not hold the tensors of 'test_vit'"):
        load("hf:own/face")


def test_a_repository_that_cannot_be_used_says_why(hub: Hub, cache: Path) -> None:
    def refused(name: str) -> str:
        with pytest.raises((WeightsError, UsageError)) as caught:
            load(name)
        return str(caught.value)

    assert "no public repository own/other with a revision main" in refused("hf:own/other")
    assert "give it as hf:OWNER/REPO" in refused("hf:face")
    hub.publish(CONFIG, file="sub/face.onnx")
    assert "no model.safetensors or pytorch_model.bin; it has sub/face.onnx" in refused("hf:own/face")
    api = "/api/models/own/face/revision/main?blobs=true"
    for answer, words in ((b"<html>", "not answer with JSON"), (b"[]", "something else"), (b'{"sha": 1}', "something")):
        hub.site.files[api] = answer
        assert words in refused("hf:own/face")
    assert not list(cache.glob("hub/*"))


def test_a_published_model_of_timm_is_what_timm_makes_of_it() -> None:
    """Arguments of a network that its own architecture fixes need not stand in the file."""
    described = {"architecture": "test_resnet", "num_classes": 0, "pretrained_cfg": {"input_size": [3, 96, 96]}}
    model = TimmModel(described)
    expected = timm.create_model("test_resnet", num_classes=0).eval()
    images = torch.rand(2, 3, 96, 96)
    assert model.dim((96, 96), "") == expected(images).shape[1]
    assert model.build().state_dict().keys() == expected.state_dict().keys()
