"""Files in a Hugging Face repository, through ``huggingface_hub`` and its cache or over plain https."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from faceinv.errors import WeightsError, shown
from faceinv.weights.sources.archive import checked_member
from faceinv.weights.sources.base import Notify, Progress, say_nothing
from faceinv.weights.sources.http import PATIENCE, TIMEOUT, cause, download, keep_page, note_plain_http, within

_LOCATION = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)@(?P<revision>[\w.-]+)/(?P<file>.+)")

_OFFLINE = "HF_HUB_OFFLINE is set, and the file is not in the cache of huggingface_hub"

_SHA256, _COMMIT = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Published:
    """What the Hub says about a repository.

    Args:
        commit: The revision, as a hash.
        licence: The licence that its model card names; empty if it names none.
        files: Size in bytes and SHA-256 of each file; ``(0, "")`` where the Hub does not give them.
    """

    commit: str
    licence: str
    files: Mapping[str, tuple[int, str]]


def published(repository: str, revision: str) -> Published:
    """Ask the Hub about ``OWNER/REPO`` at a branch, tag or commit; this needs no login.

    Raises:
        WeightsError: if the Hub cannot be reached, has no such repository or revision, or answers something else.
    """
    import requests

    if _is_offline():
        raise WeightsError("HF_HUB_OFFLINE is set")
    # With the sizes and hashes of the files.
    address = f"{_endpoint()}/api/models/{repository}/revision/{quote(revision, safe='')}?blobs=true"
    hooks = {"response": keep_page}
    get = functools.partial(requests.get, address, stream=True, timeout=TIMEOUT, hooks=hooks)
    try:
        response = within(PATIENCE, get)
        if response.status_code in (401, 404):
            raise WeightsError(f"the Hub has no public repository {repository} with a revision {shown(revision)}")
        response.raise_for_status()
        content = response.json()
        known = {file["rfilename"]: _facts(file) for file in content["siblings"]}
        licence = (content.get("cardData") or {}).get("license") or ""
        if not _COMMIT.fullmatch(content["sha"]):
            raise ValueError
    except requests.exceptions.JSONDecodeError:
        raise WeightsError("the Hub did not answer with JSON") from None
    except requests.RequestException as error:
        raise WeightsError(cause(error)) from None
    except (KeyError, TypeError, ValueError, AttributeError):
        raise WeightsError("the Hub answered with something else than the facts of a repository") from None
    return Published(content["sha"], shown(str(licence), 100), known)


def _facts(file: Mapping[str, Any]) -> tuple[int, str]:
    """Return size and hash; only large files have a hash."""
    sha256 = (file.get("lfs") or {}).get("sha256") or ""
    return int(file.get("size") or 0), sha256 if _SHA256.fullmatch(sha256) else ""


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def _is_offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def fetch_hf(
    location: str, destination: Path, progress: Progress, *, size: int = 0, notify: Notify = say_nothing
) -> None:
    """Write the file ``OWNER/REPO@REVISION/FILE`` of a repository to ``destination``, at most ``size`` bytes if given.

    If ``huggingface_hub`` is installed (the extra ``hf``), its login and cache are used.

    Raises:
        WeightsError: if the repository, revision or file does not exist or needs a login, or ``HF_HUB_OFFLINE`` is
            set.
    """
    match = _LOCATION.fullmatch(location)
    if match is None:
        raise WeightsError("an 'hf:' source must be OWNER/REPO@REVISION/FILE")
    repository, revision, file = match["repository"], match["revision"], checked_member(match["file"])
    if importlib.util.find_spec("huggingface_hub") is not None:
        shutil.copyfile(_through_hub(repository, revision, file), destination)
        copied = destination.stat().st_size
        progress(copied, copied)
        return
    if _is_offline():
        raise WeightsError("HF_HUB_OFFLINE is set")
    endpoint = _endpoint()
    note_plain_http(endpoint, notify)
    download(f"{endpoint}/{repository}/resolve/{revision}/{quote(file)}", destination, progress, size=size)


def _through_hub(repository: str, revision: str, file: str) -> str:
    from huggingface_hub import errors, hf_hub_download

    try:
        return str(hf_hub_download(repository, file, revision=revision))
    except errors.GatedRepoError:
        raise WeightsError(
            f"{repository} is gated: accept its terms on its web page, then run 'hf auth login'"
        ) from None
    except errors.RepositoryNotFoundError:
        raise WeightsError(f"the repository {repository} does not exist, or needs 'hf auth login'") from None
    except errors.RevisionNotFoundError:
        raise WeightsError(f"{repository} has no revision {revision}") from None
    except errors.LocalEntryNotFoundError:
        raise WeightsError(_OFFLINE if _is_offline() else "the server cannot be reached; is there a network?") from None
    except errors.EntryNotFoundError:
        raise WeightsError(f"{repository}@{revision} has no file {file}") from None
    except errors.HfHubHTTPError as error:
        raise WeightsError(str(error).splitlines()[0]) from None
