"""Score the reconstructions of cells; galleries, critics, metrics and protocols are built once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from torch import Tensor

from faceinv.bench.cell import Cell
from faceinv.bench.naming import recognition_key, targets_key
from faceinv.contracts.data import Dataset
from faceinv.contracts.metrics import Metric
from faceinv.contracts.progress import Reporter
from faceinv.contracts.protocols import IdentityProtocol, IdentityScores
from faceinv.contracts.specs import DatasetSpec, Framing, MetricSpec
from faceinv.data.alignment import needs_detector
from faceinv.data.images import rounded
from faceinv.data.targets import Targets
from faceinv.errors import InputError, WeightsError
from faceinv.models.loader import FramedEncoder, Loader
from faceinv.scoring.gallery import JUDGED, Gallery, gallery_of_dataset, gallery_of_people, gallery_of_targets
from faceinv.scoring.pairs import embed_all, score_pairs, with_floors
from faceinv.scoring.recognition import Recognition, cosines_of_pairs, identity_scores, measure_recognition

#: False match rate that a system is set to whose decisions leak.
SYSTEM_FMR = 1e-3


@dataclass(frozen=True)
class Pairs:
    """Scores of single pairs, and the descriptors that scores of all pairs together need.

    Args:
        columns: A value for each target, by column.
        descriptors: Descriptors of targets and of reconstructions, ``(n, D)`` each, by encoder.
        left_out: Reason why a metric is missing, by name.
    """

    columns: Mapping[str, list[float]]
    descriptors: Mapping[str, tuple[Tensor, Tensor]]
    left_out: Mapping[str, str]


@dataclass(frozen=True)
class Judgement:
    """All scores of a cell.

    Args:
        columns: A value for each target, by column, of the metrics that score pairs one by one.
        protocol_columns: A value for each target, by column, of the protocols.
        recognition: Recognition performance of each encoder, by role.
        protocols: Rows of each protocol, by name.
        left_out: Reason why a metric is missing, by name.
        people: The targets and further photographs of their people, likewise.
        judged: The photographs that encoders were judged on; ``None`` if no metric needs an encoder.
    """

    columns: Mapping[str, list[float]]
    protocol_columns: Mapping[str, list[float]]
    recognition: Mapping[str, Mapping[str, Any]]
    protocols: Mapping[str, list[Mapping[str, Any]]]
    left_out: Mapping[str, str]
    judged: Gallery | None
    people: Gallery | None


class Judge:
    """Scores the cells of a run.

    Args:
        loader: Builds encoders and metrics.
        progress: Called with (what, done, of).
        say: Called with remarks.
    """

    def __init__(
        self,
        loader: Loader,
        *,
        progress: Reporter | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._loader = loader
        self._progress = progress
        self._say = say
        self._said: set[str] = set()
        self._built: dict[tuple[str, str], Metric] = {}
        self._targets: dict[tuple[Any, ...], Tensor] = {}
        self._encoders: dict[tuple[str, str], FramedEncoder] = {}
        self._without: dict[str, str] = {}
        self._galleries: dict[tuple[Any, ...], Gallery] = {}
        self._recognition: dict[tuple[Any, ...], Recognition] = {}

    def columns(self, cell: Cell, targets: Targets, images: Tensor, results: Tensor) -> dict[str, list[float]]:
        """Score each reconstruction against its target, with the metrics that take single pairs."""
        pairs = self.pairs(cell, images, results)
        gallery = gallery_of_targets(targets, {name: own for name, (own, _) in pairs.descriptors.items()})
        return with_floors(pairs.columns, self._specs(cell), self._identity(cell, gallery, pairs.descriptors))

    def pairs(
        self,
        cell: Cell,
        targets: Tensor,
        results: Tensor,
        rows: range | None = None,
        expected: Callable[[], Tensor] | None = None,
    ) -> Pairs:
        """Score each pair by itself, and embed the images for scores that take all pairs together.

        Args:
            cell: The cell, for its metrics and encoders.
            targets: ``(n, 3, H, W)``.
            results: Their reconstructions ``(n, 3, H, W)``.
            rows: Rows of these targets among the cell's; cells with the same targets then embed them once.
            expected: Returns the expected images ``(n, 3, H, W)`` given the descriptors; metrics that declare a ceiling
                score them too.
        """
        descriptors = {
            name: (self.embed(cell, name, targets, rows), self.embed(cell, name, results))
            for name in dict.fromkeys(self._roles(cell).values())
        }
        metrics, left_out = self._metrics(cell)
        left_out |= {role: self._without[name] for role, name in cell.roles.items() if name in self._without}
        leaked = {role: cosines_of_pairs(*descriptors[name]) for role, name in self._roles(cell).items()}
        columns = score_pairs(targets, results, metrics, leaked)
        bounded = {name: pair for name, pair in metrics.items() if pair[0].ceiling}
        if bounded and expected:
            ceilings = score_pairs(targets, rounded(expected()), bounded, {})
            columns |= {f"{name}_ceiling": values for name, values in ceilings.items()}
        return Pairs(columns, descriptors, left_out)

    def embed(self, cell: Cell, encoder: str, images: Tensor, rows: range | None = None) -> Tensor:
        """Return the descriptors ``(n, D)`` of images in the generator's framing, on the CPU.

        Args:
            cell: The cell, for its generator.
            encoder: Name of the encoder.
            images: ``(n, 3, H, W)``.
            rows: Rows among the cell's targets if the images are targets; those are embedded once.
        """
        key = (targets_key(cell), encoder, rows)
        if rows is None or key not in self._targets:
            descriptors = embed_all(self._encoder(cell, encoder), images, device=self._loader.device)
            if rows is None:
                return descriptors
            self._targets[key] = descriptors
        return self._targets[key]

    def judge(
        self,
        cell: Cell,
        targets: Targets,
        columns: Mapping[str, list[float]],
        descriptors: Mapping[str, tuple[Tensor, Tensor]],
        left_out: Mapping[str, str],
        *,
        dataset: Dataset,
        recognition: tuple[Dataset, DatasetSpec] | None,
        leaked: Sequence[Sequence[str]] = (),
    ) -> Judgement:
        """Return all scores of a cell, given the results of :meth:`pairs` for all of its targets.

        Args:
            cell: The cell.
            targets: Its targets.
            columns: Scores of each pair, by column.
            descriptors: Descriptors of targets and reconstructions ``(N, D)``, by encoder.
            left_out: Reason why a metric is missing, by name.
            dataset: The data set of the targets, for further photographs of their people.
            recognition: The data set that thresholds are measured on, and its spec; ``None`` for the targets' people.
            leaked: Of each target the further photographs whose descriptors leaked.
        """
        known: dict[str, Recognition] = {}
        identity: dict[str, IdentityScores] = {}
        judged: Gallery | None = None
        gallery: Gallery | None = None
        if self._roles(cell):
            gallery = self._gallery(cell, targets, {name: own for name, (own, _) in descriptors.items()}, dataset)
            if leaked:
                place = {name: index for index, name in enumerate(dataset.ids)}
                gallery = replace(gallery, leaked=tuple(frozenset(place[name] for name in more) for more in leaked))
            key, judged = (targets_key(cell), ""), gallery.first_people(JUDGED)
            if recognition:
                key, judged = (recognition_key(cell), cell.recognition), self._recognition_gallery(cell, *recognition)
            known = {role: self._judged(key, name, judged, cell) for role, name in self._roles(cell).items()}
            identity = self._identity(cell, gallery, descriptors)
            identity = {role: replace(item, thresholds=known[role].thresholds) for role, item in identity.items()}
        columns = with_floors(columns, self._specs(cell), identity)
        protocols: dict[str, list[Mapping[str, Any]]] = {}
        protocol_columns: dict[str, list[float]] = {}
        for spec in self._specs(cell):
            if spec.protocol:
                protocol = cast(IdentityProtocol, self._loader.metric(spec.name, self._framing(cell)))
                found = protocol(list(identity.values()))
                protocol_columns |= {column: values.tolist() for column, values in found.columns.items()}
                protocols[spec.name] = list(found.rows)
        return Judgement(
            columns=columns,
            protocol_columns=protocol_columns,
            recognition={role: item.record(identity[role]) for role, item in known.items()},
            protocols=protocols,
            left_out=left_out,
            judged=judged,
            people=gallery,
        )

    def threshold(
        self,
        cell: Cell,
        targets: Targets,
        descriptors: Tensor,
        dataset: Dataset,
        recognition: tuple[Dataset, DatasetSpec] | None,
    ) -> tuple[float, float]:
        """Return the false match rate that a system is set to, 0.001 where it can be measured, and its threshold.

        Args:
            cell: The cell, for the attacked encoder.
            targets: Its targets.
            descriptors: Their descriptors ``(N, D)`` on that encoder.
            dataset: The data set of the targets.
            recognition: The data set that thresholds are measured on; ``None`` for the targets' people.

        Raises:
            InputError: if there are too few pairs of two people for any threshold.
        """
        name = cell.encoder
        if recognition:
            gallery = self._recognition_gallery(cell, *recognition, names=(name,))
        else:
            gallery = self._gallery(cell, targets, {name: descriptors}, dataset, names=(name,)).first_people(JUDGED)
        known = {item.fmr: item.threshold for item in measure_recognition(gallery, name, cell.recognition).thresholds}
        measured = {rate: value for rate, value in known.items() if value is not None}
        if not measured:
            raise InputError(
                f"--leak {cell.leak}: a system's threshold is measured on pairs of two people, and there are too few; "
                "take more targets (--limit) or another data set (--recognition)."
            )
        rate = SYSTEM_FMR if SYSTEM_FMR in measured else min(measured)
        return rate, measured[rate]

    def _specs(self, cell: Cell) -> list[MetricSpec]:
        return [self._loader.host.spec("metric", name) for name in cell.metrics]

    def _roles(self, cell: Cell) -> dict[str, str]:
        """Return the encoders that scores need, by role, without further critics whose weights are missing."""
        specs = self._specs(cell)
        # Recognition with templates is measured on the encoder that they protect, whatever the metrics need.
        kinds = {spec.encoder for spec in specs} | ({"attacked"} if cell.protection else set())
        every = any(spec.protocol for spec in specs)
        needed = {role: name for role, name in cell.roles.items() if every or role.partition(":")[0] in kinds}
        return {role: name for role, name in needed.items() if self._is_here(cell, name)}

    def _is_here(self, cell: Cell, name: str) -> bool:
        """Return whether an encoder can be built, and say once of a further critic that it cannot."""
        if name in cell.optional_critics and name not in self._without:
            try:
                self._encoder(cell, name)
            except WeightsError as error:
                self._without[name] = str(error)
                self._say(f"Without the critic {name}: {error}")
        return name not in self._without or name not in cell.optional_critics

    def _identity(
        self, cell: Cell, gallery: Gallery, descriptors: Mapping[str, tuple[Tensor, Tensor]]
    ) -> dict[str, IdentityScores]:
        return {
            role: identity_scores(role, name, descriptors[name][1], gallery) for role, name in self._roles(cell).items()
        }

    def _gallery(
        self,
        cell: Cell,
        targets: Targets,
        descriptors: Mapping[str, Tensor],
        dataset: Dataset,
        names: Sequence[str] = (),
    ) -> Gallery:
        """Return the targets and further photographs of their people."""
        detector = self._loader.detector(cell.detector) if needs_detector(dataset) else None
        told = self._told("embedding photographs of the targets' people")

        def build(encoders: Mapping[str, FramedEncoder]) -> Gallery:
            framing, device = self._framing(cell), self._loader.device
            own = {name: descriptors[name] for name in encoders}
            return gallery_of_people(
                targets, own, dataset, framing, encoders, detector=detector, device=device, progress=told
            )

        return self._completed(targets_key(cell), cell, build, names)

    def _judged(self, key: tuple[Any, ...], encoder: str, gallery: Gallery, cell: Cell) -> Recognition:
        """Return how well an encoder tells the people of a gallery apart, computed once per key."""
        if (key, encoder) not in self._recognition:
            self._recognition[key, encoder] = measure_recognition(gallery, encoder, cell.recognition)
        return self._recognition[key, encoder]

    def _recognition_gallery(
        self, cell: Cell, dataset: Dataset, spec: DatasetSpec, names: Sequence[str] = ()
    ) -> Gallery:
        detector = self._loader.detector(cell.detector) if needs_detector(dataset) else None
        told = self._told(f"embedding photographs of {cell.recognition}")

        def build(encoders: Mapping[str, FramedEncoder]) -> Gallery:
            framing, device, limit = self._framing(cell), self._loader.device, cell.recognition_limit
            return gallery_of_dataset(
                dataset, framing, encoders, limit=limit, real=spec.real, detector=detector, device=device, progress=told
            )

        return self._completed(recognition_key(cell), cell, build, names)

    def _completed(
        self,
        key: tuple[Any, ...],
        cell: Cell,
        build: Callable[[Mapping[str, FramedEncoder]], Gallery],
        names: Sequence[str] = (),
    ) -> Gallery:
        """Return the gallery under ``key`` with the descriptors of encoders, by default all of the cell's."""
        there = self._galleries.get(key)
        wanted = dict.fromkeys(names or self._roles(cell).values())
        missing = [name for name in wanted if there is None or name not in there.descriptors]
        if there is None or missing:
            built = build({name: self._encoder(cell, name) for name in missing})
            there = built if there is None else there.joined(built.descriptors)
            self._galleries[key] = there
        return there

    def _encoder(self, cell: Cell, name: str) -> FramedEncoder:
        key = (cell.generator, name)
        if key not in self._encoders:
            built = FramedEncoder(self._loader.encoder(name), self._framing(cell))
            self._encoders[key] = built.to(self._loader.device, self._loader.dtype)
        return self._encoders[key]

    def _framing(self, cell: Cell) -> Framing:
        return self._loader.generator(cell.generator).framing

    def _metrics(self, cell: Cell) -> tuple[dict[str, tuple[MetricSpec, Metric]], dict[str, str]]:
        """Return the metrics, and the reason for each one that is left out because it lacks its weights."""
        built: dict[str, tuple[MetricSpec, Metric]] = {}
        left_out: dict[str, str] = {}
        for spec in self._specs(cell):
            if spec.protocol:
                continue
            try:
                built[spec.name] = (spec, self._built_metric(cell, spec.name))
            except WeightsError as error:
                left_out[spec.name] = str(error)
                if spec.name not in self._said:
                    self._said.add(spec.name)
                    self._say(f"Without {spec.name}: {error}")
        return built, left_out

    def _built_metric(self, cell: Cell, name: str) -> Metric:
        key = (cell.generator, name)
        if key not in self._built:
            self._built[key] = self._loader.metric(name, self._framing(cell))
        return self._built[key]

    def _told(self, what: str) -> Callable[[int, int], None] | None:
        progress = self._progress
        return (lambda done, of: progress(what, done, of)) if progress else None
