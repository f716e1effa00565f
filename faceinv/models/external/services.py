"""Encoders that are asked: a program on this machine, or a service over HTTP. Both are black boxes."""

from __future__ import annotations

import base64
import io
import json
import shlex
import subprocess
import time
from abc import abstractmethod
from collections.abc import Sequence
from urllib.parse import urlsplit

import numpy as np
import torch
from torch import Tensor, nn

from faceinv.errors import InputError, shown
from faceinv.models.external.allowance import Allowance
from faceinv.models.external.facts import Facts
from faceinv.weights.sources.http import cause

#: Longest answer in bytes.
_MOST_BYTES = 1 << 26
_NPY = b"\x93NUMPY"


class Asked(nn.Module):
    """An encoder that gets arrays of images and answers with descriptors.

    Args:
        what: What it is, for messages.
        asked: What identifies it.
        facts: Length of its descriptors, and how it may be asked.
    """

    def __init__(self, what: str, asked: str, facts: Facts) -> None:
        super().__init__()
        self.what, self.facts = what, facts
        self._allowance = Allowance(what, asked, facts.queries, facts.rate)

    @abstractmethod
    def ask(self, images: Tensor) -> bytes:
        """Return the answer to images ``(B, 3, H, W)``.

        Raises:
            InputError: if there is none.
        """

    def forward(self, images: Tensor) -> Tensor:
        """Return descriptors ``(B, dim)``; each image is a query.

        Raises:
            InputError: if the answer is no array of that shape or not finite, or the budget of queries is used up.
        """
        parts = images.detach().cpu().float().split(self.facts.batch)
        return torch.cat([self._answer(part) for part in parts]).to(images.device, images.dtype)

    def _answer(self, images: Tensor) -> Tensor:
        self._allowance.take(len(images))
        found = self._decoded(self.ask(images))
        if found.shape != (len(images), self.facts.dim):
            raise InputError(
                f"{self.what} answered {tuple(found.shape)} for {len(images)} images; its descriptors are declared to "
                f"have length {self.facts.dim}."
            )
        if not torch.isfinite(found).all():
            raise InputError(f"{self.what} answered with NaN or infinity.")
        return found

    def _decoded(self, answer: bytes) -> Tensor:
        """Return the array in an answer: a .npy file, a JSON list of lists, or JSON with one as ``descriptors``."""
        try:
            if answer.startswith(_NPY):
                return torch.from_numpy(np.load(io.BytesIO(answer), allow_pickle=False).astype("f4"))
            content = json.loads(answer)
            rows = content["descriptors"] if isinstance(content, dict) else content
            return torch.from_numpy(np.array(rows, dtype="f4"))
        except (ValueError, TypeError, KeyError, RecursionError, EOFError, MemoryError):
            begins = shown(answer[:60].decode("utf-8", "replace"))
            raise InputError(
                f"{self.what} answered neither a .npy file nor JSON descriptors; the answer begins: {begins}"
            ) from None


class Command(Asked):
    """A program that is run for each batch: a .npy file ``(B, 3, H, W)`` on its stdin, one ``(B, dim)`` on its stdout.

    Args:
        words: The program and its arguments.
        facts: Length of its descriptors, and how it may be asked.
    """

    def __init__(self, words: Sequence[str], facts: Facts) -> None:
        super().__init__(f"The program '{shown(words[0])}'", shlex.join(words), facts)
        self._words = list(words)

    def ask(self, images: Tensor) -> bytes:
        """Run the program once."""
        try:
            done = subprocess.run(
                self._words, input=_npy(images), capture_output=True, timeout=self.facts.timeout, check=False
            )
        except subprocess.TimeoutExpired:
            raise InputError(f"{self.what} did not answer within {self.facts.timeout:g} seconds.") from None
        except OSError as error:
            raise InputError(f"{self.what} cannot be run: {error.strerror or error}.") from None
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise InputError(f"{self.what} ended with exit code {done.returncode}: {shown(said[-1] if said else '')}")
        return done.stdout


class Service(Asked):
    """A service that takes a POST with a .npy file ``(B, 3, H, W)``, or with PNG files in JSON.

    Args:
        address: Its URL.
        facts: Length of its descriptors, and how it may be asked.
    """

    def __init__(self, address: str, facts: Facts) -> None:
        # Without user, password and query, which may be secret.
        parts = urlsplit(address)
        super().__init__(f"The service at {shown(f'{parts.scheme}://{parts.hostname}{parts.path}')}", address, facts)
        self._address = address

    def ask(self, images: Tensor) -> bytes:
        """Send one request."""
        import requests

        is_json = self.facts.body == "json"
        body = json.dumps({"images": [_png(image) for image in images]}).encode() if is_json else _npy(images)
        kind = "application/json" if is_json else "application/x-npy"
        begun = time.monotonic()
        try:
            with requests.post(
                self._address,
                data=body,
                headers={"Content-Type": kind},
                timeout=self.facts.timeout,
                stream=True,
                allow_redirects=False,
            ) as response:
                if response.status_code != 200:
                    raise InputError(f"{self.what} answered with status {response.status_code}.")
                answer = b""
                for block in response.iter_content(1 << 16):
                    answer += block
                    if len(answer) > _MOST_BYTES:
                        raise InputError(f"{self.what} answered with more than {_MOST_BYTES >> 20} MB.")
                    if time.monotonic() - begun > self.facts.timeout:
                        raise requests.Timeout
                return answer
        except requests.Timeout:
            raise InputError(f"{self.what} did not answer within {self.facts.timeout:g} seconds.") from None
        except requests.RequestException as error:
            raise InputError(f"{self.what} cannot be asked: {cause(error)}.") from None


def _npy(images: Tensor) -> bytes:
    stream = io.BytesIO()
    np.save(stream, images.contiguous().numpy(), allow_pickle=False)
    return stream.getvalue()


def _png(image: Tensor) -> str:
    from PIL import Image

    stream = io.BytesIO()
    pixels = image.round().clamp(0, 255).byte().permute(1, 2, 0).contiguous().numpy()
    Image.fromarray(pixels).save(stream, format="PNG")
    return base64.b64encode(stream.getvalue()).decode()
