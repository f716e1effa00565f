"""Files in a Hugging Face repository, through ``huggingface_hub`` and its cache or over plain https."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from pathlib import Path
from urllib.parse import quote

from faceinv.errors import WeightsError
from faceinv.weights.sources.archive import checked_member
from faceinv.weights.sources.base import Notify, Progress, say_nothing
from faceinv.weights.sources.http import download, note_plain_http

_LOCATION = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)@(?P<revision>[\w.-]+)/(?P<file>.+)")

_OFFLINE = "HF_HUB_OFFLINE is set, and the file is not in the cache of huggingface_hub"


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
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise WeightsError("HF_HUB_OFFLINE is set")
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
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
        offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
        raise WeightsError(_OFFLINE if offline else "the server cannot be reached; is there a network?") from None
    except errors.EntryNotFoundError:
        raise WeightsError(f"{repository}@{revision} has no file {file}") from None
    except errors.HfHubHTTPError as error:
        raise WeightsError(str(error).splitlines()[0]) from None
