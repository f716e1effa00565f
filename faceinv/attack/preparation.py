"""Everything prepared once per encoder and generator: pairs, readers, the latent regressor."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial

import torch
from torch import Tensor, nn

from faceinv.attack.ceiling import ConditionalMean
from faceinv.attack.descriptors import DescriptorStatistics
from faceinv.attack.pairs import Pairs, label_pairs, sample_pairs, sum_images
from faceinv.attack.photographs import Photographs
from faceinv.contracts.probes import Probe
from faceinv.contracts.progress import Reporter
from faceinv.contracts.specs import ProbeSpec
from faceinv.models.batching import batch_size_for
from faceinv.models.loader import FramedEncoder, Loader
from faceinv.plugins.code import TRAINING, core_hash
from faceinv.probes.kept import trained_reader
from faceinv.probes.reader import Examples, Reader, Readings, Split, TunedHead, latent_head, pairs_head
from faceinv.probes.recipe import LATENT_RECIPE, LATENTS, MEMBERS, ON_PAIRS, ON_PHOTOGRAPHS
from faceinv.probes.whitening import Whitening
from faceinv.storage.tensors import TensorCache, tensors_sha256


@dataclass(frozen=True)
class ProbeScore:
    """Error of a probe on descriptors of held-out samples or photographs.

    Args:
        descriptor: Mean error of the attribute read from the descriptor.
        baseline: Mean error of always guessing the training mean.
        unit: Unit of both.
        n: Number of held-out samples or photographs.
        measured_by: What measures the attribute on an image.
        remarks: Caveats about that, one sentence each.
        learnt_from: What the probe was trained on.
    """

    descriptor: float
    baseline: float
    unit: str
    n: int
    measured_by: str = ""
    remarks: tuple[str, ...] = ()
    learnt_from: str = ""

    @property
    def informed(self) -> bool:
        """Whether reading is better than guessing; not if the error is not a number."""
        return self.descriptor < self.baseline

    def misread(self, name: str) -> str:
        """Return a sentence about the probe ``name`` that reads worse than guessing."""
        return (
            f"The probe '{name}' reads worse than guessing: on {self.n:,} held-out samples its error is "
            f"{self.descriptor:.2f} {self.unit}, that of always guessing the mean {self.baseline:.2f}."
        )


class Preparation:
    """Everything trained for one encoder and one generator; each part is made on first use and kept.

    The pairs are sampled only if a part has to be made: what is needed of them afterwards is a part of its own.

    Args:
        loader: Builds networks and probes.
        encoder: Name of the attacked encoder.
        generator: Name of the generator.
        space: Latent space.
        pairs: Number of synthetic pairs to train on.
        preset: Recipe of the probes: ``"tuned"`` or ``"paper"``.
        cache: Where parts are kept.
        progress: Called with (what, done, of).
        seed: Seed of pairs and training. Independent of the run's seed, so that runs share the cache.
        probes: Probes that will be read; their labels are computed in the pass that embeds the pairs.
        photographs: What readers learn from; by default from the pairs.
    """

    def __init__(
        self,
        loader: Loader,
        encoder: str,
        generator: str,
        space: str,
        *,
        pairs: int,
        preset: str,
        cache: TensorCache,
        progress: Reporter | None = None,
        seed: int = 0,
        probes: Sequence[str] = (),
        photographs: Photographs | None = None,
    ) -> None:
        self.loader = loader
        self.generator = loader.generator(generator)
        self.space = self.generator.space(space)
        self.encoder = FramedEncoder(loader.encoder(encoder), self.generator.framing).to(loader.device)
        self._n = pairs
        self._preset = preset
        self.cache = cache
        self._progress = progress
        self._seed = seed
        self._readers: dict[str, Reader] = {}
        self._regressors: dict[str, Reader] = {}
        self._probes = tuple(probes)
        self.photographs = photographs

    @cached_property
    def provenance(self) -> dict[str, object]:
        """Everything that the pairs depend on, for cache keys; known without sampling them."""
        return {
            "version": 4,
            "core": core_hash(of=TRAINING),
            "encoder": self.loader.provenance(self.encoder.spec),
            "generator": self.loader.provenance(self.generator.spec),
            "crop": asdict(self.encoder.spec.framing),
            "framing": asdict(self.generator.framing),
            "space": self.space,
            "number of pairs": self._n,
            "seed": self._seed,
        }

    @cached_property
    def pairs(self) -> Pairs:
        """The synthetic pairs."""

        def make() -> dict[str, Tensor]:
            probes = {name: self.probe(name) for name in self._probes}
            pairs, labels, sums = sample_pairs(
                self.encoder, self.generator, self.space, self._n, self._seed, probes, self._progress
            )
            for name, measured in labels.items():
                self.cache.load_or_make(*self._labels_of(name), partial(dict, labels=measured), bulky=True)
            whitening = _whitening(pairs.descriptors)
            expected = sums.coefficients(pairs.descriptors, whitening)
            # Only kept: whether it will be used is not known yet.
            self.cache.load_or_make(
                "conditional mean", self._whitened_by(whitening), lambda: {"all": expected}, bulky=True
            )
            return {"latents": pairs.latents, "descriptors": pairs.descriptors}

        return Pairs(**self.cache.load_or_make("pairs", self.provenance, make, bulky=True))

    def batch_size(self) -> int:
        """Return how many targets fit this machine's cache and memory in a step through both networks."""
        generator, device = self.generator.network, self.loader.device
        latents = generator.sample(1, self.space, torch.Generator(device).manual_seed(0))
        latents = latents.to(device, self.loader.dtype).requires_grad_(not self.encoder.spec.black_box)
        networks = nn.ModuleList([generator, self.encoder])
        return batch_size_for(lambda: self.encoder(generator(latents, self.space)), networks, device)

    @cached_property
    def whitening(self) -> Whitening:
        """PCA whitening fitted to the descriptors of the training pairs."""

        def make() -> dict[str, Tensor]:
            return dict(_whitening(self.pairs.descriptors).state_dict())

        found = self.cache.load_or_make("whitening", {"pairs": self.provenance, "version": 2}, make)
        return Whitening(found["mean"], found["matrix"]).to(self.loader.device)

    @cached_property
    def reading_whitening(self) -> Whitening:
        """The whitening of readers, fitted to the descriptors that they learn from."""
        photographs = self.photographs
        if photographs is None:
            return self.whitening
        made = lambda: dict(photographs.whitening().state_dict())  # noqa: E731
        found = self.cache.load_or_make("photographs whitening", photographs.made_of, made)
        return Whitening(found["mean"], found["matrix"]).to(self.loader.device)

    @cached_property
    def descriptor_statistics(self) -> DescriptorStatistics:
        """How far the samples' descriptors are from each other, and how long they are."""

        def make() -> dict[str, Tensor]:
            measured = DescriptorStatistics.of(self.pairs.descriptors, self.whitening)
            return {name: torch.tensor(value, dtype=torch.float64) for name, value in asdict(measured).items()}

        found = self.cache.load_or_make("descriptor statistics", self._whitened_by(self.whitening), make)
        return DescriptorStatistics(**{name: float(value) for name, value in found.items()})

    @cached_property
    def conditional_mean(self) -> ConditionalMean:
        """Linear estimate of the expected image given a descriptor, the upper bound for pixel metrics."""

        def make() -> dict[str, Tensor]:
            # Only if the file is gone: the pass that embeds the pairs makes it.
            sums = sum_images(self.pairs, self.generator, self.space, self._progress)
            return {"all": sums.coefficients(self.pairs.descriptors, self.whitening)}

        found = self.cache.load_or_make("conditional mean", self._whitened_by(self.whitening), make)
        return ConditionalMean(self.whitening, found["all"], self.generator.framing.size)

    def regressor(self, probes: Iterable[str] = ()) -> Reader:
        """Return the trained regressor from descriptors to latents.

        Args:
            probes: Names of probes whose readings it sees next to the descriptor; the paper's regressor ignores them.
        """
        name, seen, paper = self.regressor_name(probes), self._seen(probes), self._preset == "paper"
        if name not in self._regressors:
            shape = torch.Size(self.generator.network.latent_shape(self.space))
            inputs = Readings(self.whitening, map(self.reader, seen))
            reader = trained_reader(
                lambda: (latent_head if paper else nn.Linear)(inputs.outputs, shape.numel()),
                shape,
                lambda: Examples.of(self.pairs.descriptors, self.pairs.latents),
                LATENT_RECIPE if paper else LATENTS,
                seed=self._seed,
                what=name,
                parts=self._whitened_by(self.whitening) | {"readings": {name: self._own_of(name) for name in seen}},
                cache=self.cache,
                whitening=inputs,
                progress=self._progress,
            )
            self._regressors[name] = reader.to(self.loader.device, self.loader.dtype)
        return self._regressors[name]

    def regressor_name(self, probes: Iterable[str]) -> str:
        """Return how the regressor that sees these probes' readings is named in the cache."""
        return " ".join(["latent regressor", *self._seen(probes)])

    def _seen(self, probes: Iterable[str]) -> list[str]:
        return [] if self._preset == "paper" else sorted(set(probes))

    def probe(self, name: str) -> Probe:
        """Return the probe ``name`` for the generator's framing."""
        return self.loader.probe(name, self.generator.framing)

    def labels(self, name: str) -> Tensor:
        """Return the labels ``(N, *shape)`` of the pairs' images."""

        def make() -> dict[str, Tensor]:
            probe = self.probe(name)
            return {"labels": label_pairs(self.pairs.latents, probe, self.generator, self.space, self._progress)}

        return self.cache.load_or_make(*self._labels_of(name), make, bulky=True)["labels"]

    def examples(self, name: str) -> Examples:
        """Return what the reader of the probe ``name`` learns from."""
        if self.photographs is not None:
            return self.photographs.examples(name)
        # The pairs first: the pass that embeds them also labels them.
        return Examples.of(self.pairs.descriptors, self.labels(name))

    def reader(self, name: str) -> Reader:
        """Return the trained reader of the probe ``name``."""
        if name in self._readers:
            return self._readers[name]
        probe, dim, paper = self.probe(name), self.encoder.dim, self._preset == "paper"
        on_pairs = self.photographs is None

        def make_head() -> nn.Module:
            if paper:
                return probe.paper_head(dim)
            return (pairs_head if on_pairs else TunedHead)(dim, math.prod(probe.shape))

        reader = trained_reader(
            make_head,
            tuple(probe.shape),
            lambda: self.examples(name),
            probe.paper_recipe() if paper else ON_PAIRS if on_pairs else ON_PHOTOGRAPHS,
            seed=self._seed,
            what=f"{name} probe",
            parts=self._read_by(name),
            cache=self.cache,
            whitening=self.reading_whitening,
            constrain=probe.constrain,
            reading_loss=probe.reading_loss,
            members=MEMBERS if on_pairs and not paper else 1,
            progress=self._progress,
        )
        self._readers[name] = reader.to(self.loader.device, self.loader.dtype)
        return self._readers[name]

    def probe_score(self, name: str) -> ProbeScore:
        """Return the error of the reader of the probe ``name`` on held-out examples, and that of guessing the mean."""

        def make() -> dict[str, Tensor]:
            probe, given = self.probe(name), self.examples(name)
            labels, split = given.targets, given.split
            truth = labels[split.test]
            guess = labels[split.train].mean(0).expand_as(truth)
            return {
                "descriptor": probe.error(self.read(name, given.descriptors[split.test]), truth).mean(),
                "baseline": probe.error(guess, truth).mean(),
                "n": torch.tensor(len(truth)),
                "learnt": torch.tensor(split.train.stop),
            }

        found = self.cache.load_or_make(f"{name} probe score", self._read_by(name), make)
        probe, unit = self.probe(name), self._spec(name).unit
        score, guess, n = float(found["descriptor"]), float(found["baseline"]), int(found["n"])
        learnt = int(found["learnt"])
        samples = f"{learnt:,} samples of {self.generator.spec.name}"
        learnt_from = self.photographs.described(name, learnt) if self.photographs is not None else samples
        return ProbeScore(score, guess, unit, n, probe.measured_by, tuple(probe.remarks), learnt_from)

    def error_covariance(self, name: str) -> Tensor:
        """Return the second moments ``(k, k)`` of a reader's errors on the validation part, in its coordinates."""

        def make() -> dict[str, Tensor]:
            probe, given = self.probe(name), self.examples(name)
            part = given.split.validation
            read, truth = self.read(name, given.descriptors[part]), given.targets[part]
            errors = probe.coordinates(read) - probe.coordinates(truth)
            return {"covariance": (errors.T @ errors / len(errors)).double()}

        found = self.cache.load_or_make(f"{name} probe errors", self._read_by(name), make)
        return found["covariance"].to(self.loader.device, self.loader.dtype)

    def read(self, name: str, descriptors: Tensor) -> Tensor:
        """Read the attribute of the probe ``name`` from ``descriptors`` ``(N, D)``: ``(N, *shape)``, on the CPU."""
        reader = self.reader(name)
        with torch.inference_mode():
            read: Tensor = reader(descriptors.to(self.loader.device, self.loader.dtype))
        return read.cpu().float()

    def _labels_of(self, name: str) -> tuple[str, dict[str, object]]:
        """Return how labels are named in the cache, and everything that they depend on."""
        return f"{name} labels", {"pairs": self.provenance, "probe": self.loader.provenance(self._spec(name))}

    def _whitened_by(self, whitening: Whitening) -> dict[str, object]:
        """Return everything that depends on the pairs through their whitening.

        It is part of the name because it rounds differently on another machine, and its axes may point the other way:
        what was learned behind one whitening is useless behind another.
        """
        return {"pairs": self.provenance, "whitening": tensors_sha256(whitening.state_dict())}

    def _read_by(self, name: str) -> dict[str, object]:
        """Return everything that the reader of a probe depends on, but for its recipe's settings."""
        return (self._whitened_by(self.whitening) if self.photographs is None else {}) | self._own_of(name)

    def _own_of(self, name: str) -> dict[str, object]:
        """Return what the reader of a probe depends on besides the pairs and their whitening."""
        settings = {"preset": self._preset, "seed": self._seed, "probe": self.loader.provenance(self._spec(name))}
        if self.photographs is None:
            return settings
        behind = tensors_sha256(self.reading_whitening.state_dict())
        return self.photographs.provenance(name) | {"whitening": behind} | settings

    def _spec(self, name: str) -> ProbeSpec:
        spec: ProbeSpec = self.loader.host.spec("probe", name)
        return spec


def _whitening(descriptors: Tensor) -> Whitening:
    """Return the whitening of the training part."""
    return Whitening.fitted(descriptors, torch.arange(len(descriptors))[Split.of(len(descriptors)).train])
