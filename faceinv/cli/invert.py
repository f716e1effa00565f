"""``faceinv invert``: your own photographs or descriptors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from faceinv.cli.application import Application
from faceinv.cli.options import config_options, overrides
from faceinv.cli.report import OPEN, finish, make_report
from faceinv.errors import InputError, UsageError
from faceinv.plugins.protections import written

if TYPE_CHECKING:
    from torch import Tensor

    from faceinv.attack.preparation import Preparation
    from faceinv.bench.cell import Cell
    from faceinv.bench.runner import Runner
    from faceinv.contracts.methods import Inversion
    from faceinv.contracts.specs import EncoderSpec

#: Name of the record of the last call.
_RECORD = "inverted"
#: Keys without an option: all inputs are targets, pairs are scored one by one, and no threshold is measured.
_UNUSED = (
    "dataset",
    "labels",
    "limit",
    "per_person",
    "min_photographs",
    "skip",
    "ablate",
    "recognition",
    "recognition_limit",
    "leak",
    "knowledge",
    "surrogate",
    "leaked_per_person",
    "reporter",
    "answers",
)


@click.command()
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="IMAGE|DESCRIPTOR.npy…")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Config file.")
@config_options(without=_UNUSED)
@click.option("--one-person", is_flag=True, help="All descriptors are of one person: make one face of them (--fusion).")
@click.option("--json", "as_json", is_flag=True, help="Print the scores as JSON.")
@OPEN
@click.pass_obj
def invert(
    app: Application,
    /,
    inputs: tuple[Path, ...],
    config_file: Path | None,
    one_person: bool,
    as_json: bool,
    open_it: bool,
    **given: Any,
) -> None:
    """Reconstruct faces from photographs (embedded first) or from descriptors in .npy files.

    Writes one PNG per descriptor to --out (``inverted`` by default). For photographs it also writes the
    aligned target and scores the pair. report.html shows all results. With --protect, descriptors are protected as a
    system would store them, and recovered from the templates, before they are inverted.

    \b
    Examples:
      faceinv invert portrait.jpg
      faceinv invert leaked.npy --encoder arcface --losses id,lm,hist --out reconstructed
      faceinv invert monday.npy tuesday.npy friday.npy --one-person --fusion robust
    """
    from faceinv.bench.config import defaults, load_config
    from faceinv.bench.grid import cells
    from faceinv.bench.phases import invert_phases
    from faceinv.bench.setup import make_runner

    unused = {key: value for key, value in defaults().items() if key in _UNUSED}
    config, source = load_config(config_file, unused | {"out": Path("inverted")} | overrides(given, app.host))
    grid = cells(config, app.host, source)
    if len(grid) > 1:
        raise UsageError(
            f"invert takes one value per option; these options make a grid of {len(grid)}. Use 'faceinv bench' instead."
        )
    (cell,) = grid
    given_faces = _read(inputs, app.host.spec("encoder", cell.encoder))
    faces = [_one_person(given_faces)] if one_person else given_faces
    if one_person and cell.protection and config.fusion[0] == "sum":
        raise UsageError("--fusion sum needs the descriptors themselves; omit --protect, or choose another fusion.")
    _check_files(faces, config.out, [*inputs, config_file, *config.weights.values()])
    for warning in cell.warnings:
        app.warn(warning)
    with app.progress(invert_phases(cell, config, len(faces), app.host, app.store)) as progress:
        leaked = _hashes(faces) if cell.probe_data else []
        runner = make_runner(app.host, app.store, config, grid, progress=progress, say=app.say, leaked=leaked)
        descriptors, targets = _embedded(given_faces, runner, cell)
        templates = None
        if one_person:
            from faceinv.attack.templates import fused

            if config.fusion[0] == "sum":
                templates = descriptors[None]
            descriptors = fused(descriptors[None], config.fusion[0])
        names = [face.name for face in faces]
        recovered = runner.recovered(cell, descriptors, names)
        if recovered:
            app.say(f"Protected with {written(cell.protection, cell.protection_options)}, then {recovered.attack}.")
        inverted = recovered.descriptors if recovered else descriptors
        inversion = runner.invert(cell, inverted, names, templates=templates)
        rows = _write_and_score(runner, cell, config.out, faces, descriptors, targets, inversion)
        _write_record(runner, cell, config.out, rows, descriptors, targets, inversion)
        with progress.hidden():
            if as_json:
                app.print_json(rows)
            else:
                _print_table(app, rows)
        progress("report", 0, 1)
        page = make_report(app, (config.out,), loader=runner.loader)
    finish(app, page, open_it)


def _print_table(app: Application, rows: list[dict[str, Any]]) -> None:
    metrics = list(dict.fromkeys(key for row in rows for key in row if key not in ("name", "file")))
    scores = [[f"{row[key]:.3f}" if key in row else "" for key in metrics] for row in rows]
    lines = [(row["name"], row["file"], *values) for row, values in zip(rows, scores, strict=True)]
    app.print_table(("descriptor", "picture", *metrics), lines, right=metrics)


@dataclass(frozen=True)
class _Face:
    """A face to reconstruct.

    Args:
        path: Its photograph or the file of its descriptor.
        name: Its name, which its files begin with.
        descriptor: The descriptor; ``None`` for a photograph.
    """

    path: Path
    name: str
    descriptor: Tensor | None = None

    def file(self, out: Path, part: str = "") -> Path:
        """Return the path of its reconstruction in ``out``, or of ``"start"`` or ``"target"``."""
        return out / f"{self.name}{part and f'-{part}'}.png"


def _read(inputs: tuple[Path, ...], spec: EncoderSpec) -> list[_Face]:
    """Return the faces in these files; photographs are not read yet."""
    import torch

    from faceinv.cli.files import read_array
    from faceinv.models.loader import check_descriptors
    from faceinv.storage.schema import utf8

    faces: list[_Face] = []
    seen: Counter[str] = Counter()

    def add(path: Path, name: str, descriptor: Tensor | None = None) -> None:
        # A record is UTF-8, and names its files.
        name = utf8(name)
        # Two folders may each have a face.jpg.
        seen[name] += 1
        faces.append(_Face(path, name if seen[name] == 1 else f"{name}-{seen[name]}", descriptor))

    for path in inputs:
        if path.suffix != ".npy":
            add(path, path.stem)
            continue
        array = torch.from_numpy(read_array(path, "descriptors"))
        try:
            check_descriptors(array, spec)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        for row, descriptor in enumerate(array):
            add(path, path.stem if len(array) == 1 else f"{path.stem}-{row}", descriptor)
    return faces


def _one_person(faces: Sequence[_Face]) -> _Face:
    """Return the one face that is made of several descriptors.

    Raises:
        UsageError: if there is a photograph among them, or only one descriptor.
    """
    photograph = next((face for face in faces if face.descriptor is None), None)
    if photograph is not None:
        raise UsageError(
            f"--one-person takes descriptors, and {photograph.path} is none; 'faceinv embed' makes one of a photograph."
        )
    if len(faces) < 2:
        raise UsageError("--one-person needs several descriptors of the person, and there is one; omit the option.")
    return replace(faces[0], name="one-person")


def _check_files(faces: Sequence[_Face], out: Path, inputs: Iterable[Path | None]) -> None:
    """Raise :class:`UsageError` unless all files can be written without losing one; before anything is computed."""
    from faceinv.cli.files import check_outputs
    from faceinv.storage.run_folder import RunFolder

    parts = [(face, part) for face in faces for part in ("", "start", "target")]
    files = [face.file(out, part) for face, part in parts if part != "target" or face.descriptor is None]
    check_outputs([*files, out / "report.html"], inputs, RunFolder(out).records)


def _hashes(faces: Sequence[_Face]) -> list[str]:
    """Return the pixel hash of each photograph, so that probes do not learn from it."""
    from faceinv.contracts.data import pixel_hash
    from faceinv.data.images import read_image

    return [pixel_hash(read_image(face.path)) for face in faces if face.descriptor is None]


def _embedded(faces: Sequence[_Face], runner: Runner, cell: Cell) -> tuple[Tensor, dict[int, Tensor]]:
    """Return the descriptor of each face, and the aligned photographs by row."""
    import torch

    from faceinv.attack.scale import at_scale
    from faceinv.data.alignment import align_photograph
    from faceinv.data.images import read_image
    from faceinv.scoring.pairs import embed_all

    preparation: Preparation = runner.preparation(cell)
    leaked = {face.name: face.descriptor for face in faces if face.descriptor is not None}
    if leaked:
        scaled = at_scale(torch.stack(list(leaked.values())), preparation, list(leaked), runner.resources.say)
        leaked = dict(zip(leaked, scaled, strict=True))
    rows: list[Tensor] = []
    targets: dict[int, Tensor] = {}
    for face in faces:
        if face.descriptor is not None:
            rows.append(leaked[face.name])
            continue
        image = read_image(face.path)
        try:
            aligned = align_photograph(image, runner.loader.detector(cell.detector), preparation.generator.framing)
        except InputError as error:
            raise InputError(f"{face.path}: {error}") from None
        targets[len(rows)] = aligned
        rows.append(embed_all(preparation.encoder, aligned[None].to(runner.loader.device))[0])
    return torch.stack(rows), targets


def _write_and_score(
    runner: Runner,
    cell: Cell,
    out: Path,
    faces: Sequence[_Face],
    descriptors: Tensor,
    targets: dict[int, Tensor],
    inversion: Inversion,
) -> list[dict[str, Any]]:
    import torch

    from faceinv.data.images import write_image
    from faceinv.data.targets import Targets
    from faceinv.scoring.pairs import embed_all
    from faceinv.storage.columns import baseline
    from faceinv.storage.run_folder import RunFolder

    # First, so that an interrupted call can be repeated.
    RunFolder(out).records.mkdir(parents=True, exist_ok=True)
    results = inversion.images
    reached = embed_all(runner.preparation(cell).encoder, results.to(runner.loader.device))
    cosines = torch.nn.functional.cosine_similarity(reached, descriptors)
    rows: list[dict[str, Any]] = []
    for index, face in enumerate(faces):
        write_image(results[index], face.file(out))
        write_image(inversion.start[index], face.file(out, "start"))
        rows.append({"name": face.name, "file": str(face.file(out)), "id_sim_attacked": float(cosines[index])})
    if targets:
        which = list(targets)
        images = torch.stack([targets[index] for index in which])
        photographs = Targets(ids=tuple(faces[index].name for index in which), identities=None, real=True, skipped=())
        columns = runner.judge.columns(cell, photographs, images, results[which])
        for position, index in enumerate(which):
            write_image(targets[index], faces[index].file(out, "target"))
            rows[index] |= {key: values[position] for key, values in columns.items() if not baseline(key)}
    return rows


def _write_record(
    runner: Runner,
    cell: Cell,
    out: Path,
    rows: list[dict[str, Any]],
    descriptors: Tensor,
    targets: dict[int, Tensor],
    inversion: Inversion,
) -> None:
    """Write a record of this call, so that the report can read it as a run."""
    from faceinv.bench.record import inverted_record
    from faceinv.storage.hashing import file_sha256
    from faceinv.storage.run_folder import RunFolder

    preparation, host = runner.preparation(cell), runner.loader.host
    names = list(dict.fromkeys(key for row in rows for key in row if key not in ("name", "file")))
    columns = {name: [row.get(name) for row in rows] for name in names}
    probes = [probe for name in cell.losses if (probe := host.spec("loss", name).probe)]
    folder = RunFolder(out)
    digests = folder.write_rows(_RECORD, {"target": [row["name"] for row in rows], **columns})
    if probes:
        read = {name: preparation.read(name, descriptors).numpy() for name in probes}
        digests |= folder.write_attributes(_RECORD, read)
    for index, row in enumerate(rows):
        result = Path(row["file"])
        for part in ("", "-start", "-target") if index in targets else ("", "-start"):
            name = f"{result.stem}{part}.png"
            digests[name] = file_sha256(out / name)
    record = inverted_record(
        _RECORD,
        cell,
        host,
        {name: value for name, value in runner.resources.weights(cell).items() if name != "data set"},
        [Path(row["file"]).stem for row in rows],
        columns,
        descriptors,
        inversion,
        {name: preparation.probe_score(name) for name in probes},
        runner.shares(cell, {name: series.sum(1).tolist() for name, series in inversion.trajectory.items()}),
        batch_size=runner.batch_size(cell),
        photographs=len(targets),
    )
    folder.write(record.model_copy(update={"digests": digests, **runner.learned(cell)}))
