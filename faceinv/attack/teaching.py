"""Training of methods that learn from pairs before they see a target; the results are cached."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from faceinv.attack.preparation import Preparation
from faceinv.contracts.methods import LearningMethod, Method, Training
from faceinv.contracts.progress import Reporter
from faceinv.contracts.specs import MethodSpec
from faceinv.errors import PluginError
from faceinv.plugins.code import code_hash, core_hash


def teach(method: Method, spec: MethodSpec, preparation: Preparation, progress: Reporter | None = None) -> None:
    """Train a method that learns, or read its training from the cache; leave any other method alone.

    Args:
        method: The built method.
        spec: Its declaration.
        preparation: Pairs and networks to learn from, and the cache.
        progress: Called with (what, done, of).

    Raises:
        PluginError: if it learns but declares ``offline="none"``.
    """
    if not isinstance(method, LearningMethod):
        return
    if spec.offline == "none":
        raise PluginError(
            f"The method '{spec.name}' learns from pairs but declares offline='none'; declare offline='pairs' or "
            "'white-box'."
        )
    pairs = preparation.pairs

    def cached(settings: Mapping[str, Any], make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        parts = {
            "pairs": preparation.provenance,
            "core": core_hash(of=("attack/teaching.py", "contracts/methods.py")),
            "code": code_hash(spec),
            "settings": dict(settings),
        }
        return preparation.cache.load_or_make(f"method {spec.name}", parts, make)

    lesson = Lesson(spec, preparation.encoder)
    method.prepare(
        Training(
            latents=pairs.latents,
            descriptors=pairs.descriptors,
            generator=preparation.generator.network,
            space=preparation.space,
            encode=lesson,
            whiten=preparation.whitening,
            seed=0,
            cached=cached,
            progress=progress or _silent,
        )
    )
    lesson.end()


class Lesson:
    """The encoder as a method sees it while it learns. Afterwards it refuses, since use on targets is metered.

    Args:
        spec: The method's declaration; without white-box access while it learns, the encoder is refused.
        encode: Maps images in the generator's framing to descriptors.
    """

    def __init__(self, spec: MethodSpec, encode: Callable[[Tensor], Tensor]) -> None:
        self._spec = spec
        self._encode = encode
        self._over = False

    def __call__(self, images: Tensor) -> Tensor:
        """Return descriptors ``(N, D)`` of images, with gradients.

        Raises:
            PluginError: if the method does not declare white-box access, or is no longer learning.
        """
        name = self._spec.name
        if self._spec.offline != "white-box":
            raise PluginError(
                f"The method '{name}' trains through the encoder but declares offline='{self._spec.offline}'; declare "
                "offline='white-box'."
            )
        if self._over:
            raise PluginError(
                f"The method '{name}' calls training.encode after its training; use task.encode or task.score for "
                "targets, which are metered."
            )
        return self._encode(images)

    def end(self) -> None:
        """Refuse all further calls."""
        self._over = True


def _silent(what: str, done: int, of: int) -> None:
    pass
