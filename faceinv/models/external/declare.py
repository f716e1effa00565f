"""The declaration of a user's encoder: its name, which its content and the facts about it decide, and its files."""

from __future__ import annotations

import copy
import hashlib
import inspect
import re
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from torch import nn

from faceinv.contracts.specs import EncoderSpec, Framing, WeightSpec
from faceinv.errors import PluginError, UsageError, WeightsError, shown
from faceinv.models.external.build import MODULES, translated
from faceinv.models.external.facts import Facts, read_facts
from faceinv.models.external.hub import repository, repository_of_timm
from faceinv.models.external.timm_model import FEATURES, TimmModel
from faceinv.models.onnx.call import UnsupportedError
from faceinv.models.onnx.network import entry_of
from faceinv.plugins.external import SCHEMES, External, parts_of
from faceinv.storage.hashing import file_sha256, fingerprint
from faceinv.weights.formats.onnx import read_onnx
from faceinv.weights.sources.http import is_loopback

_BUILD = "faceinv.models.external.build"
_HUB = ("hf", "timm")
_PROGRAMS = {"torch": "an exported program", "torchscript": "a TorchScript program"}


def declare(scheme: str, rest: str, *, offline: bool = False) -> External:
    """Return the declaration of an encoder by the way it is named on the command line.

    Args:
        scheme: What it is: ``"onnx"``, ``"yaml"``, …
        rest: Where it is.
        offline: Whether the network must not be used.

    Raises:
        UsageError: if the name or a fact is not allowed.
        WeightsError: if its file cannot be read or is no encoder.
    """
    if scheme != "yaml":
        return _declare(scheme, rest, {}, f"{scheme}:{rest}", offline=offline)
    given, file = read_facts(Path(rest))
    return _declare(*_beside(Path(rest), file), given, rest, offline=offline)


def _beside(yaml: Path, file: str) -> tuple[str, str]:
    """Return what the encoder of a YAML file is and where: a file is looked for where the YAML is."""
    parts = parts_of(file)
    if parts is None or parts[0] == "yaml":
        allowed = ", ".join(f"{name}:{what}" for name, what in SCHEMES.items())
        raise UsageError(f"{yaml}: file must be a .onnx or .pt2 file or one of {allowed}; got '{shown(file)}'.")
    scheme, place = parts
    return scheme, str(yaml.parent / place) if scheme == "onnx" or scheme in _PROGRAMS else place


def _declare(
    scheme: str, rest: str, given: Mapping[str, Any], where: str, *, tell: bool = True, offline: bool = False
) -> External:
    if scheme in _HUB:
        return _repository(scheme, rest, given, where, assumed=tell and not given, offline=offline)
    facts = Facts.of(given, where)
    if scheme == "onnx":
        return _onnx(Path(rest), facts, where, assumed=tell and not given)
    if scheme in _PROGRAMS:
        return _program(scheme, Path(rest), facts, where)
    if scheme == "command":
        return _command(rest, Facts.of({"scaling": "0..255", **given}, where), where)
    return _service(f"{scheme}:{rest}", Facts.of({"scaling": "0..255", **given}, where), where, offline)


def declare_for_inspection(name: str, given: Mapping[str, Any], *, offline: bool = False) -> External:
    """Return the declaration of an encoder whose images are about to be tried in many ways.

    The length of its descriptors need not be known.

    Args:
        name: How it is named on the command line.
        given: What is known of it.
        offline: Whether the network must not be used.

    Raises:
        UsageError: if the name does not say where it is, or a fact is not allowed.
        WeightsError: if its file cannot be read or is no encoder.
    """
    parts = parts_of(name)
    if parts is None:
        raise UsageError(
            f"'{shown(name)}' is no file: give one as FILE.onnx or as {' or '.join(SCHEMES)} with a colon."
        )
    scheme, rest = parts
    if scheme == "yaml":
        known, file = read_facts(Path(rest))
        scheme, rest = _beside(Path(rest), file)
        kept = ("size", "dim", "output", "batch", "rate", "queries", "timeout", "body")
        given = {key: known[key] for key in kept if key in known} | dict(given)
    elif scheme in _PROGRAMS and "size" not in given:
        raise UsageError(
            f"'{shown(name)}' is {_PROGRAMS[scheme]}, which does not say how large its images are: --size N."
        )
    given = {"dim": 1, **given} if scheme in _PROGRAMS else given
    return _declare(scheme, rest, given, name, tell=False, offline=offline)


