"""Repositories of the Hugging Face Hub that hold a timm model: its config.json and a file of tensors."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import Any

from faceinv.errors import UsageError, WeightsError, first_five, shown, suggest
from faceinv.models.external.timm_model import timm
from faceinv.storage.atomic import write_output
from faceinv.storage.cache import cache_folder
from faceinv.storage.regular import open_regular
from faceinv.weights.sources.huggingface import Published, fetch_hf, published

_NAME = re.compile(r"(?P<repository>\w[\w.-]*/\w[\w.-]*)(?:@(?P<revision>\w[\w.-]*))?")
#: Longest config.json in bytes.
_MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class Repository:
    """A repository at one commit.

    Args:
        name: ``OWNER/REPO``.
        commit: The revision, as a hash.
        licence: The licence that its model card names.
        config: Its config.json.
        file: Name of the file of tensors.
        size: Size of that file in bytes; 0 if unknown.
        sha256: Hash of that file; empty if the Hub gives none.
    """

    name: str
    commit: str
    licence: str
    config: Mapping[str, Any]
    file: str
    size: int
    sha256: str

    @property
    def source(self) -> str:
        """The source of the file of tensors."""
        return f"hf:{self.name}@{self.commit}/{self.file}"


def repository(rest: str, where: str, *, offline: bool) -> Repository:
    """Return the repository ``OWNER/REPO`` or ``OWNER/REPO@REVISION``.

    The Hub is asked once; then the repository stays at that commit, which is noted in the cache folder.

    Args:
        rest: Its name.
        where: The name as the user gave it, for messages.
        offline: Whether the network must not be used.

    Raises:
        UsageError: if it is no name of a repository.
        WeightsError: if it cannot be looked up, or holds no timm model.
        StorageError: if the cache folder cannot be written to.
    """
    match = _NAME.fullmatch(rest)
    if match is None:
        raise UsageError(f"'{shown(where)}' is no repository: give it as hf:OWNER/REPO or hf:OWNER/REPO@REVISION.")
    name, revision = match["repository"], match["revision"] or "main"
    note = cache_folder() / "hub" / f"{name.replace('/', '--')}@{revision}.json"
    if (known := _noted(note)) is not None:
        return known
    if offline:
        raise WeightsError(
            f"'{shown(where)}' has not been looked up on this machine, and --offline is on; go online and run: "
            f"faceinv weights pull {shown(where)}"
        )
    try:
        found = published(name, revision)
        file = _tensors(found)
        size, sha256 = found.files[file]
        made = Repository(name, found.commit, found.licence, _config(name, found.commit), file, size, sha256)
    except WeightsError as error:
        raise WeightsError(f"'{shown(where)}' cannot be used: {str(error).rstrip('.')}.") from None
    note.parent.mkdir(parents=True, exist_ok=True)
    write_output(note, json.dumps(asdict(made)).encode())
    return made


def repository_of_timm(name: str) -> str:
    """Return the repository of a model of timm's own list, such as ``vit_small_patch16_224.dino``.

    Raises:
        UsageError: if timm has no weights of that name on the Hub.
    """
    try:
        cfg = timm().get_pretrained_cfg(name)
    except RuntimeError:  # the model exists, but not with this tag
        cfg = None
    if cfg is None or not cfg.hf_hub_id:
        near = suggest(name, timm().list_pretrained())
        raise UsageError(f"timm has no model '{shown(name)}' with weights.{near}")
    return str(cfg.hf_hub_id)


def _noted(note: Path) -> Repository | None:
    try:
        with open_regular(note) as file:
            return Repository(**json.loads(file.read()))
    except (OSError, ValueError, TypeError):
        return None


def _tensors(found: Published) -> str:
    """Return the name of the file with the tensors: safetensors if there is such a file, else PyTorch's."""
    inside = [name for name in found.files if PurePath(name).name == name]
    for name in ("model.safetensors", "pytorch_model.bin"):
        if name in inside:
            return name
    tensors = [name for name in inside if name.endswith(".safetensors")]
    if len(tensors) == 1:
        return tensors[0]
    onnx = [name for name in found.files if name.endswith(".onnx")]
    hint = f"; it has {first_five(onnx)}, which can be downloaded and given as onnx:FILE" if onnx else ""
    raise WeightsError(f"it holds no model.safetensors or pytorch_model.bin{hint}")


def _config(name: str, commit: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.json"
        fetch_hf(f"{name}@{commit}/config.json", path, lambda done, total: None, size=_MOST_BYTES)
        try:
            content = json.loads(path.read_bytes()) if path.stat().st_size <= _MOST_BYTES else None
        except (ValueError, RecursionError):
            content = None
    if not isinstance(content, dict) or not isinstance(content.get("architecture"), str):
        raise WeightsError("its config.json names no architecture of timm, and no other models are read from the Hub")
    return content
