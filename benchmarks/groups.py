"""The timed jobs of each group with their references, and the ratios of their times."""

from __future__ import annotations

import copy
import io
import itertools
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from first_run import PAIRS, PHASES, FirstRun
from made_photographs import IMAGES, SOURCE, Photographs
from rescored import TARGETS, Rescored
from torch import Tensor, nn

from faceinv.attack import build_objective, invert
from faceinv.bank import BankSettings, open_bank
from faceinv.contracts import LossContext
from faceinv.framing import warp_between
from faceinv.models import FramedEncoder, FrozenPReLU, Loader
from faceinv.models.precision import in_bf16
from faceinv.plugins import Host
from faceinv.plugins.registry import load_target
from faceinv.weights import WeightStore

BATCH, STEPS = 32, 4
Job = Callable[[], Any]
#: A group yields jobs, is sent the time of each, and yields rows computed from the times.
Group = Generator["dict[str, Job] | Row", "dict[str, float]", None]


@dataclass(frozen=True)
class Row:
    """A ratio: how many times as fast as its reference a job is.

    Args:
        group: Name of the group.
        what: The job that was timed.
        reference: The job it is compared with.
        ratio: Time of the reference over the job's own.
        least: The goal for the ratio, 0 if there is none.
        note: Times.
    """

    group: str
    what: str
    reference: str
    ratio: float
    least: float
    note: str


class Chain:
    """The default chain.

    Args:
        folder: Folder for files that jobs write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = Host()
        self.loader = Loader(self.host, WeightStore(self.host))
        self.generator = self.loader.generator("dcgan")
        self.encoder = FramedEncoder(self.loader.encoder("arcface"), self.generator.framing)
        rng = torch.Generator().manual_seed(0)
        self.latents = self.generator.network.sample(BATCH, "z", rng)
        with torch.no_grad():
            self.images = self.generator.network(self.latents, "z")
            self.descriptors = self.encoder(self.images).flip(0)

    def inversion(self, losses: list[str], size: int = BATCH) -> Job:
        """Return a job that runs a few steps of ``latent-adam`` through the engine."""
        specs = [self.host.spec("loss", name) for name in losses]
        contexts = {}
        for spec in specs:
            if not spec.probe:
                contexts[spec.name] = LossContext("balanced", 1.0)
                continue
            probe = self.loader.probe(spec.probe, self.generator.framing)
            with torch.no_grad():
                read = probe.measure(self.images).flip(0)
            contexts[spec.name] = LossContext("balanced", 1.0, probe, lambda given, read=read: read[: len(given)])
        objective = build_objective(specs, contexts, {}, "balanced", self.host.build)
        method = self.host.spec("method", "latent-adam")
        return lambda: invert(
            load_target(method)(),
            self.descriptors[:size],
            encode=self.encoder,
            access=method.access,
            generator=self.generator.network,
            space="z",
            objective=objective,
            start=lambda given: self.latents[: len(given)],
            steps=STEPS,
            seeds=list(range(size)),
            batch_size=size,
        )

    def bare_loop(self) -> None:
        """Run the same steps without the engine, and generate the images before and after them."""
        with torch.no_grad():
            self.generator.network(self.latents, "z")
        latents = self.latents.clone().requires_grad_()
        optimizer = torch.optim.Adam([latents], lr=0.05)
        for _ in range(STEPS):
            loss = (self.encoder(self.generator.network(latents, "z")) - self.descriptors).square().sum()
            (latents.grad,) = torch.autograd.grad(loss, latents)
            optimizer.step()
        with torch.no_grad():
            self.generator.network(latents, "z")


def plain(network: nn.Module) -> nn.Module:
    """Return a copy with PyTorch's own PReLUs instead of frozen ones."""
    network = copy.deepcopy(network)
    for name, layer in list(network.named_modules()):
        if isinstance(layer, FrozenPReLU):
            own = nn.PReLU(layer.num_parameters)
            own.weight = nn.Parameter(layer.weight.detach(), requires_grad=False)
            network.set_submodule(name, own)
    return network


