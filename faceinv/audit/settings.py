"""Settings of an audit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from faceinv.audit.image_reader import ImageRecipe

#: Recipes of the heads: one for all attributes, the paper's (sections 3.1 to 3.3), or a single layer.
RECIPES = ("tuned", "paper", "linear")


@dataclass(frozen=True)
class AuditSettings:
    """Everything that the numbers of an audit depend on, except the encoder and the files.

    Args:
        dataset: ``name`` or ``name:PATH``, as reported.
        labels: SHA-256 of the labels file, or nothing.
        attributes: Names given by the user; none for the default ones.
        recipes: Recipes of the heads, ``"tuned"``, ``"paper"`` or ``"linear"``.
        detector: Detector for a data set that declares no framing.
        limit: Maximum number of images, taken evenly from the whole data set.
        seed: Seed of initial weights, batch order, dropout and bootstrap.
        image: Recipe of the network that reads the photographs; ``None`` leaves it out.
        precision: Precision of the encoder's convolutions and products, ``"fp32"`` or ``"bf16"``.
        compile: Compile the encoder with torch.compile.
    """

    dataset: str
    labels: str = ""
    attributes: tuple[str, ...] = ()
    recipes: tuple[str, ...] = ("tuned", "paper")
    detector: str = ""
    limit: int | None = None
    seed: int = 0
    image: ImageRecipe | None = field(default_factory=ImageRecipe)
    precision: str = "fp32"
    compile: bool = False


def deciding(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of an audit's config that decides its numbers: not the compiler, nor the default precision."""
    return {key: value for key, value in config.items() if key != "compile" and (key, value) != ("precision", "fp32")}
