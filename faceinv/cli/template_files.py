"""Files of protected templates, which name their scheme, its options and a fingerprint of the key."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from faceinv.errors import InputError, UsageError, described

if TYPE_CHECKING:
    from torch import Tensor

_FORMAT = "faceinv templates"


@dataclass(frozen=True)
class TemplateFile:
    """Templates of descriptors, and what they were made with.

    Args:
        path: The file.
        templates: ``(N, M)``.
        protection: The scheme with every option, as on the command line.
        dim: Length of a descriptor.
        key: Fingerprint of the key; empty without one.
        examples: Fingerprint of the descriptors that the scheme learned from; empty if it learns nothing.
    """

    path: Path
    templates: Tensor
    protection: str
    dim: int
    key: str
    examples: str

    def write(self) -> None:
        """Write the file: safetensors, with everything else in its metadata."""
        from safetensors.torch import save

        from faceinv.storage.atomic import write_output

        about = {"format": _FORMAT, "protection": self.protection, "dim": str(self.dim)}
        about |= {"key": self.key, "examples": self.examples}
        write_output(self.path, save({"templates": self.templates.contiguous()}, about))

    @classmethod
    def read(cls, path: Path) -> TemplateFile:
        """Read a file.

        Raises:
            InputError: if it is missing, or holds no templates.
        """
        from safetensors import safe_open

        from faceinv.storage.regular import open_regular

        try:
            open_regular(path).close()
            with safe_open(path, "pt") as file:
                about = file.metadata() or {}
                if about.get("format") != _FORMAT:
                    raise InputError(f"{path}: holds tensors, but no templates of 'faceinv protect'.")
                templates = file.get_tensor("templates").float()
                found = cls(
                    path, templates, about["protection"], int(about["dim"]), about["key"], about["examples"]
                )  # fmt: skip
        except InputError:
            raise
        except FileNotFoundError:
            raise InputError(f"{path}: no such file.") from None
        except Exception as error:
            raise InputError(f"{path}: not a file of templates of 'faceinv protect': {described(error)}.") from None
        if templates.ndim != 2 or not templates.numel() or not templates.isfinite().all():
            raise InputError(f"{path}: its templates must be finite numbers in rows.")
        return found

    def require(self, protection: str, key: int | None, examples: Tensor) -> None:
        """Check that the templates were made by this scheme, under this key, from these examples.

        Raises:
            InputError: if they were not.
            UsageError: if a key is lacking, or there is one too many.
        """
        if self.protection != protection:
            raise InputError(f"{self.path}: holds templates of {self.protection}, not of {protection}.")
        if self.key and key is None:
            raise UsageError(f"{self.path}: protected under a key: --key NUMBER.")
        if key is not None and not self.key:
            raise UsageError(f"{self.path}: {self.protection} has no key; leave out --key.")
        if key is not None and key_fingerprint(protection, key) != self.key:
            raise InputError(f"{self.path}: protected under another key than {key}.")
        if examples.shape[1] != self.dim:
            raise InputError(
                f"{self.path}: templates of descriptors of length {self.dim}; the examples have {examples.shape[1]}."
            )
        if self.examples and fingerprint_of(examples) != self.examples:
            raise InputError(f"{self.path}: {self.protection} learned from other examples than these.")


def key_fingerprint(protection: str, key: int) -> str:
    """Return a fingerprint that takes a while to compute, because short keys could be guessed from a fast one."""
    return hashlib.scrypt(str(key).encode(), salt=protection.encode(), n=2**14, r=8, p=1, dklen=8).hex()


def fingerprint_of(descriptors: Tensor) -> str:
    """Return a fingerprint of descriptors."""
    return hashlib.sha256(descriptors.contiguous().numpy().tobytes()).hexdigest()[:16]
