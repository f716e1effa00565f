"""The architecture of a StyleGAN2 generator, derived from the names and shapes of its tensors.

The tensors of all published files are renamed to one scheme, with the run-time factors of "equalised learning rate"
(Karras et al. 2018, 4.1) already multiplied into the weights:

=========================================  =====================================================
tensor                                     shape
=========================================  =====================================================
``mapping.{i}.weight``, ``.bias``          (out, in), (out): the layers from z to w
``mapping.w_avg``                          (w,): running mean of w in training; optional
``synthesis.4.const``                      (C, 4, 4): the learned constant input
``synthesis.{R}.conv0|conv1.weight``       (out, in, 3, 3); conv0 upsamples; not at 4x4
``….affine.weight``, ``….affine.bias``     (in, w), (in): from w to the style
``….bias``                                 (out)
``….noise_strength``                       (): optional
``….noise``                                (R, R): optional, and only with the strengths
``synthesis.{R}.torgb.weight``, …          (3, in), with ``.affine`` and ``.bias`` as above
``synthesis.{R}.skip.weight``              (out, in): only in the residual architecture
``synthesis.clamp``                        (): bound of the activations; optional
=========================================  =====================================================
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from faceinv.errors import WeightsError, first_five

Shape = tuple[int, ...]

#: Range of supported image sides.
SMALLEST, LARGEST = 8, 1024


@dataclass(frozen=True)
class Architecture:
    """A generator's sizes.

    Args:
        kind: ``"skip"``: every block adds to the image; ``"orig"``: only the last block makes an image; ``"resnet"``:
            the same with residual blocks (Karras et al. 2020, figure 7).
        resolution: Side of the image in pixels.
        z_dim: Length of z.
        w_dim: Length of w.
        layers: Number of layers from z to w.
        has_noise: Whether the convolutions add noise.
        has_noise_maps: Whether the file has the noise; rosinality's early checkpoints have only its strengths.
    """

    kind: str
    resolution: int
    z_dim: int
    w_dim: int
    layers: int
    has_noise: bool
    has_noise_maps: bool

    @property
    def resolutions(self) -> tuple[int, ...]:
        """Sides of the blocks: 4, 8, …, up to the image's."""
        return tuple(1 << n for n in range(2, self.resolution.bit_length()))

    @property
    def rows(self) -> int:
        """Rows of w+: one for each convolution (two per block, one at 4x4), and one for the last image."""
        return 2 * len(self.resolutions)

    def has_torgb(self, resolution: int) -> bool:
        """Return whether the block of this side makes an image."""
        return self.kind == "skip" or resolution == self.resolution


def describe(shapes: Mapping[str, Shape]) -> Architecture:
    """Return the architecture of a generator whose tensors have these ``shapes``.

    Raises:
        WeightsError: if tensors are missing, unexpected or wrongly shaped; the first five are named.
    """
    sides = sorted(
        int(found[1]) for name in shapes if (found := re.fullmatch(r"synthesis\.(\d{1,4})\.conv1\.weight", name))
    )
    layers = sum(bool(re.fullmatch(r"mapping\.\d{1,3}\.weight", name)) for name in shapes)
    if not sides or not layers or "mapping.0.weight" not in shapes:
        raise WeightsError("it contains no StyleGAN2 generator: its mapping or synthesis layers are missing")
    if sides != [1 << n for n in range(2, 2 + len(sides))] or not SMALLEST <= sides[-1] <= LARGEST:
        raise WeightsError(f"its blocks have sides {sides}; supported are 4, 8, … up to {SMALLEST}–{LARGEST}")
    kind = "skip" if "synthesis.4.torgb.weight" in shapes else "orig"
    if any(name.endswith(".skip.weight") for name in shapes):
        kind = "resnet"
    widths = {side: _at(shapes, f"synthesis.{side}.conv1.weight", 0) for side in sides}
    architecture = Architecture(
        kind=kind,
        resolution=sides[-1],
        z_dim=_at(shapes, "mapping.0.weight", 1),
        w_dim=_at(shapes, f"mapping.{layers - 1}.weight", 0),
        layers=layers,
        has_noise=any(name.endswith((".noise", ".noise_strength")) for name in shapes),
        has_noise_maps=any(name.endswith(".noise") for name in shapes),
    )
    hidden = [_at(shapes, f"mapping.{i}.weight", 0) for i in range(layers)]
    _compare(shapes, expected_shapes(architecture, hidden, widths))
    return architecture


def expected_shapes(architecture: Architecture, hidden: list[int], widths: Mapping[int, int]) -> dict[str, Shape]:
    """Return the shapes of the required tensors."""
    w, expected = architecture.w_dim, dict[str, Shape]()
    for i, (inputs, outputs) in enumerate(zip([architecture.z_dim, *hidden], hidden, strict=False)):
        expected |= {f"mapping.{i}.weight": (outputs, inputs), f"mapping.{i}.bias": (outputs,)}

    def add(name: str, weight: Shape) -> None:
        outputs, inputs = weight[:2]
        expected[f"{name}.weight"] = weight
        expected[f"{name}.affine.weight"] = (inputs, w)
        expected[f"{name}.affine.bias"] = (inputs,)
        expected[f"{name}.bias"] = (outputs,)

    expected["synthesis.4.const"] = (widths[4], 4, 4)
    for side in architecture.resolutions:
        width, below = widths[side], widths.get(side // 2, 0)
        convolutions = {"conv0": below, "conv1": width} if side > 4 else {"conv1": width}
        for name, inputs in convolutions.items():
            add(f"synthesis.{side}.{name}", (width, inputs, 3, 3))
            if architecture.has_noise:
                expected[f"synthesis.{side}.{name}.noise_strength"] = ()
            if architecture.has_noise_maps:
                expected[f"synthesis.{side}.{name}.noise"] = (side, side)
        if architecture.has_torgb(side):
            add(f"synthesis.{side}.torgb", (3, width))
        if architecture.kind == "resnet" and side > 4:
            expected[f"synthesis.{side}.skip.weight"] = (width, below)
    return expected


def _compare(shapes: Mapping[str, Shape], expected: dict[str, Shape]) -> None:
    optional = {"mapping.w_avg": (expected["synthesis.4.conv1.affine.weight"][1],), "synthesis.clamp": ()}
    expected = expected | {name: shape for name, shape in optional.items() if name in shapes}
    missing = [name for name in expected if name not in shapes]
    unexpected = [name for name in shapes if name not in expected]
    wrong = [
        f"{name} is {shapes[name]}, not {shape}"
        for name, shape in expected.items()
        if name in shapes and shapes[name] != shape
    ]
    for offence, names in (("lacks", missing), ("has unexpected", unexpected), ("has wrongly shaped", wrong)):
        if names:
            raise WeightsError(f"it {offence} tensors: {first_five(names)}")


def _at(shapes: Mapping[str, Shape], name: str, axis: int) -> int:
    """Return one side of a tensor; 0 if it is missing, which then matches no expected shape."""
    shape = shapes.get(name, ())
    return shape[axis] if axis < len(shape) else 0
