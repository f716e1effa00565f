"""Compare the code that kornia also has with kornia: values and time.

    python benchmarks/against_kornia.py [--seconds 3]

Prints a Markdown table. "difference" is the greatest absolute difference of the two results, "ratio" kornia's time over
ours. Both run interleaved on one thread, and the best time of each counts. Warps and colours are timed forward and
backward, as an inversion uses them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from best_times import best_times
from faceinv_attributes.appearance import IlluminationProbe
from faceinv_attributes.regions import shading_weights
from faceinv_histogram.kornia_measure import histogram as kornia_histogram
from faceinv_histogram.soft import soft_histogram
from faceinv_methods.views import view
from faceinv_mtcnn.boxes import suppress
from kornia.color import rgb_to_grayscale
from kornia.filters import filter2d_separable, gaussian_blur2d
from kornia.geometry import nms
from kornia.geometry.transform import warp_affine
from torch import Tensor

from faceinv.framing import Warp, align, pixel_points, similarity
from faceinv.testing import toy

Run = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Piece:
    """One thing computed twice.

    Args:
        name: What is computed.
        function: kornia's function.
        ours: Our code.
        theirs: The same with kornia.
        inputs: What both take.
        gradient: Whether the backward pass is timed too.
        truth: The exact result, where it is known.
    """

    name: str
    function: str
    ours: Run
    theirs: Run
    inputs: Tensor
    gradient: bool = True
    truth: Tensor | None = None


def pieces() -> Iterator[Piece]:
    rng = torch.Generator().manual_seed(0)

    def images(n: int, height: int, width: int) -> Tensor:
        return torch.rand(n, 3, height, width, generator=rng)

    face = np.array(toy.FRAMING.points)
    matrix = similarity(face * 64, face * 0.95 * 112 + (3.1, 1.7))
    yield Piece(
        "warp of 16 images, enlarging 64 to 112",
        "warp_affine",
        Warp(matrix, (64, 64), (112, 112)),
        partial(warp_affine, M=_for_kornia(matrix), dsize=(112, 112), padding_mode="border"),
        _waves(64).expand(16, -1, -1, -1),
        # The same waves at the places in the source that the target's pixels come from.
        truth=_waves(64, _sources(matrix, 112)),
    )
    matrix = similarity(face * 256, face * 0.95 * 112 + (3.1, 1.7))
    yield Piece(
        "warp of 16 images, shrinking 256 to 112",
        "gaussian_blur2d, warp_affine",
        Warp(matrix, (256, 256), (112, 112)),
        _blurred(matrix, 112),
        images(16, 256, 256),
    )
    photograph = images(1, 1200, 1600)[0]
    points = pixel_points(toy.FRAMING) / toy.FRAMING.size * 400 + (500, 300)
    matrix = similarity(points, pixel_points(toy.FRAMING))
    whole = _blurred(matrix, toy.FRAMING.size[0])
    yield Piece(
        "alignment of a photograph of 1600x1200",
        "gaussian_blur2d, warp_affine",
        lambda image: align(image, points, toy.FRAMING),
        lambda image: whole(image[None])[0],
        photograph,
        gradient=False,
    )
    yield _blur(images(16, 256, 256))
    how = torch.rand(16, 3, generator=rng) * 2 - 1
    matrices = _view_matrices(how, 112)
    yield Piece(
        "views of 16 images, 112x112 (module `faceinv_methods.views`)",
        "warp_affine",
        lambda batch: view(batch, how, 0.1, 0.1),
        lambda batch: warp_affine(batch, matrices, (112, 112), padding_mode="border", align_corners=False),
        images(16, 112, 112),
    )
    framing = replace(toy.FRAMING, size=(112, 112))
    yield Piece(
        "shading of 16 images, 112x112 (probe `illumination`)",
        "color.rgb_to_grayscale",
        IlluminationProbe(framing=framing).measure,
        partial(_shading, weights=shading_weights(framing)),
        images(16, 112, 112),
    )
    yield Piece(
        "soft histogram of 16 images, 224x224",
        "enhance.histogram",
        soft_histogram,
        kornia_histogram,
        images(16, 224, 224),
    )
    corner = torch.rand(400, 2, generator=rng) * 200
    boxes = torch.cat([corner, corner + 10 + torch.rand(400, 2, generator=rng) * 50], 1)
    scores = torch.rand(400, generator=rng)
    yield Piece(
        "non-maximum suppression of 400 boxes",
        "geometry.nms",
        lambda found: suppress(found, scores, 0.5),
        lambda found: nms(found, scores, 0.5),
        boxes,
        gradient=False,
    )


def _waves(side: int, places: Tensor | None = None) -> Tensor:
    """Return a smooth picture ``(1, 3, H, W)`` of ``side`` pixels, at its own pixels or at ``places`` ``(H, W, 2)``."""
    if places is None:
        centres = torch.arange(side, dtype=torch.float64) + 0.5
        places = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), -1)
    x, y = (places.clamp(0.5, side - 0.5) / side * 12).unbind(-1)
    channels = [0.5 + 0.4 * (x / a).sin() * (y / b).cos() for a, b in ((0.9, 1.3), (1.5, 0.8), (1.1, 1.1))]
    return torch.stack(channels)[None].float()


def _sources(matrix: np.ndarray, size: int) -> Tensor:
    x, y = np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5)
    return torch.from_numpy((np.stack([x, y], -1) - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T)


def _for_kornia(matrix: np.ndarray) -> Tensor:
    """Return a pixel similarity as kornia takes it: with whole numbers at the centres of pixels."""
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    return torch.from_numpy(moved).float()[None]


def _blurred(matrix: np.ndarray, size: int) -> Run:
    """Return the antialiased warp written with kornia: the Gaussian for this scale, then the warp."""
    scale = float(np.sqrt(np.linalg.det(matrix[:, :2])))
    sigma = float(np.sqrt(0.25 / scale**2 - 1 / 6 - 1 / 12))
    taps = 2 * max(1, int(np.ceil(3 * sigma))) + 1
    moved = _for_kornia(matrix)

    def run(batch: Tensor) -> Tensor:
        soft = gaussian_blur2d(batch, (taps, taps), (sigma, sigma), border_type="replicate")
        return warp_affine(soft, moved, (size, size), padding_mode="border")

    return run


def _blur(batch: Tensor) -> Piece:
    """Return the Gaussian of a warp that shrinks to a tenth, which needs every second pixel only."""
    warp = Warp(np.array([[0.1, 0.0, 0.0], [0.0, 0.1, 0.0]]), (256, 256), (26, 26))
    kernel, step = warp.kernel[None], 2
    return Piece(
        "Gaussian of 16 images, 256x256, at every second pixel",
        "filter2d_separable",
        lambda images: warp._blur(images, warp.kernel)[..., :128, :128],
        lambda images: filter2d_separable(images, kernel, kernel, "replicate")[..., ::step, ::step],
        batch,
    )


def _view_matrices(how: Tensor, side: int) -> Tensor:
    """Return the source-to-view pixel matrices ``(B, 2, 3)`` that kornia needs for :func:`view`."""
    zoom, shift = 1 + 0.1 * how[:, 2], 0.2 * how[:, :2]
    # view() maps target to source about the centre, in units of half a frame.
    centre = (side - 1) / 2
    linear = torch.eye(2) / zoom[:, None, None]
    offset = centre - (centre + shift * side / 2) / zoom[:, None]
    return torch.cat([linear, offset[:, :, None]], 2)


def _shading(images: Tensor, weights: Tensor) -> Tensor:
    fitted = torch.einsum("bhw,khw->bk", rgb_to_grayscale(images)[:, 0], weights)
    return fitted[:, :2] / fitted[:, 2:].clamp_min(1 / 255)


def _timed(piece: Piece, run: Run) -> Callable[[], None]:
    inputs = piece.inputs.clone()
    if not piece.gradient:
        return lambda: (run(inputs), None)[1]
    inputs.requires_grad_()
    weights = torch.randn(run(inputs).shape, generator=torch.Generator().manual_seed(1))
    return lambda: (torch.autograd.grad(run(inputs), inputs, weights), None)[1]


def _row(piece: Piece, seconds: float) -> str:
    ours, theirs = piece.ours(piece.inputs), piece.theirs(piece.inputs)
    difference = float((ours - theirs).abs().max()) if ours.shape == theirs.shape else float("inf")
    text = f"{difference:.1e}"
    if piece.truth is not None:
        errors = [float((result - piece.truth).abs().max()) for result in (ours, theirs)]
        text += " (from the exact value: ours {:.1e}, kornia {:.1e})".format(*errors)
    times = best_times([_timed(piece, piece.ours), _timed(piece, piece.theirs)], seconds)
    ms = " | ".join(f"{value * 1e3:.3g}" for value in times)
    return f"| {piece.name} | {piece.function} | {text} | {ms} | {times[1] / times[0]:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0, help="time for each of the two (default: 3)")
    seconds = parser.parse_args().seconds
    torch.set_num_threads(1)
    print("| piece | kornia | difference | ours, ms | kornia, ms | ratio |\n| --- | --- | --- | --- | --- | --- |")
    for piece in pieces():
        print(_row(piece, seconds), flush=True)
    print(f"\nA checkerboard of single pixels, 256 to 85, should turn grey: {_checkerboard()}")


def _checkerboard() -> str:
    board = (torch.arange(256)[:, None] + torch.arange(256)).remainder(2).float().expand(1, 3, -1, -1)
    matrix = np.array([[1 / 3, 0, 0], [0, 1 / 3, 0]])
    ours = Warp(matrix, (256, 256), (85, 85))(board)
    theirs = warp_affine(board, _for_kornia(matrix), (85, 85), padding_mode="border")
    worst = [float((result[..., 1:-1, 1:-1] - 0.5).abs().max()) for result in (ours, theirs)]
    return "off by {:.3f} at most with our warp, {:.3f} with warp_affine.".format(*worst)


if __name__ == "__main__":
    main()