def gradient(network: Callable[[Tensor], Tensor], x: Tensor) -> Job:
    """Return a job that runs a forward pass and the backward pass to ``x``."""
    leaf = x.detach().clone().requires_grad_()
    result = network(leaf)
    direction = torch.randn(result.shape, generator=torch.Generator().manual_seed(1))
    return lambda: torch.autograd.grad(network(leaf), leaf, direction)


def forward(network: Callable[[Tensor], Tensor], x: Tensor) -> Job:
    """Return a job that runs a forward pass."""

    def run() -> Tensor:
        with torch.no_grad():
            return network(x)

    return run


def engine(chain: Chain) -> Group:
    jobs: dict[str, Job] = {
        "bare": chain.bare_loop,
        "id": chain.inversion(["id"]),
        "all": chain.inversion(["id", "landmarks", "histogram"]),
        "one": chain.inversion(["id"], 1),
    }
    best = yield jobs
    rate = {name: (1 if name == "one" else BATCH) * STEPS / took for name, took in best.items()}
    note = f"{rate['id']:.1f} image-steps/s at batch {BATCH}"
    yield Row("engine", "`latent-adam`, `id`", "bare loop of the networks", rate["id"] / rate["bare"], 0.97, note)
    note = f"{rate['all']:.1f} image-steps/s"
    yield Row("engine", "`id,landmarks,histogram`", "`id` alone", rate["all"] / rate["id"], 0.85, note)
    note = f"batch 1: {rate['one']:.1f} image-steps/s"
    yield Row("engine", f"a target in a batch of {BATCH}", "batch of 1", rate["id"] / rate["one"], 3, note)


