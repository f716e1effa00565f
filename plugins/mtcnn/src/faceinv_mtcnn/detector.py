"""MTCNN: a cascade of three networks, each examining the boxes that the one before kept (Zhang et al. 2016)."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from faceinv.contracts import Faces, check_images
from faceinv.errors import InputError
from faceinv_mtcnn.boxes import area, resample, shifted, squared, summed_area_table, suppress
from faceinv_mtcnn.networks import OutputNet, ProposalNet, RefineNet, load_into

#: Side of the smallest face to detect, in pixels.
MINIMUM_FACE = 20
#: Larger photographs are first shrunk to this longer side.
LONGEST_SIDE = 1280
#: Ratio of successive levels of the image pyramid: about half the area.
PYRAMID_STEP = 0.709
#: Standard deviation of the preference for central faces, as a fraction of the image's shorter side.
CENTRE_SPREAD = 0.25


class MTCNN(nn.Module):
    """The detector. Its networks are frozen, and the result depends only on the image.

    Args:
        thresholds: Lowest probability of a face in each of the three stages.
    """

    def __init__(self, thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7)) -> None:
        super().__init__()
        self.thresholds = thresholds
        self.proposal = ProposalNet()
        self.refine = RefineNet()
        self.output = OutputNet()

    @torch.no_grad()
    def forward(self, image: Tensor) -> Faces:
        """Detect the faces in one image ``(3, H, W)`` in ``[0, 1]``, H and W at least 20; there may be none.

        The most prominent face comes first: prominence is probability times area, times a Gaussian of the distance
        between the centres of box and image, with a standard deviation of a quarter of the shorter side. The subject
        of a portrait is the largest face, and that of a press photograph the one in the middle.

        Raises:
            InputError: if the image is smaller than the smallest face.
            ShapeError: if it is not an image.
        """
        check_images(image[None])
        height, width = image.shape[1:]
        if min(height, width) < MINIMUM_FACE:
            raise InputError(
                f"The image has {width}x{height} pixels; faces are detected from {MINIMUM_FACE}x{MINIMUM_FACE} up."
            )
        image = image.detach().float().clamp(0, 1)
        shrink = min(1.0, LONGEST_SIDE / max(height, width))
        if shrink < 1:
            image = _resize(image, (max(1, round(height * shrink)), max(1, round(width * shrink))))
        boxes, points, scores = self._cascade(image)
        order = _prominence(boxes, scores, (image.shape[1], image.shape[2])).argsort(descending=True, stable=True)
        boxes, points, scores = boxes[order], points[order], scores[order]
        scale = torch.tensor([width / image.shape[2], height / image.shape[1]])
        return Faces(boxes * scale.repeat(2), points * scale, scores)

    def _cascade(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        table = summed_area_table(image)
        boxes = self._propose(image)
        if len(boxes):
            boxes = self._refine(table, boxes)
        if len(boxes):
            return self._finish(table, boxes)
        return torch.zeros(0, 4), torch.zeros(0, 5, 2), torch.zeros(0)

    def _propose(self, image: Tensor) -> Tensor:
        """Return squares ``(n, 4)`` that may contain a face, from every level of the image pyramid."""
        # An image of more than 64:1 is lower, once shrunk, than the smallest face, and has no level at all.
        found, probabilities = [torch.zeros(0, 8)], [torch.zeros(0)]
        for size in _pyramid(int(image.shape[1]), int(image.shape[2])):
            level = _resize(image, size)
            probability, offsets = (result.cpu().float()[0] for result in self.proposal(self._pixels(level[None])))
            row, column = (probability >= self.thresholds[0]).nonzero(as_tuple=True)
            corner = torch.stack([column, row], 1) * ProposalNet.stride
            scale = torch.tensor([image.shape[2] / size[1], image.shape[1] / size[0]])
            windows = torch.cat([corner, corner + ProposalNet.window], 1) * scale.repeat(2)
            scores = probability[row, column]
            kept = suppress(windows, scores, 0.5)
            found.append(torch.cat([windows[kept], offsets[:, row[kept], column[kept]].T], 1))
            probabilities.append(scores[kept])
        windows = torch.cat(found)
        windows = windows[suppress(windows[:, :4], torch.cat(probabilities), 0.7)]
        return squared(shifted(windows[:, :4], windows[:, 4:]))

    def _refine(self, table: Tensor, boxes: Tensor) -> Tensor:
        """Return the squares ``(n, 4)`` that the second network keeps, corrected."""
        crops = self._pixels(resample(table, boxes, RefineNet.window))
        scores, offsets = (result.cpu().float() for result in self.refine(crops))
        sure = (scores >= self.thresholds[1]).nonzero()[:, 0]
        kept = sure[suppress(boxes[sure], scores[sure], 0.7)]
        return squared(shifted(boxes[kept], offsets[kept]))

    def _finish(self, table: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return boxes ``(n, 4)``, points ``(n, 5, 2)`` and probabilities ``(n,)`` of the third network."""
        crops = self._pixels(resample(table, boxes, OutputNet.window))
        scores, offsets, points = (result.cpu().float() for result in self.output(crops))
        sure = scores >= self.thresholds[2]
        boxes, offsets, points, scores = boxes[sure], offsets[sure], points[sure], scores[sure]
        points = boxes[:, None, :2] + points * (boxes[:, 2:] - boxes[:, :2])[:, None]
        boxes = shifted(boxes, offsets)
        # A box inside a larger box is the same face.
        kept = suppress(boxes, scores, 0.7, of_smaller=True)
        return boxes[kept], points[kept], scores[kept]

    def _pixels(self, images: Tensor) -> Tensor:
        pixels = ((images * 255 - 127.5) / 128).to(self.proposal.conv1.weight)
        # Channels last: pooling on a CPU takes a fifth of the time.
        return pixels.contiguous(memory_format=torch.channels_last)


def build(pnet: Path, rnet: Path, onet: Path) -> MTCNN:
    """Return the detector with the weights in its three files.

    Raises:
        WeightsError: if a file cannot be read or does not match its network.
    """
    with torch.device("meta"):  # skips initialisation, which would draw from the global generator
        detector = MTCNN()
    load_into(detector.proposal, pnet)
    load_into(detector.refine, rnet)
    load_into(detector.output, onet)
    return detector.eval().requires_grad_(False)


def _pyramid(height: int, width: int) -> list[tuple[int, int]]:
    """Return the sizes of the levels: a window covers the smallest face in the first, the whole image in the last."""
    sizes = []
    scale = ProposalNet.window / MINIMUM_FACE
    while min(height, width) * scale >= ProposalNet.window:
        sizes.append((math.ceil(height * scale), math.ceil(width * scale)))
        scale *= PYRAMID_STEP
    return sizes


def _resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    return nn.functional.interpolate(image[None], size, mode="bilinear", antialias=True, align_corners=False)[0]


def _prominence(boxes: Tensor, scores: Tensor, size: tuple[int, int]) -> Tensor:
    height, width = size
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 - torch.tensor([width, height]) / 2
    distance = centre.square().sum(1).sqrt() / min(height, width)
    return scores * area(boxes) * torch.exp(-0.5 * (distance / CENTRE_SPREAD) ** 2)
