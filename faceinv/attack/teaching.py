"""What methods learn from the attack's pairs before they meet a target: given to them once, kept in the cache."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from faceinv.attack.preparation import Preparation
from faceinv.contracts.methods import LearningMethod, Method, Training
from faceinv.contracts.progress import Reporter
from faceinv.contracts.specs import MethodSpec
from faceinv.errors import PluginError
from faceinv.plugins.code import code_hash
from faceinv.storage.hashing import fingerprint
from faceinv.storage.tensors import load_or_make


def teach(
    method: Method, spec: MethodSpec, attack: Preparation, folder: Path, progress: Reporter | None = None
) -> None:
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

    lesson = Lesson(spec, attack.encoder)
    method.prepare(
        Training(
            latents=pairs.latents,
            descriptors=pairs.descriptors,
            generator=attack.generator.network,
            space=attack.space,
            encode=lesson,
            whiten=attack.whitening,
            seed=0,
            cached=cached,
            progress=progress or _silent,
        )
    )
    lesson.end()


class Lesson:
    """The encoder as a method meets it while it learns, and no longer: what it asks of a target's is counted.

    Args:
        spec: What the method declares: without white-box access while it learns, it is refused.
        encode: Images in the generator's framing to descriptors.
    """

    def __init__(self, spec: MethodSpec, encode: Callable[[Tensor], Tensor]) -> None:
        self._spec = spec
        self._encode = encode
        self._over = False

    def __call__(self, images: Tensor) -> Tensor:
        """Return descriptors ``(N, D)`` of images, with gradients.

        Raises:
            PluginError: the method declared that it needs none, or has learnt already.
        """
        name = self._spec.name
        if self._spec.offline != "white-box":
            raise PluginError(
                f"The method '{name}' trains through the encoder and declares offline='{self._spec.offline}'; declare "
                "offline='white-box'."
            )
        if self._over:
            raise PluginError(
                f"The method '{name}' asks through training.encode when it has learnt already; what it asks about a "
                "target goes through task.encode or task.score, which count."
            )
        return self._encode(images)

    def end(self) -> None:
        """Refuse from now on."""
        self._over = True


def _silent(what: str, done: int, of: int) -> None:
    pass
