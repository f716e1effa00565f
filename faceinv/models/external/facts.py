"""What must be known of an encoder beside its file: the crop, the order of colours, the range of the images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import yaml

from faceinv.contracts.specs import Framing, Point
from faceinv.errors import UsageError, shown, suggest
from faceinv.storage.regular import open_regular

#: Facts that no number depends on.
_ASKING = ("licence", "batch", "rate", "queries", "timeout")

Points = tuple[Point, Point, Point, Point, Point]

#: Framings by name, as five points; the size is that of the network. Sources: insightface's template; the crop of
#: FaceNet's training (plugin facenet); dlib's mean face with a padding of a quarter; VGGFace2's test crop; and one that
#: shows the whole head.
FRAMINGS: Mapping[str, Points] = {
    "arcface-112": ((0.3419, 0.4616), (0.6565, 0.4598), (0.5002, 0.6405), (0.3710, 0.8247), (0.6315, 0.8233)),
    "mtcnn-160": ((0.327, 0.406), (0.673, 0.406), (0.500, 0.570), (0.347, 0.716), (0.653, 0.716)),
    "dlib-150": ((0.3170, 0.3107), (0.6698, 0.3107), (0.4934, 0.5104), (0.3361, 0.6868), (0.6507, 0.6868)),
    "tight": ((0.299, 0.369), (0.701, 0.369), (0.500, 0.601), (0.320, 0.808), (0.680, 0.808)),
    "whole": ((0.405, 0.460), (0.595, 0.460), (0.500, 0.550), (0.416, 0.630), (0.584, 0.630)),
}
#: Size that a framing has if the network leaves it open.
_SIZES = {"arcface-112": 112, "mtcnn-160": 160, "dlib-150": 150, "tight": 224, "whole": 224}
COLOURS = ("rgb", "bgr")
#: Factor and shift of images in [0, 1], by the name of the range; ``per-image`` is computed for each.
SCALINGS: Mapping[str, tuple[float, float]] = {
    "0..1": (1.0, 0.0),
    "-1..1": (2.0, -1.0),
    "0..255": (255.0, 0.0),
    "(x-127.5)/128": (255 / 128, -127.5 / 128),
    "per-image": (1.0, 0.0),
}


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The facts about an encoder; those that are not given are the conventions of insightface.

    Args:
        framing: Name of a framing, or five points (x, y) in ``[0, 1]``; empty for the one usual for the size.
        size: Height and width of the images, for a network that leaves them open.
        colour: Order of the colours, ``"rgb"`` or ``"bgr"``.
        scaling: Range of the images, a key of :data:`SCALINGS`.
        mean: Per colour, in ``[0, 1]``: subtracted instead of a ``scaling``.
        std: Per colour, in ``[0, 1]``: divided by after that.
        unit_length: Whether the system stores descriptors of length 1.
        output: Name of the output, for a file with several.
        dim: Length of a descriptor, where it cannot be found without running something.
        licence: Licence of the weights.
        batch: Most images that a service takes at a time.
        rate: Most requests per second to a service, over all processes of this machine; 0 for no limit.
        queries: Most images that a service may be sent, over all processes and runs of this machine; 0 for no limit.
        timeout: Seconds to wait for an answer.
        body: What a service is sent: ``"npy"`` or ``"json"``.
    """

    framing: str | Points = ""
    size: tuple[int, int] | None = None
    colour: str = "rgb"
    scaling: str = "-1..1"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    unit_length: bool = False
    output: str = ""
    dim: int = 0
    licence: str = "not stated"
    batch: int = 32
    rate: float = 0.0
    queries: int = 0
    timeout: float = 30.0
    body: str = "npy"

    def frame(self, size: tuple[int, int] | None = None) -> Framing:
        """Return the framing of a network that takes images of this size."""
        size = size or self.size
        name = self.framing if isinstance(self.framing, str) else "own"
        if not name:
            name = {160: "mtcnn-160", 150: "dlib-150"}.get(size[0] if size else 0, "arcface-112")
        side = _SIZES.get(name, 112)
        points = FRAMINGS[name] if isinstance(self.framing, str) else self.framing
        return Framing(name, size or (side, side), points)

    def plain(self) -> dict[str, Any]:
        """Return the facts that decide a descriptor, by name: all but those about how a service is asked."""
        return {key: value for key, value in asdict(self).items() if key not in _ASKING}

    @classmethod
    def of(cls, given: Mapping[str, Any], where: str) -> Facts:
        """Return checked facts.

        Args:
            given: Facts by name.
            where: What they belong to, for messages.

        Raises:
            UsageError: if one is unknown or has a value that is not allowed.
        """
        allowed = [item.name for item in fields(cls)]
        for key, value in given.items():
            if key not in allowed:
                listed = ", ".join(allowed)
                raise UsageError(
                    f"{where}: there is no fact '{shown(key)}'.{suggest(str(key), allowed)} Facts: {listed}."
                )
            if wrong := _wrong(key, value):
                raise UsageError(f"{where}: {key} must be {wrong}, got {shown(repr(value))}.")
        made = replace(cls(), **{key: _frozen(value) for key, value in given.items()})
        if len(made.mean) != len(made.std) or (made.mean and "scaling" in given):
            raise UsageError(f"{where}: mean and std belong together, and stand in place of a scaling.")
        if made.mean and min(made.std) <= 0:
            raise UsageError(f"{where}: std must be positive.")
        if isinstance(made.size, int):
            made = replace(made, size=(made.size, made.size))
        return made