def encoders(chain: Chain) -> Group:
    network = chain.encoder.encoder.network
    old = plain(network)
    crops = torch.rand(BATCH, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    jobs = {
        "forward": forward(network, crops),
        "both": gradient(network, crops),
        "forward, plain": forward(old, crops),
        "both, plain": gradient(old, crops),
    }
    best = yield jobs
    back, back_plain = best["both"] - best["forward"], best["both, plain"] - best["forward, plain"]
    note = f"{back / best['forward']:.2f} forward passes; with autograd's own {back_plain / best['forward, plain']:.2f}"
    yield Row(
        "encoders", "MobileFaceNet, gradient to images", "1.3 forward passes", 1.3 * best["forward"] / back, 1, note
    )
    note = f"{best['both'] / BATCH * 1e3:.1f} ms an image"
    yield Row(
        "encoders", "MobileFaceNet, forward and gradient", "autograd's own", best["both, plain"] / best["both"], 0, note
    )
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        return
    path = WeightStore(chain.host).path("arcface.mobilefacenet/tflite")
    interpreter = Interpreter(str(path), num_threads=torch.get_num_threads())
    interpreter.allocate_tensors()
    given = interpreter.get_input_details()[0]["index"]
    pairs = [p.permute(0, 2, 3, 1).contiguous().numpy() for p in ((crops * 255 - 127.5) / 128).split(2)]

    def litert() -> None:
        for pair in pairs:  # the file's batch is fixed at 2
            interpreter.set_tensor(given, pair)
            interpreter.invoke()

    ours = {
        "MobileFaceNet, embedding": in_halves(network, crops),
        "MobileFaceNet, embedding, `torch.compile`": in_halves(torch.compile(network), crops),
        "MobileFaceNet, embedding, bf16": in_halves(in_bf16(network), crops),
    }
    others = {"LiteRT with XNNPACK": litert} | onnx_runtime(old, crops)
    best = yield ours | others
    for reference, what in itertools.product(others, ours):
        note = f"{BATCH / best[what]:.0f} images/s"
        least = 1 if reference.startswith("LiteRT") else 0
        yield Row("encoders", what, reference, best[reference] / best[what], least, note)


def in_halves(network: Callable[[Tensor], Tensor], crops: Tensor) -> Job:
    """Return a job that runs a forward pass for each half of a batch: that many images fit in the cache."""
    jobs = [forward(network, half) for half in crops.chunk(2)]
    return lambda: [job() for job in jobs]


def onnx_runtime(network: nn.Module, crops: Tensor) -> dict[str, Job]:
    """Return a job with the network exported to ONNX Runtime, if ``onnx`` and ``onnxruntime`` are installed."""
    try:
        import onnx  # noqa: F401  # PyTorch's exporter needs it
        from onnxruntime import InferenceSession, SessionOptions
    except ImportError:
        return {}
    file, options = io.BytesIO(), SessionOptions()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about shapes that it treats as constants
        torch.onnx.export(network, (crops,), file, dynamo=False, input_names=["crops"])
    options.intra_op_num_threads = torch.get_num_threads()
    # After a run its threads would keep spinning on the cores that the next job is timed on.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])
    given = crops.numpy()
    with torch.no_grad():
        torch.testing.assert_close(
            torch.from_numpy(session.run(None, {"crops": given})[0]), network(crops), atol=1e-3, rtol=1e-3
        )
    return {"ONNX Runtime": lambda: session.run(None, {"crops": given})}


def embedding_bank(chain: Chain) -> Group:
    photographs = Photographs(chain.folder)
    places = (chain.folder / f"bank-{k}" for k in itertools.count())
    encoder = chain.encoder.encoder
    warp = warp_between(SOURCE, encoder.spec.framing)
    crops = torch.cat([warp(photographs.load(k)[None]) for k in range(64)])

    def bare() -> None:
        with torch.inference_mode():
            for _ in range(IMAGES // len(crops)):
                encoder(crops)

    def bank() -> None:
        open_bank(
            chain.loader, photographs, "arcface", settings=BankSettings(batch_size=len(crops)), folder=next(places)
        )

    best = yield {"bare": bare, "bank": bank}
    note = f"{IMAGES / best['bank']:.0f} photographs/s, decoded and framed"
    yield Row("embedding bank", "JPEG files into a bank", "the bare encoder", best["bare"] / best["bank"], 0, note)


def generators(chain: Chain) -> Group:
    network = chain.generator.network
    old = copy.deepcopy(network).to(memory_format=torch.contiguous_format)
    jobs = {
        "ours": gradient(lambda z: network(z, "z"), chain.latents),
        "plain": gradient(lambda z: old(z, "z"), chain.latents),
    }
    best = yield jobs
    note = f"{best['ours'] / BATCH * 1e3:.1f} ms an image"
    yield Row("generators", "DCGAN, forward and gradient", "channels first", best["plain"] / best["ours"], 0, note)


def losses(chain: Chain) -> Group:
    from faceinv_histogram.kornia_measure import histogram
    from faceinv_histogram.soft import soft_counts

    images = torch.rand(16, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    best = yield {"ours": gradient(soft_counts, images), "kornia": gradient(histogram, images)}
    note = f"{best['ours'] * 1e3:.0f} ms for 16 images of 224x224"
    yield Row("losses", "soft histogram and gradient", "kornia", best["kornia"] / best["ours"], 20, note)


def metrics(chain: Chain) -> Group:
    from faceinv_imagequality.structure import structural_similarity
    from skimage.metrics import structural_similarity as reference

    a, b = chain.images, chain.images.flip(0)
    settings = {"channel_axis": 0, "data_range": 1.0, "gaussian_weights": True, "use_sample_covariance": False}
    pairs = [(x.numpy(), y.numpy()) for x, y in zip(a, b, strict=True)]

    def skimage() -> list[float]:
        return [reference(x, y, sigma=1.5, **settings) for x, y in pairs]

    best = yield {"ours": lambda: structural_similarity(a, b), "skimage": skimage}
    note = f"{best['ours'] / BATCH * 1e3:.2f} ms a pair of 64x64"
    yield Row("metrics", "SSIM", "scikit-image", best["skimage"] / best["ours"], 0, note)


def start_up(chain: Chain) -> Group:
    def run(*arguments: str) -> Job:
        return lambda: subprocess.run([sys.executable, *arguments], check=True, capture_output=True)

    best = yield {"help": run("-m", "faceinv", "--help"), "torch": run("-c", "import torch")}
    note = f"{best['help']:.2f} s"
    yield Row("start-up", "`faceinv --help`", "`import torch`", best["torch"] / best["help"], 0, note)


def first_run(chain: Chain) -> Group:
    """Yield the phases of a first run, each timed once, beside the bare networks on its pairs."""
    run, network = FirstRun(chain.folder / "first run"), chain.generator.network
    latents = network.sample(64, "z", torch.Generator().manual_seed(0))

    def bare() -> None:
        with torch.inference_mode():
            chain.encoder(network(latents, "z"))

    best = yield {"bare": bare}
    embedding = best["bare"] * PAIRS / len(latents)
    for phase, what in PHASES.items():
        if phase == "report":
            run.record()
        began = time.perf_counter()
        getattr(run, phase)()
        took = time.perf_counter() - began
        yield Row("first run", what, f"{PAIRS:,} samples, embedded", embedding / took, 0, f"{took:.2f} s")


def rescoring(chain: Chain) -> Group:
    run = Rescored(chain.folder / "rescored", "sface")
    best = yield {"rescore": run.rescore, "critic": run.critic}
    note = f"{TARGETS / best['rescore']:.0f} targets/s, files read and written"
    yield Row("rescoring", f"{TARGETS} targets, SFace", "SFace alone", best["critic"] / best["rescore"], 0, note)


def step_of(generator: Callable[..., Tensor], encode: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return the function from latents to descriptors."""
    return lambda latents: encode(generator(latents, "z"))


def compiled(chain: Chain) -> Group:
    network, step = chain.encoder.encoder.network, step_of(chain.generator.network, chain.encoder)
    yield from compared(
        chain, "compiled", "`torch.compile`", "eager", (network, step), tuple(map(torch.compile, (network, step)))
    )


def precision(chain: Chain) -> Group:
    network, parts = chain.encoder.encoder.network, (chain.generator.network, chain.encoder)
    lowered = in_bf16(network), step_of(*map(in_bf16, parts))
    yield from compared(chain, "precision", "bf16", "fp32", (network, step_of(*parts)), lowered, 1.3)


def compared(
    chain: Chain,
    group: str,
    name: str,
    reference: str,
    plainly: tuple[Callable[[Tensor], Tensor], ...],
    changed: tuple[Callable[[Tensor], Tensor], ...],
    least: float = 0,
) -> Group:
    """Time the encoder alone and a whole step, plain and changed; ``least`` is the goal for the step."""
    few = chain.latents[: BATCH // 2]
    crops = torch.rand(len(few), 3, 112, 112, generator=torch.Generator().manual_seed(0))
    kinds = (
        ("MobileFaceNet, embedding", forward, crops, 0.0),
        ("DCGAN and MobileFaceNet, forward and gradient", gradient, few, least),
    )
    for (what, make, given, goal), function, other in zip(kinds, plainly, changed, strict=True):
        best = yield {reference: make(function, given), name: make(other, given)}
        note = f"{len(few) / best[name]:.1f} images/s"
        yield Row(group, f"{what}, {name}", reference, best[reference] / best[name], goal, note)


MEASURED = (
    engine, encoders, embedding_bank, generators, losses, metrics, rescoring, precision, compiled, start_up, first_run,
)  # fmt: skip
GROUPS = {f.__name__.replace("_", "-"): f for f in MEASURED}


def jobs_of(group: Group) -> dict[str, Job]:
    """Return all jobs of a group without running any."""
    found: dict[str, Job] = {}
    item = next(group, None)
    while item is not None:
        if isinstance(item, Row):
            item = next(group, None)
        else:
            found |= item
            # Any times whose differences are not zero; the ratios computed from them are discarded.
            item = group.send({name: 1.0 + place for place, name in enumerate(item)})
    return found
