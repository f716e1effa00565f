"""Everything prepared once per encoder and generator: pairs, readers, the latent regressor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from faceinv.attack.ceiling import ConditionalMean, coefficients
from faceinv.attack.pairs import Pairs, label_pairs, make_pairs
from faceinv.contracts.probes import Probe
from faceinv.contracts.progress import Reporter
from faceinv.contracts.specs import ProbeSpec
from faceinv.models.batching import batch_size_for
from faceinv.models.loader import FramedEncoder, Loader
from faceinv.plugins.code import MAKING, core_hash
from faceinv.probes.reader import Reader, Split, TunedHead, latent_head, trained_reader
from faceinv.probes.recipe import LATENT_RECIPE, TUNED
from faceinv.probes.whitening import Whitening
from faceinv.storage.hashing import fingerprint
from faceinv.storage.tensors import load_or_make

#: What makes pairs and all that is trained on them, besides networks and probes.
_MODULES = tuple(f"attack/{name}.py" for name in ("ceiling", "pairs", "preparation", "teaching"))


@dataclass(frozen=True)
class ProbeScore:
    """Error of a probe on held-out synthetic descriptors.

    Args:
        descriptor: Mean error of the attribute read from the descriptor.
        baseline: Mean error of always guessing the training mean.
        unit: Unit of both.
        n: Number of held-out samples.
    """

    descriptor: float
    baseline: float
    unit: str
    n: int


class Preparation:
    """Everything trained for one encoder and one generator; each part is made on first use and kept.

    Args:
        loader: Builds networks and probes.
        encoder: Name of the attacked encoder.
        generator: Name of the generator.
        space: Latent space.
        pairs: Number of synthetic pairs to train on.
        preset: Recipe of the probes: ``"tuned"`` or ``"paper"``.
        folder: Cache folder.
        progress: Called with (what, done, of).
        seed: Seed of pairs and training. Independent of the run's seed, so that runs share the cache.
        probes: Probes that will be read; their labels are computed in the pass that embeds the pairs.
        say: Called with a line for each cached part that cannot be used and is made anew.
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
        folder: Path,
        progress: Reporter | None = None,
        seed: int = 0,
        probes: Sequence[str] = (),
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.loader = loader
        self.generator = loader.generator(generator)
        self.space = self.generator.space(space)
        self.encoder = FramedEncoder(loader.encoder(encoder), self.generator.framing).to(loader.device)
        self._n = pairs
        self._preset = preset
        self._folder = folder
        self._progress = progress
        self._say = say
        self._seed = seed
        self._readers: dict[str, Reader] = {}
        self._probes = tuple(probes)

    @cached_property
    def pairs(self) -> Pairs:
        """The synthetic pairs."""
        return make_pairs(
            self.encoder,
            self.generator,
            self.space,
            self._n,
            self._seed,
            self._folder,
            {
                "core": core_hash(*_MODULES, of=MAKING),
                "encoder": self.loader.provenance(self.encoder.spec),
                "generator": self.loader.provenance(self.generator.spec),
            },
            self._progress,
            {self._label_key(name): self.probe(name) for name in self._probes},
            self._say,
        )

    def batch_size(self) -> int:
        """Return how many targets fit this machine's cache and memory in a step through both networks."""
        generator, device = self.generator.network, self.loader.device
        latents = generator.sample(1, self.space, torch.Generator(device).manual_seed(0))
        latents = latents.to(device, self.loader.dtype).requires_grad_(not self.encoder.spec.black_box)
        networks = nn.ModuleList([generator, self.encoder])
        return batch_size_for(lambda: self.encoder(generator(latents, self.space)), networks, device)

    @cached_property
    def descriptor_variance(self) -> float:
        """Mean squared distance of the samples' descriptors to their mean."""
        return float(self.pairs.descriptors.var(0, correction=0).sum())

    @cached_property
    def whitening(self) -> Whitening:
        """PCA whitening fitted to the descriptors of the training pairs."""
        descriptors = self.pairs.descriptors

        def make() -> dict[str, Tensor]:
            rows = torch.arange(len(descriptors))[Split.of(len(descriptors)).train]
            return dict(Whitening.fitted(descriptors, rows).state_dict())

        found = load_or_make(self._folder / f"whitening-{self.pairs.key}-2.safetensors", make, self._say)
        return Whitening(found["mean"], found["matrix"]).to(self.loader.device)

    @cached_property
    def conditional_mean(self) -> ConditionalMean:
        """Linear estimate of the expected image given a descriptor, the upper bound for pixel metrics."""
        pairs, generator = self.pairs, self.generator.network

        def make() -> dict[str, Tensor]:
            whitening, told = self.whitening, self._progress
            return {"all": coefficients(pairs.latents, pairs.descriptors, generator, self.space, whitening, told)}

        found = load_or_make(self._folder / f"conditional mean-{pairs.key}.safetensors", make, self._say)
        return ConditionalMean(self.whitening, found["all"], self.generator.framing.size)

    @cached_property
    def regressor(self) -> Reader:
        """The regressor from descriptors to latents."""
        shape = self.generator.network.latent_shape(self.space)
        outputs = int(torch.Size(shape).numel())
        reader = trained_reader(
            lambda: latent_head(self.encoder.dim, outputs),
            self.pairs.descriptors,
            self.pairs.latents,
            LATENT_RECIPE,
            seed=self._seed,
            what="latent regressor",
            parts={"pairs": self.pairs.key},
            folder=self._folder,
            whitening=self.whitening,
            progress=self._progress,
            say=self._say,
        )
        return reader.to(self.loader.device, self.loader.dtype)

    def probe(self, name: str) -> Probe:
        """Return the probe ``name`` for the generator's framing."""
        return self.loader.probe(name, self.generator.framing)

    def labels(self, name: str) -> Tensor:
        """Return the labels ``(N, *shape)`` of the pairs' images."""
        return label_pairs(
            self.pairs,
            self.probe(name),
            self._label_key(name),
            self.generator,
            self.space,
            self._folder,
            self._progress,
            self._say,
        )

    def reader(self, name: str) -> Reader:
        """Return the trained reader of the probe ``name``."""
        if name in self._readers:
            return self._readers[name]
        probe, labels = self.probe(name), self.labels(name)
        dim, outputs = self.encoder.dim, labels[0].numel()
        paper = self._preset == "paper"

        def make_head() -> nn.Module:
            return probe.paper_head(dim) if paper else TunedHead(dim, outputs)

        reader = trained_reader(
            make_head,
            self.pairs.descriptors,
            labels,
            probe.paper_recipe() if paper else TUNED,
            seed=self._seed,
            what=f"{name} probe",
            parts={"pairs": self.pairs.key, "probe": name, "key": self._label_key(name)},
            folder=self._folder,
            whitening=self.whitening,
            constrain=probe.constrain,
            reading_loss=probe.reading_loss,
            progress=self._progress,
            say=self._say,
        )
        self._readers[name] = reader.to(self.loader.device, self.loader.dtype)
        return self._readers[name]

    def probe_score(self, name: str) -> ProbeScore:
        """Return the error of the reader of the probe ``name`` on held-out pairs, next to that of guessing the mean."""
        probe, labels = self.probe(name), self.labels(name)
        split = Split.of(len(labels))
        truth = labels[split.test]
        read = self.read(name, self.pairs.descriptors[split.test])
        guess = labels[split.train].mean(0).expand_as(truth)
        return ProbeScore(
            float(probe.error(read, truth).mean()),
            float(probe.error(guess, truth).mean()),
            self._spec(name).unit,
            len(truth),
        )

    def read(self, name: str, descriptors: Tensor) -> Tensor:
        """Read the attribute of the probe ``name`` from ``descriptors`` ``(N, D)``: ``(N, *shape)``, on the CPU."""
        reader = self.reader(name)
        with torch.inference_mode():
            read: Tensor = reader(descriptors.to(self.loader.device, self.loader.dtype))
        return read.cpu().float()

    def _label_key(self, name: str) -> str:
        return fingerprint(self.loader.provenance(self._spec(name)))

    def _spec(self, name: str) -> ProbeSpec:
        spec: ProbeSpec = self.loader.host.spec("probe", name)
        return spec
