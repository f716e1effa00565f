"""From names to an audit, for the command line and the Python API."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from faceinv.audit.audit import Audit
from faceinv.audit.image_reader import ImageRecipe
from faceinv.audit.settings import AuditSettings
from faceinv.contracts.data import DatasetContext
from faceinv.contracts.progress import Reporter
from faceinv.contracts.specs import DatasetSpec
from faceinv.data.opening import open_dataset, parse_dataset
from faceinv.errors import UsageError
from faceinv.models.loader import Loader
from faceinv.storage.cache import cache_folder
from faceinv.storage.hashing import file_sha256
from faceinv.storage.probe_folder import ProbeFolder

#: Samples of a generator, unless a limit says otherwise.
_SAMPLES = 5000


def make_audit(
    loader: Loader,
    dataset: str,
    *,
    attributes: Sequence[str],
    recipes: Sequence[str],
    generator: str,
    detector: str,
    labels: Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    image: ImageRecipe | None = None,
    precision: str = "fp32",
    compile: bool = False,  # as in torch.compile
    out: Path,
    progress: Reporter | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Audit:
    """Return the audit of a data set.

    Args:
        loader: Builds networks.
        dataset: ``name`` or ``name:PATH``.
        attributes: Annotations and probes to read; empty for the default ones.
        recipes: Recipes of the heads; empty for ``"tuned"``.
        generator: Name of the generator, for a data set of samples.
        detector: Name of the detector, for photographs without a framing.
        labels: CSV file of annotations.
        limit: Maximum number of images.
        seed: Seed of trainings and intervals.
        image: Recipe of the network that reads the photographs; ``None`` leaves it out.
        precision: Of the encoder, ``"fp32"`` or ``"bf16"``.
        compile: Whether to compile the encoder.
        out: Folder of the records.
        progress: Called with (what, done, of).
        say: Called with remarks.

    Raises:
        UsageError: if a name or value is not allowed, or there is nothing to read.
        InputError: if the data set cannot be used.
    """
    context = DatasetContext(None, None, "", seed, limit, labels)
    named: DatasetSpec = loader.host.spec("dataset", parse_dataset(loader.host, dataset)[0])
    if not named.real:
        loaded = loader.generator(generator)
        context = DatasetContext(loaded.network, loaded.framing, loaded.space(), seed, limit or _SAMPLES, labels)
    opened, spec = open_dataset(loader.host, dataset, context, files=loader.paths)
    settings = AuditSettings(
        dataset=dataset,
        labels=file_sha256(labels) if labels else "",
        attributes=tuple(attributes),
        recipes=tuple(recipes) or ("tuned",),
        detector=loader.host.spec("detector", detector).name if opened.framing is None else "",
        limit=limit,
        seed=seed,
        image=image,
        precision=precision,
        compile=compile,
    )
    audit = Audit(
        loader, opened, spec, settings, folder=ProbeFolder(out), cache=cache_folder(), progress=progress, say=say
    )
    if not audit.attributes:
        raise UsageError("There is nothing to read: the data set has no annotations and no probe is installed.")
    return audit