def declare_module(module: nn.Module, given: Mapping[str, Any]) -> External:
    """Return the declaration of a module in memory; a frozen copy of it is kept.

    Args:
        module: Maps images to descriptors.
        given: Facts about it, by name.

    Raises:
        UsageError: if a fact is not allowed.
        PluginError: if it does not return one vector for each image.
    """
    facts = Facts.of(given, type(module).__name__)
    frame = facts.frame()
    kept = copy.deepcopy(module).eval().requires_grad_(False)
    try:
        with torch.no_grad():
            made = kept.cpu()(torch.full((2, 3, *frame.size), 0.5))
    except (RuntimeError, TypeError, ValueError) as error:
        raise PluginError(f"{type(module).__name__} cannot embed images of {frame.size}: {shown(error)}") from error
    if not isinstance(made, torch.Tensor) or made.ndim != 2 or len(made) != 2:
        raise PluginError(f"{type(module).__name__} must return one vector for each image, as a tensor (B, dim).")
    try:
        source = inspect.getsource(type(module))
    except (OSError, TypeError):
        source = ""
    digest = hashlib.sha256(f"{type(module).__qualname__}\n{source}\n{module}".encode())
    for name, tensor in kept.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    key = digest.hexdigest()
    MODULES[key] = kept
    options = {"key": key}
    return _external(type(module).__name__, key, "from_memory", facts, frame, made.shape[1], options=options)


def _onnx(path: Path, facts: Facts, where: str, assumed: bool) -> External:
    graph = read_onnx(path)
    black_box, note = False, ""
    try:
        network = translated(path, facts)
        size, dim = network.size, network.dim
    except UnsupportedError as error:
        from faceinv.models.external.runtime import OnnxRuntime

        black_box, note = True, f"; black box: {str(error).removeprefix(f'{path}: ').rstrip('.')}"
        size = entry_of(graph, facts.size)[1]
        dim = OnnxRuntime(path, facts).dim(size)
    files = (path, *graph.files)
    frame = facts.frame(size)
    remark = _assumption(facts, frame, where) if assumed else ""
    return _external(
        path.stem, "", "from_onnx", facts, frame, dim, files, black_box=black_box, note=note, remark=remark
    )


def _assumption(facts: Facts, frame: Framing, where: str) -> str:
    return (
        f"{shown(where)}: no facts are given, so its images are assumed to be {facts.colour.upper()}, "
        f"{_range(facts)}, in {frame.name}. To check: faceinv encoder inspect {shown(where)} --dataset lfw:PATH"
    )


def _range(facts: Facts) -> str:
    return "mean and std" if facts.mean else facts.scaling


def _repository(
    scheme: str, rest: str, given: Mapping[str, Any], where: str, *, assumed: bool, offline: bool
) -> External:
    """Return the declaration of a timm model on the Hub, whose config.json has some of the facts."""
    found = repository(repository_of_timm(rest) if scheme == "timm" else rest, where, offline=offline)
    try:
        model = TimmModel(found.config)
        # timm's own list has classifiers only.
        known: dict[str, Any] = {"output": FEATURES} if scheme == "timm" else {}
        known |= {"licence": found.licence} if found.licence else {}
        known |= {"size": model.size} if model.size else {}
        if model.mean and not given.keys() & {"scaling", "mean"}:
            known |= {"mean": model.mean, "std": model.std}
        facts = Facts.of(known | dict(given), where)
        frame = facts.frame()
        dim = model.dim(frame.size, facts.output)
    except WeightsError as error:
        raise WeightsError(f"'{shown(where)}' cannot be used: {str(error).rstrip('.')}.") from None
    content = fingerprint({"config": dict(found.config), "sha256": found.sha256 or found.commit})
    options = {"config": dict(found.config)}
    made = _external(found.name.partition("/")[2], content, "from_repository", facts, frame, dim, options=options)
    weights = WeightSpec(
        # Other facts need no other file.
        name=f"{made.spec.architecture}.{(found.sha256 or found.commit)[:12]}/tensors",
        filename=found.file,
        sha256=found.sha256,
        sources=(found.source,),
        licence=facts.licence,
        size=found.size,
        origin=_assumption(facts, frame, where) if assumed else "",
    )
    spec = replace(made.spec, weights=(weights.name,), licence="Apache-2.0 (timm)")
    return External(spec, (weights,), f"{scheme}:{rest}")


