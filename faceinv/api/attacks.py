"""Load an encoder, invert descriptors and probe them, for tensors in memory."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from torch import Tensor, nn

from faceinv.attack.scale import at_scale
from faceinv.bench.cell import Cell
from faceinv.bench.config import BenchConfig, defaults, load_config
from faceinv.bench.grid import cells
from faceinv.bench.setup import Setup, make_loader, make_runner
from faceinv.contracts.methods import Inversion
from faceinv.errors import UsageError
from faceinv.models.external.declare import declare_module
from faceinv.models.loader import Encoder
from faceinv.plugins.host import Host
from faceinv.weights.store import WeightStore

if TYPE_CHECKING:
    from faceinv.attack.preparation import ProbeScore
    from faceinv.contracts.progress import Reporter

Weights = Mapping[str, str | Path]
Facts = Mapping[str, Any]


class Reconstructions(Inversion):
    """The result of :func:`invert`: an :class:`faceinv.contracts.Inversion` that a notebook shows as pictures."""

    def _repr_html_(self) -> str:
        from faceinv.report.notebook import of_images

        return of_images(("start", "reconstruction"), (self.start, self.images))


class ProbeScores(dict[str, "ProbeScore"]):
    """The scores of :func:`probe` by probe; a notebook shows them as a table."""

    def _repr_html_(self) -> str:
        from faceinv.report.notebook import of_rows

        return of_rows(
            ("probe", "from the descriptor", "guessing the mean", "better by", "n"),
            [
                (
                    name,
                    f"{score.descriptor:.2f} {score.unit}",
                    f"{score.baseline:.2f} {score.unit}",
                    f"{1 - score.descriptor / score.baseline:.0%}",
                    f"{score.n:,}",
                )
                for name, score in self.items()
            ],
        )


def load_encoder(
    name: str | nn.Module,
    *,
    facts: Facts | None = None,
    weights: str | Path | None = None,
    device: str = "cpu",
    plugins: Sequence[str | Path] = (),
    offline: bool = False,
    host: Host | None = None,
) -> Encoder:
    """Return a frozen face recognition network, fetching its weights on first use.

    Called with RGB images ``(B, 3, H, W)`` in ``[0, 1]`` in its own crop, ``encoder.spec.framing``, it returns
    descriptors ``(B, encoder.spec.dim)`` as that system stores them; ``encoder.spec.unit_length`` says whether
    they have length 1. Gradients flow to the images.

    Args:
        name: Name of the encoder, such as ``"arcface"`` or ``"arcface.r50-ms1mv3"``; or where it is, such as
            ``"onnx:FILE"`` or ``"encoder.yaml"``; or your own module.
        facts: What your module wants, as in an ``encoder.yaml``: ``{"framing": "arcface-112", "colour": "bgr"}``.
        weights: Your own weights file, in place of the published one.
        device: ``"cpu"``, ``"cuda"``, …
        plugins: Files or folders of plugins that are not installed.
        offline: Never use the network.
        host: The plugins, if you have loaded them yourself; replaces ``plugins``.

    Raises:
        UnknownNameError: if no plugin declares the name; the closest one is suggested.
        WeightsError: if the weights cannot be fetched, or belong to another network.

    Example:
        >>> encoder = faceinv.load_encoder("arcface")
        >>> encoder(torch.rand(2, 3, 112, 112)).shape
        torch.Size([2, 192])
    """
    host = host or Host(paths=plugins, offline=offline)
    name = _name_of(name, facts, host)
    files = {} if weights is None else {host.spec("encoder", name).name: weights}
    return make_loader(host, open_store(host, offline), weights=files, device=device).encoder(name)


def invert(
    descriptors: Tensor,
    *,
    encoder: str | nn.Module = "",
    facts: Facts | None = None,
    losses: Sequence[str] = (),
    generator: str = "",
    space: str = "",
    objective: str = "",
    loss_weights: Mapping[str, float] | None = None,
    method: str = "",
    steps: int | None = None,
    pairs: int | None = None,
    probe_data: str = "",
    protect: str = "",
    threat: str = "",
    seed: int = 0,
    names: Sequence[str] | None = None,
    weights: Weights | None = None,
    device: str = "cpu",
    batch_size: int | None = None,
    checkpoint_activations: bool = False,
    plugins: Sequence[str | Path] = (),
    offline: bool = False,
    host: Host | None = None,
    progress: Reporter | None = None,
) -> Reconstructions:
    """Reconstruct faces from descriptors (template inversion).

    Pairs, probes and the latent regressor for this encoder and generator are trained by the first call and read
    from the cache afterwards. The defaults are those that ``faceinv config`` prints.

    Args:
        descriptors: ``(N, D)`` as the encoder gives them, or one ``(D,)``.
        encoder: Name of the encoder that they come from, or your own module.
        facts: What your module wants; see :func:`load_encoder`.
        losses: Losses of the objective, such as ``["id", "lm", "hist"]``.
        generator: Name of the generator.
        space: Latent space; by default the generator's first.
        objective: Preset of the weights, ``"balanced"``, ``"paper"`` or ``"paper-literal"``.
        loss_weights: Weights that override the preset's, by loss.
        method: Name of the inversion method.
        steps: Budget per target: image-steps, or queries for a method that only sees scores.
        pairs: Number of synthetic training pairs.
        probe_data: Photographs to train probes on in place of the pairs, ``"lfw:PATH"``; they should show nobody whose
            descriptor is inverted.
        protect: Protection under which a system stores the descriptors, such as ``"biohash:bits=128"``; they are
            recovered from the templates first.
        threat: What the attacker has of that system: ``"key-known"``, ``"key-stolen-late"`` or ``"key-secret"``.
        seed: Seed of keys, and of methods that use random numbers.
        names: Name of each descriptor; together with the seed it determines a method's random numbers.
        weights: Your own weights files, by name.
        device: ``"cpu"``, ``"cuda"``, …
        batch_size: Descriptors per batch.
        checkpoint_activations: Recompute the generator's activations in the backward pass to save memory.
        plugins: Files or folders of plugins that are not installed.
        offline: Never use the network.
        host: The plugins, if you have loaded them yourself; replaces ``plugins``.
        progress: Called with (what, done, of).

    Returns:
        ``images`` ``(N, 3, H, W)`` in ``[0, 1]`` in the generator's framing, ``latents``, the start images, the
        trajectory of the losses, and the number of queries.

    Raises:
        UsageError: if a name or value is not allowed.
        ShapeError: if the shape or values of the descriptors cannot come from this encoder.
        InputError: if they are unlike this encoder's at any length.

    Warns:
        UserWarning: if they have other lengths than the encoder gives, such as 1, and were scaled.

    Example:
        >>> result = faceinv.invert(descriptors, encoder="arcface", losses=["id", "lm", "hist"])
        >>> result.images.shape
        torch.Size([1, 3, 64, 64])
    """
    host = host or Host(paths=plugins, offline=offline)
    given: dict[str, Any] = {
        "encoder": _name_of(encoder, facts, host),
        "losses": ",".join(losses),
        "generator": generator,
        "space": space,
        "objective": objective,
        "method": method,
        "steps": steps,
        "pairs": pairs,
        "probe_data": probe_data,
        "protect": protect,
        "threat": threat,
        "seed": seed,
        "loss_weights": dict(loss_weights or {}),
        "weights": dict(weights or {}),
        "device": device,
        "batch_size": batch_size,
        "checkpoint_activations": checkpoint_activations,
    }
    config, cell = _only_cell(given, host)
    runner = make_runner(host, open_store(host, offline), config, [cell], progress=progress)
    batch = descriptors[None] if descriptors.ndim == 1 else descriptors
    if names is not None and len(names) != len(batch):
        raise UsageError(f"Got {len(names)} names for {len(batch)} descriptors.")
    named = names if names is not None else [str(row) for row in range(len(batch))]
    batch = at_scale(batch, runner.preparation(cell), named, lambda text: warnings.warn(text, stacklevel=4))
    recovered = runner.recovered(cell, batch, named)
    return Reconstructions(**vars(runner.invert(cell, recovered.descriptors if recovered else batch, named)))


@overload
def probe(
    attributes: Sequence[str],
    *,
    encoder: str = "",
    generator: str = "",
    space: str = "",
    recipe: str = "",
    pairs: int | None = None,
    probe_data: str = "",
    weights: Weights | None = None,
    device: str = "cpu",
    plugins: Sequence[str | Path] = (),
    offline: bool = False,
    host: Host | None = None,
    progress: Reporter | None = None,
) -> ProbeScores: ...


@overload
def probe(
    attributes: Sequence[str] = (),
    *,
    dataset: str,
    encoder: str = "",
    labels: str | Path | None = None,
    limit: int | None = None,
    image: bool = False,
    precision: str = "fp32",
    seed: int = 0,
    out: str | Path = "runs/probe",
    recipe: str = "",
    weights: Weights | None = None,
    device: str = "cpu",
    plugins: Sequence[str | Path] = (),
    offline: bool = False,
    host: Host | None = None,
    progress: Reporter | None = None,
) -> list[dict[str, Any]]: ...


def probe(
    attributes: Sequence[str] = (),
    *,
    dataset: str = "",
    encoder: str = "",
    generator: str = "",
    space: str = "",
    recipe: str = "",
    pairs: int | None = None,
    probe_data: str = "",
    labels: str | Path | None = None,
    limit: int | None = None,
    image: bool = False,
    precision: str = "fp32",
    seed: int = 0,
    out: str | Path = "runs/probe",
    weights: Weights | None = None,
    device: str = "cpu",
    plugins: Sequence[str | Path] = (),
    offline: bool = False,
    host: Host | None = None,
    progress: Reporter | None = None,
) -> ProbeScores | list[dict[str, Any]]:
    """Measure how well attributes can be inferred from an encoder's descriptors.

    Without a ``dataset`` this needs no photographs: probes are trained on descriptors of a generator's samples and
    scored on held-out samples, as in ``faceinv train``. With one, heads are trained on its photographs and scored on
    people that were not used for training, as in ``faceinv probe``. The defaults are those that ``faceinv config``
    prints.

    Args:
        attributes: Names of probes, such as ``["landmarks", "histogram"]``, and of annotations of the data set;
            empty for the data set's default ones.
        dataset: ``"lfw:PATH"``, ``"celeba:PATH"``, ``"folder:PATH"``, …
        encoder: Name of the encoder.
        labels: CSV file of annotations, for a ``dataset`` that takes one.
        limit: Maximum number of photographs of the ``dataset``.
        image: Also train a network on the photographs, for comparison; this takes long.
        precision: Precision of the encoder on a ``dataset``, ``"fp32"`` or ``"bf16"``.
        seed: Seed of training and intervals on a ``dataset``.
        out: Run folder for records of a ``dataset``.
        generator: Name of the generator.
        space: Latent space; by default the generator's first.
        recipe: Training recipe of the heads, ``"tuned"`` or ``"paper"``.
        pairs: Number of synthetic training pairs.
        probe_data: Without a ``dataset``: photographs to train probes on, and to score them on, in place of the pairs.
        weights: Your own weights files, by name.
        device: ``"cpu"``, ``"cuda"``, …
        plugins: Files or folders of plugins that are not installed.
        offline: Never use the network.
        host: The plugins, if you have loaded them yourself; replaces ``plugins``.
        progress: Called with (what, done, of).

    Returns:
        Without a ``dataset``, for each probe: its mean error, that of always guessing the mean, their unit, and the
        number of held-out samples. With one, the rows of ``faceinv probe --json``.

    Raises:
        UsageError: if a name or value is not allowed.
        InputError: if the data set cannot be used.

    Example:
        >>> score = faceinv.probe(["histogram"], encoder="arcface")["histogram"]
        >>> score.descriptor < score.baseline
        True
    """
    host = host or Host(paths=plugins, offline=offline)
    if not dataset:
        given: dict[str, Any] = {"encoder": encoder, "generator": generator, "space": space, "probes": recipe}
        given |= {"pairs": pairs, "probe_data": probe_data}
        wanted = {name: host.spec("probe", name).name for name in attributes}
        config, cell = _only_cell(given | {"weights": dict(weights or {}), "device": device}, host)
        runner = make_runner(
            host, open_store(host, offline), config, [cell], progress=progress, probes=list(wanted.values())
        )
        preparation = runner.preparation(cell)
        return ProbeScores((name, preparation.probe_score(probe)) for name, probe in wanted.items())

    from faceinv.audit.image_reader import ImageRecipe
    from faceinv.audit.setup import make_audit

    standard = defaults()
    audit = make_audit(
        make_loader(host, open_store(host, offline), weights=weights, device=device),
        dataset,
        attributes=attributes,
        recipes=[recipe] if recipe else [],
        generator=generator or standard["generator"][0],
        detector=standard["detector"],
        labels=Path(labels) if labels else None,
        limit=limit,
        seed=seed,
        image=ImageRecipe() if image else None,
        precision=precision,
        out=Path(out),
        progress=progress,
    )
    return [row.as_json() for row in audit.run(encoder or standard["encoder"][0]).rows]


def _only_cell(given: Mapping[str, Any], host: Host) -> tuple[BenchConfig, Cell]:
    """Return a config and its only cell; empty values are left to the defaults."""
    config, source = load_config(None, {key: value for key, value in given.items() if value not in ("", None)})
    (cell,) = cells(config, host, source)
    return config, cell


def open_store(host: Host, offline: bool) -> WeightStore:
    """Return the weights files that the plugins declare."""
    return Setup(offline=offline).store(host)


def _name_of(encoder: str | nn.Module, facts: Facts | None, host: Host) -> str:
    """Return the name of an encoder; a module gets one that its weights, its code and its facts decide."""
    if isinstance(encoder, str):
        if facts:
            raise UsageError(f"facts are for a module of your own; those of '{encoder}' belong in an encoder.yaml.")
        return encoder
    return host.adopt(declare_module(encoder, facts or {}))
