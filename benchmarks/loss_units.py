"""In which units do the paper's weights (1, 0.0006, 0.01) let all three of its losses act?

The paper gives the weights but not the units. This measures, for each reading of the units, the weighted share of each
loss in the sum and in the gradient at the regressor's latent, and its share of the sum after an attack with that very
objective, if no loss is negligible at the start. It does so for the default chain, and for descriptors in the shape of
VGGFace2's ResNet-50: 2,048 numbers of a given length, with the relative distances of the default chain. The best
reading is the one whose smallest share is largest.

    python benchmarks/loss_units.py --targets 16 --steps 100 --out loss_units.md

Adam's rate is that of the default method, 0.05: what the losses weigh at the end of a search does not depend on how
many steps of 0.001 it takes to get there.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from faceinv_id2image.methods import LatentAdam
from torch import Tensor
from torch.nn.functional import normalize

from faceinv.attack import invert
from faceinv.attack.objective import AttributeLoss, Term, WeightedSum
from faceinv.attack.preparation import Preparation
from faceinv.contracts import Candidate, Loss, LossContext
from faceinv.framing import framing_similarity
from faceinv.models import Loader
from faceinv.plugins import Host
from faceinv.storage import cache_folder
from faceinv.storage.tensors import TensorCache
from faceinv.weights import WeightStore

WEIGHTS = {"id": 1.0, "lm": 0.0006, "hist": 0.01}
LANDMARKS, BINS = 68 * 2, 3 * 10
#: Side of the images that the paper trains its readers on, in pixels.
SIDE = 224
#: Components of a descriptor of VGGFace2's ResNet-50. Its length is not published.
VGGFACE2 = 2048


@dataclass(frozen=True)
class Units:
    """A reading of the paper's units.

    Args:
        reduction: ``"sum"`` or ``"mean"`` over the coordinates, the same for all losses.
        descriptors: ``"raw"`` or ``"unit"`` length.
        landmarks: 224 pixels across the encoder's ``"crop"``, as the paper's images, or the generator's ``"frame"``.
        histogram: ``"shares"`` of the pixels, ``"per cent"``, or ``"counts"`` of 224 × 224 pixels.
    """

    reduction: str
    descriptors: str
    landmarks: str
    histogram: str

    @classmethod
    def every(cls) -> Iterator[Units]:
        """Yield all combinations."""
        axes = (("sum", "mean"), ("raw", "unit"), ("crop", "frame"), ("shares", "per cent", "counts"))
        return itertools.starmap(cls, itertools.product(*axes))


@dataclass(frozen=True)
class Descriptors:
    """The shape of an encoder's descriptors.

    Args:
        name: The encoder, for the table.
        dim: Number of components.
        length: Their usual length.
    """

    name: str
    dim: int
    length: float


class RelativeId(Loss):
    """Equation (1) divided by the squared length of the target's descriptor, or on descriptors of length 1."""

    def __init__(self, unit: bool) -> None:
        self._unit = unit

    def prepare(self, descriptors: Tensor) -> Tensor:
        """Return the target descriptors ``(B, D)``."""
        return descriptors

    def __call__(self, candidate: Candidate, prepared: Tensor) -> Tensor:
        """Return the loss of each candidate, ``(B,)``."""
        if self._unit:
            return (normalize(candidate.descriptors) - normalize(prepared)).square().sum(1)
        return (candidate.descriptors - prepared).square().sum(1) / prepared.square().sum(1)


