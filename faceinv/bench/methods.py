"""The attack of a cell: its method, objective and step networks, each built once for all of the cell's batches."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from faceinv.attack.engine import invert
from faceinv.attack.objective import WeightedSum, prepared_objective, probes_read
from faceinv.attack.teaching import teach
from faceinv.attack.templates import ObjectiveOfAll
from faceinv.bench.cell import Cell
from faceinv.bench.naming import losses_of, method_key, objective_key, preparation_key, probes_of
from faceinv.bench.resources import Resources
from faceinv.contracts.methods import Inversion, Method
from faceinv.contracts.networks import Generator
from faceinv.contracts.specs import MethodSpec
from faceinv.errors import FaceinvError
from faceinv.hardware import sent
from faceinv.models.precision import step_networks
from faceinv.probes.reader import Reader
from faceinv.storage.hashing import seed_of
from faceinv.storage.tensors import Origin

T = TypeVar("T")


class Methods:
    """Builds and runs the attacks of cells.

    Args:
        resources: Networks, readers and the cache.
        cuda_graph: Replay the networks of a step from a CUDA graph.
    """

    def __init__(self, resources: Resources, *, cuda_graph: bool = False) -> None:
        self._resources = resources
        self._cuda_graph = cuda_graph
        self._stepping: dict[tuple[Any, ...], tuple[Generator, Callable[[Tensor], Tensor]]] = {}
        self._trained: dict[tuple[Any, ...], str] = {}
        self._seen_by: dict[tuple[Any, ...], list[str]] = {}
        #: The last method and objective. Batches of a cell share them; the next cell replaces them.
        self._last: dict[str, tuple[Hashable, Any]] = {}

    def spec(self, cell: Cell) -> MethodSpec:
        """Return the spec of the cell's method."""
        spec: MethodSpec = self._resources.host.spec("method", cell.method)
        return spec

    def prepare(self, cell: Cell) -> None:
        """Train everything that the cell's method and losses need, unless it is in the cache."""
        for name in probes_of(self._resources.host, cell):
            self._resources.preparation(cell).reader(name)
        self.start(cell)
        self.method(cell)

    def start(self, cell: Cell) -> Reader | None:
        """Return the latent regressor; ``None``, untrained, for a method that needs nothing beforehand."""
        if self.spec(cell).offline == "none":
            return None
        return self._resources.preparation(cell).regressor(self._seen(cell))

    def starts(self, cell: Cell, descriptors: Tensor) -> Tensor | None:
        """Return the images of the regressed latents ``(N, 3, H, W)``; ``None`` for a method without a regressor."""
        regressor, preparation = self.start(cell), self._resources.preparation(cell)
        if regressor is None:
            return None
        loader = self._resources.loader
        with torch.inference_mode():
            latents = regressor(sent(descriptors, loader.device, loader.dtype))
            images: Tensor = preparation.generator.network(latents, cell.space)
        return images

    def method(self, cell: Cell) -> Method:
        """Return the cell's method, trained if it learns."""

        def build() -> Method:
            spec = self.spec(cell)
            built: Method = self._resources.host.build(spec, **cell.method_options)
            shared = self._resources
            teach(built, spec, shared.preparation(cell), shared.progress)
            return built

        return self._once("method", method_key(cell), build)

    def objective(self, cell: Cell) -> WeightedSum:
        """Return the cell's objective."""

        def build() -> WeightedSum:
            losses, preparation = losses_of(self._resources.host, cell), self._resources.preparation(cell)
            return prepared_objective(preparation, losses, cell.objective, cell.loss_weights, self._resources.say)

        return self._once("objective", objective_key(cell), build)

    def invert(
        self,
        cell: Cell,
        descriptors: Tensor,
        names: Sequence[str],
        batch_size: int,
        on_step: Callable[[int], None] | None = None,
        start: Callable[[Tensor], Tensor] | None = None,
        templates: Tensor | None = None,
    ) -> Inversion:
        """Run the cell's method.

        Args:
            cell: The cell.
            descriptors: The leaked descriptors ``(N, D)``.
            names: Name of each target; its random seed depends on it.
            batch_size: Descriptors at a time.
            on_step: Called with the number of image-steps since the last call.
            start: Where the search starts; by default the latent regressor.
            templates: All leaked descriptors of each person ``(N, K, D)``, if the objectives of all are added up.

        Raises:
            FaceinvError: if an image is not finite, because the objective diverged.
        """
        loader, spec = self._resources.loader, self.spec(cell)
        generator, encode = self._step_networks(cell, min(batch_size, len(descriptors)))
        given, objective = sent(descriptors, loader.device, loader.dtype), self.objective(cell)
        inversion = invert(
            self.method(cell),
            given,
            encode=encode,
            access=spec.access,
            generator=generator,
            space=cell.space,
            objective=objective
            if templates is None
            else ObjectiveOfAll(objective, given, sent(templates, loader.device, loader.dtype)),
            start=start or self.start(cell),
            steps=cell.steps,
            # A result depends on the run's seed and the target's name, not on its position.
            seeds=[seed_of(f"{cell.seed} {name}") for name in names],
            name=spec.name,
            batch_size=batch_size,
            on_images=on_step,
        )
        bad = int((~(inversion.images + inversion.start).flatten(1).isfinite().all(1)).sum())
        if bad:
            raise FaceinvError(
                f"The method '{spec.name}' returned NaN or infinity for {bad} of {len(descriptors)} targets; "
                "try a lower learning rate or lower loss weights."
            )
        return inversion

    def trained_hash(self, cell: Cell) -> str:
        """Return a hash of the regressor and readers that the cell's reconstructions depend on."""
        preparation, names = self._resources.preparation(cell), probes_of(self._resources.host, cell)
        start = self.start(cell)
        key = (preparation_key(cell), start and preparation.regressor_name(self._seen(cell)), *names)
        if key not in self._trained:
            digest = hashlib.sha256()
            for reader in (*([start] if start else []), *map(preparation.reader, names)):
                for name, tensor in sorted(reader.state_dict().items()):
                    digest.update(name.encode() + tensor.cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
            self._trained[key] = digest.hexdigest()[:16]
        return self._trained[key]

    def origins(self, cell: Cell) -> dict[str, Origin]:
        """Return where each part came from that was learned from pairs and has been used for the cell."""
        spec, probes = self.spec(cell), probes_of(self._resources.host, cell)
        used = ["whitening", "descriptor statistics", "conditional mean", f"method {spec.name}"]
        preparation = self._resources.preparation(cell)
        used += [] if spec.offline == "none" else [preparation.regressor_name(self._seen(cell))]
        read = tuple(f"{name} probe" for name in probes)
        found = preparation.cache.origins
        return {what: origin for what, origin in found.items() if what in used or what.startswith(read)}

    def _seen(self, cell: Cell) -> list[str]:
        """Return the probes whose readings the cell's start sees."""
        key = objective_key(cell)
        if key not in self._seen_by:
            # Each batch asks for the start, and the scores behind this are read from files.
            preparation, losses = self._resources.preparation(cell), losses_of(self._resources.host, cell)
            self._seen_by[key] = probes_read(preparation, losses, cell.objective, cell.loss_weights)
        return self._seen_by[key]

    def _step_networks(self, cell: Cell, batch: int) -> tuple[Generator, Callable[[Tensor], Tensor]]:
        """Return generator and encoder in the cell's precision, compiled if it asks for that."""
        preparation, loader = self._resources.preparation(cell), self._resources.loader
        generator = preparation.generator.network
        if (cell.precision, cell.compile, self._cuda_graph) == ("fp32", False, False):
            return generator, preparation.encoder
        key = (preparation_key(cell), cell.precision, cell.compile)
        if key not in self._stepping:
            rng = torch.Generator().manual_seed(0)
            example = generator.sample(batch, cell.space, rng).to(loader.device, loader.dtype)
            self._stepping[key] = step_networks(
                generator,
                preparation.encoder,
                precision=cell.precision,
                compiled=cell.compile,
                cuda_graph=self._cuda_graph,
                example=example,
                space=cell.space,
                gradients=not preparation.encoder.spec.black_box,
                say=self._resources.say,
            )
        return self._stepping[key]

    def _once(self, kind: str, key: Hashable, build: Callable[[], T]) -> T:
        known, built = self._last.get(kind, (None, None))
        if known != key:
            built = build()
            self._last[kind] = (key, built)
        result: T = built
        return result