def _program(scheme: str, path: Path, facts: Facts, where: str) -> External:
    if not facts.dim or facts.size is None:
        raise UsageError(
            f"'{shown(where)}' is {_PROGRAMS[scheme]}: reading it can run code in it, so its length of descriptors and "
            f"size of images must be given in a YAML file, as 'dim: 512' and 'size: 112'. To find them: "
            f"faceinv --trust {shown(path)} encoder inspect {scheme}:{shown(path)} --dataset lfw:PATH"
        )
    options = {"scheme": scheme}
    return _external(
        path.stem, scheme, "from_program", facts, facts.frame(), facts.dim, (path,), options=options, code=True
    )


def _command(command: str, facts: Facts, where: str) -> External:
    words = shlex.split(command)
    program = shutil.which(words[0]) if words else None
    if program is None:
        raise UsageError(f"'{shown(where)}': there is no program '{shown(words[0] if words else '')}' that can be run.")
    # Files count by their content, not by where they are.
    content = [file_sha256(word) if Path(word).is_file() else word for word in (program, *words[1:])]
    options = {"words": [program, *words[1:]], "asking": _asking(facts)}
    return _asked(Path(program).stem, fingerprint({"command": content}), facts, "from_command", options, where)


def _service(address: str, facts: Facts, where: str, offline: bool) -> External:
    parts = urlsplit(address)
    if not parts.hostname:
        raise UsageError(f"'{shown(where)}' is not an address such as http://localhost:8000/embed.")
    if offline and not is_loopback(parts.hostname):
        raise UsageError(
            f"The encoder '{shown(where)}' is a service at {shown(parts.hostname)}, and --offline is on; only services "
            "on this machine, such as http://localhost:8000/embed, can be used then."
        )
    if facts.body == "json" and facts.scaling != "0..255":
        raise UsageError(f"{where}: a service that takes JSON gets PNG files, so scaling must be 0..255.")
    options = {"address": address, "asking": _asking(facts)}
    return _asked(parts.hostname, fingerprint({"address": address}), facts, "from_service", options, where)


def _asked(label: str, content: str, facts: Facts, target: str, options: Mapping[str, Any], where: str) -> External:
    if not facts.dim:
        raise UsageError(
            f"'{shown(where)}' is not asked before an attack begins, so the length of its descriptors must be given in "
            "a YAML file, as 'dim: 512'."
        )
    return _external(label, content, target, facts, facts.frame(), facts.dim, options=options, black_box=True)


def _asking(facts: Facts) -> dict[str, Any]:
    return {key: value for key, value in asdict(facts).items() if key not in facts.plain()}


def _external(
    label: str,
    content: str,
    target: str,
    facts: Facts,
    frame: Framing,
    dim: int,
    files: tuple[Path, ...] = (),
    *,
    options: Mapping[str, Any] | None = None,
    black_box: bool = False,
    code: bool = False,
    note: str = "",
    remark: str = "",
) -> External:
    """Return a declaration whose name has no path in it, and changes with the content and the facts."""
    try:
        hashes = [file_sha256(path) for path in files]
    except OSError as error:
        raise WeightsError(f"{error.filename} cannot be read: {error.strerror or error}.") from None
    tag = fingerprint({"content": content, "files": hashes, "facts": facts.plain(), "target": target})[:12]
    slug = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")[:32].strip("-") or "encoder"
    name = f"{slug}.{tag}"
    weights = tuple(
        WeightSpec(
            name=f"{name}/{place}" if place else f"{name}/{path.suffix[1:].lower() or 'file'}",
            filename=path.name[-100:] or "file",
            sha256=sha256,
            sources=(f"here:{path.absolute()}",),
            licence=facts.licence,
            size=path.stat().st_size,
            origin=remark if not place else "",
            code=code,
        )
        for place, (path, sha256) in enumerate(zip(files, hashes, strict=True))
    )
    made = f"{_range(facts)} {facts.colour.upper()} in {frame.name}"
    spec = EncoderSpec(
        name=name,
        summary=shown(f"{label}: {dim}-d, from images {made}{note}", 280),
        target=f"{_BUILD}:{target}",
        licence="the user's own",
        weights_licence=facts.licence,
        weights=tuple(file.name for file in weights),
        options={"facts": facts.plain(), **(options or {})},
        dim=dim,
        framing=frame,
        unit_length=facts.unit_length,
        black_box=black_box,
    )
    return External(spec, weights, f"{shown(files[0].name) if files else slug}")