class Chain:
    """The default chain and targets that nothing was tuned on.

    Args:
        targets: Number of targets.
        seed: Their seed.
        pairs: Synthetic pairs to learn from.
    """

    def __init__(self, targets: int, seed: int, pairs: int) -> None:
        host = Host()
        loader = Loader(host, WeightStore(host))
        names = {name: host.spec("loss", name).probe for name in ("lm", "hist")}
        self.preparation = Preparation(
            loader,
            host.spec("encoder", "arcface").name,
            host.spec("generator", "dcgan").name,
            "z",
            pairs=pairs,
            preset="tuned",
            cache=TensorCache(cache_folder() / "trained"),
            probes=tuple(names.values()),
        )
        made = self.preparation
        self.regressor = made.regressor(names.values())
        self.generator, self.encode = made.generator.network, made.encoder
        with torch.no_grad():
            latents = self.generator.sample(targets, "z", torch.Generator().manual_seed(seed))
            self.descriptors = self.encode(self.generator(latents, "z"))
        length = float(made.pairs.descriptors.norm(dim=1).mean())
        self.own = Descriptors(f"default, length {length:.0f}", made.encoder.dim, length)
        # The squared distance of the attributes as they are: landmarks across the frame, histograms in shares.
        self.attributes: dict[str, Loss] = {
            name: AttributeLoss(LossContext("paper", 1.0, made.probe(probe), made.reader(probe)))
            for name, probe in names.items()
        }
        framing, crop = made.generator.framing, host.spec("encoder", "vggface2.resnet50-ft").framing
        scale = np.linalg.det(framing_similarity(framing, crop)[:, :2]) ** 0.5
        self.crop_pixels = float(scale) * framing.size[1]

    def objective(self, units: Units, of: Descriptors) -> WeightedSum:
        """Return the objective in these units, for descriptors of this shape."""
        mean = units.reduction == "mean"
        pixels = self.crop_pixels if units.landmarks == "crop" else SIDE
        scale = {"shares": 1.0, "per cent": 100.0, "counts": float(SIDE**2)}[units.histogram]
        factors = {
            "id": (1.0 if units.descriptors == "unit" else of.length**2) / (of.dim if mean else 1),
            "lm": pixels**2 / (LANDMARKS if mean else 1),
            "hist": scale**2 / (BINS if mean else 1),
        }
        losses = {"id": RelativeId(units.descriptors == "unit"), **self.attributes}
        return WeightedSum([Term(name, loss, WEIGHTS[name] * factors[name]) for name, loss in losses.items()])

    def start(self, objective: WeightedSum) -> tuple[dict[str, float], dict[str, float]]:
        """Return the share of each loss in the sum at the regressor's latents, and in the lengths of the gradients."""
        latents = self.regressor(self.descriptors).detach().requires_grad_()
        images = self.generator(latents, "z")
        candidate = Candidate(latents, images, self.encode(images))
        values, lengths = {}, {}
        for term, prepared in zip(objective.terms, objective.prepare(self.descriptors), strict=True):
            loss = term.weight * term.loss(candidate, prepared)
            (gradient,) = torch.autograd.grad(loss.sum(), latents, retain_graph=True)
            values[term.name] = float(loss.detach().sum())
            lengths[term.name] = float(gradient.flatten(1).norm(dim=1).sum())
        return shares(values), shares(lengths)

    def end(self, objective: WeightedSum, steps: int) -> dict[str, float]:
        """Return the share of each loss in the sum at the end of an attack."""
        found = invert(
            LatentAdam(patience=0),
            self.descriptors,
            encode=self.encode,
            access="white-box",
            generator=self.generator,
            space="z",
            objective=objective,
            start=self.regressor,
            steps=steps,
            seeds=range(len(self.descriptors)),
        )
        last = {name: weight * float(found.trajectory[name][-1].sum()) for name, weight in objective.weights.items()}
        return shares(last)


def shares(values: dict[str, float]) -> dict[str, float]:
    """Return each value divided by their sum."""
    return {name: value / sum(values.values()) for name, value in values.items()}


def percent(found: dict[str, float]) -> str:
    """Return shares in per cent, id / lm / hist."""
    return " / ".join(f"{100 * share:.2g}" if share < 0.1 else f"{100 * share:.0f}" for share in found.values())


def main() -> None:
    """Measure all combinations and print a Markdown table, best first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", type=int, default=16)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--lengths", type=float, nargs="*", default=[90.0], help="of VGGFace2's descriptors")
    parser.add_argument("--least", type=float, default=5e-4, help="share at the start below which no attack is made")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    chain = Chain(given.targets, given.seed, given.pairs)
    shapes = [chain.own, *(Descriptors(f"VGGFace2, length {long:g}", VGGFACE2, long) for long in given.lengths)]
    rows: list[tuple[float, str]] = []
    for units, of in itertools.product(Units.every(), shapes):
        if units.descriptors == "unit" and of not in shapes[:2]:
            continue  # at length 1, the length of the raw descriptors does not matter
        objective = chain.objective(units, of)
        start, pulls = chain.start(objective)
        least, end = min(start.values()), {}
        if least >= given.least:
            end = chain.end(objective, given.steps)
            least = min(least, *end.values())
        name = of.name.split(",")[0] if units.descriptors == "unit" else of.name
        cells = (units.reduction, units.descriptors, units.landmarks, units.histogram, name)
        rows.append((least, f"| {' | '.join(cells)} | {percent(start)} | {percent(end) or '–'} | {percent(pulls)} |"))
        print(rows[-1][1], flush=True)
    head = "| over coordinates | descriptors | landmarks | histogram | encoder | start, % | end, % | gradient, % |"
    text = "\n".join([head, "| --- " * 8 + "|", *(row for _, row in sorted(rows, reverse=True))]) + "\n"
    print(f"\n{len(chain.descriptors)} targets, {given.steps} steps; id / lm / hist; largest least share first\n{text}")
    if given.out:
        given.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