def read_facts(path: Path) -> tuple[dict[str, Any], str]:
    """Return the facts in a YAML file, and its ``file``, a name as on the command line.

    Raises:
        UsageError: if it is missing, not a YAML mapping, or names no file.
    """
    try:
        with open_regular(path) as file:
            content = yaml.safe_load(file.read(1 << 16))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not YAML: {shown(' '.join(str(error).split()))}.") from None
    if not isinstance(content, dict) or not isinstance(content.get("file"), str) or not content["file"]:
        raise UsageError(f"{path} describes no encoder: it needs 'file: FILE.onnx', and says how its images are made.")
    facts = {key: value for key, value in content.items() if key != "file"}
    return facts, content["file"]


def _wrong(key: str, value: Any) -> str:
    """Return what a fact must be, if ``value`` is something else."""
    if key in ("colour", "scaling", "body"):
        choices = {"colour": COLOURS, "scaling": tuple(SCALINGS), "body": ("npy", "json")}[key]
        return "" if value in choices else f"one of {', '.join(choices)}"
    if key == "framing":
        known = (isinstance(value, str) and value in FRAMINGS) or _are_points(value)
        return "" if known else f"one of {', '.join(FRAMINGS)}, or five points (x, y)"
    if key == "size":
        sides = value if isinstance(value, (list, tuple)) else [value, value]
        fits = len(sides) == 2 and all(type(side) is int and 8 <= side <= 2048 for side in sides)
        return "" if fits else "one or two whole numbers from 8 to 2048"
    if key in ("mean", "std"):
        fits = isinstance(value, (list, tuple)) and len(value) == 3 and all(_is_number(number) for number in value)
        return "" if fits else "three numbers"
    if key == "unit_length":
        return "" if isinstance(value, bool) else "true or false"
    if key in ("dim", "batch", "queries"):
        return "" if type(value) is int and 0 <= value < 2**31 and (key != "batch" or value) else "a whole number"
    if key in ("rate", "timeout"):
        return "" if _is_number(value) and 0 <= value < 1e6 else "a number of at least 0"
    return "" if isinstance(value, str) and "\n" not in value and len(value) < 200 else "one line of text"


def _are_points(value: Any) -> bool:
    return (
        isinstance(value, (list, tuple))
        and len(value) == 5
        and all(isinstance(p, (list, tuple)) and len(p) == 2 and all(_is_number(side) for side in p) for p in value)
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e6


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, (list, tuple)) else value
