"""What methods learn from the attack's pairs before they meet a target: given to them once, kept in the cache."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from torch import Tensor

from faceinv.attack import Attack
from faceinv.cache import load_or_make
from faceinv.contracts import LearningMethod, Method, Training
from faceinv.errors import PluginError
from faceinv.pairs import fingerprint
from faceinv.progress import Reporter
from faceinv.registry import code_hash
from faceinv.specs import MethodSpec


def teach(method: Method, spec: MethodSpec, attack: Attack, folder: Path, progress: Reporter | None = None) -> None:
    """Let a method that learns do so, or read back what it learnt; any other is left as it is.

    Args:
        method: The built method.
        spec: What it declares.
        attack: Whose pairs it learns from.
        folder: Cache folder of what is trained.
        progress: Called with (what, done, of).

    Raises:
        PluginError: it declares that it needs nothing beforehand.
    """
    if not isinstance(method, LearningMethod):
        return
    if spec.offline == "none":
        raise PluginError(
            f"The method '{spec.name}' learns from pairs and declares that it needs nothing beforehand; declare "
            "offline='pairs' or 'white-box'."
        )
    pairs = attack.pairs

    def cached(settings: Mapping[str, Any], make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        parts = {"pairs": pairs.key, "method": spec.name, "code": code_hash(spec), "settings": dict(settings)}
        return load_or_make(folder / f"method {spec.name}-{fingerprint(parts)}.safetensors", make)

    method.prepare(
        Training(
            latents=pairs.latents,
            descriptors=pairs.descriptors,
            generator=attack.generator.network,
            space=attack.space,
            encode=attack.encoder if spec.offline == "white-box" else refusal(spec.name),
            whiten=attack.whitening,
            seed=0,
            cached=cached,
            progress=progress or _silent,
        )
    )


def refusal(name: str) -> Callable[[Tensor], Tensor]:
    """Return the encoder as a method without white-box access to it meets it while it learns."""

    def refuse(images: Tensor) -> NoReturn:
        raise PluginError(
            f"The method '{name}' trains through the encoder and declares offline='pairs'; declare offline='white-box'."
        )

    return refuse


def _silent(what: str, done: int, of: int) -> None:
    pass
