"""The attribute "pose": yaw, pitch and roll of the head, computed from landmarks in closed form."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from faceinv.contracts import DerivedProbe, Framing, Probe
from faceinv.errors import WeightsError
from faceinv.weights import check_values, read_tensors
from faceinv_attributes.rigid_shape import RIGID, rigid_shape

#: Yaw in degrees above which a view shows the depth of faces rather than differences between people.
_TURNED = 25.0


class PoseProbe(DerivedProbe):
    """Yaw, pitch and roll in degrees.

    Positive yaw turns the face to the image's right, positive pitch looks up, positive roll tilts the head clockwise
    in the image. The mean face is fitted to the landmarks by scaled orthography. Pitch 0 is, by convention, the view
    in which the face is flattest.

    Args:
        weights: The mean face, safetensors ``shape`` ``(33, 3)``.
        landmarks: A probe of 68 landmarks.
        framing: Where the face sits in the images.

    Raises:
        WeightsError: the file does not hold a mean face.
    """

    shape = (3,)

    def __init__(self, weights: Path, landmarks: Probe, *, framing: Framing) -> None:
        super().__init__(landmarks, framing=framing)
        height, width = framing.size
        # As tensors of the probe, which are moved to its device once instead of at every step.
        self._size = torch.tensor([float(width), float(height)])
        self._rigid = torch.tensor(RIGID)
        self._inverse = _inverse(load_shape(weights))

    def derive(self, *attributes: Tensor) -> Tensor:
        """Return yaw, pitch and roll ``(B, 3)`` of landmarks ``(B, 68, 2)`` in frame coordinates."""
        (landmarks,) = attributes
        pixels = landmarks * self._size.to(landmarks)
        return _pose(pixels[:, self._rigid.to(pixels.device)], self._inverse.to(pixels))

    def error(self, predicted: Tensor, truth: Tensor) -> Tensor:
        """Return the mean absolute error of the three angles in degrees, ``(B,)``."""
        return (predicted - truth).abs().mean(1)

    def mirror(self, attribute: Tensor) -> Tensor:
        """Return the pose ``(B, 3)`` of the mirror images: yaw and roll change sign."""
        return attribute * attribute.new_tensor([-1.0, 1.0, -1.0])


def head_pose(points: Tensor, face: Tensor) -> Tensor:
    """Return yaw, pitch and roll ``(B, 3)`` in degrees of the scaled orthographic view of ``face`` that fits best.

    The affine camera that maps the shape to the points is a linear least-squares solution; the rotation is the
    nearest one to it (the polar factor of a 2×3 matrix). Both have closed forms and are differentiable unless all
    points are on one line.

    Args:
        points: ``(B, P, 2)``, x to the right and y down, in any unit that is the same along both axes.
        face: ``(P, 3)``, x to the right, y down, z away from the viewer.
    """
    return _pose(points, _inverse(face))


def _inverse(face: Tensor) -> Tensor:
    """Return what maps centred points ``(B, 2, P)`` to affine cameras ``(B, 2, 3)``: ``(P, 3)``."""
    inverse: Tensor = torch.linalg.pinv(face - face.mean(0)).T
    return inverse


def _pose(points: Tensor, inverse: Tensor) -> Tensor:
    """Return :func:`head_pose` given the inverse of the face."""
    centred = points - points.mean(1, keepdim=True)
    camera = centred.transpose(1, 2) @ inverse
    # (C Cᵀ)^(-1/2) C has orthonormal rows. A 2×2 root has a closed form: √M = (M + √det M) / √(tr M + 2 √det M).
    gram = camera @ camera.transpose(1, 2)
    root_det = (gram[:, 0, 0] * gram[:, 1, 1] - gram[:, 0, 1] ** 2).clamp_min(1e-24).sqrt()
    trace = gram[:, 0, 0] + gram[:, 1, 1]
    root = (gram + root_det[:, None, None] * torch.eye(2, dtype=gram.dtype, device=gram.device)) / (
        trace + 2 * root_det
    ).sqrt()[:, None, None]
    # Without a check for singular matrices, which would wait for the device.
    rotation = torch.linalg.solve_ex(root, camera).result
    first, second = rotation[:, 0], rotation[:, 1]
    third = torch.linalg.cross(first, second)
    # R = R_y(yaw) R_x(pitch) R_z(roll), with z pointing away from the viewer.
    yaw = -torch.atan2(first[:, 2], third[:, 2])
    pitch = torch.asin((second[:, 2]).clamp(-1 + 1e-6, 1 - 1e-6))
    roll = torch.atan2(second[:, 0], second[:, 1])
    return torch.rad2deg(torch.stack([yaw, pitch, roll], 1))


def fit_face(landmarks: Tensor, mirror: tuple[int, ...]) -> Tensor:
    """Return the mean face ``(33, 3)`` of many people's landmarks ``(F, 68, 2)``.

    Fitted twice, the second time to turned faces only: a narrow view may be a narrow face as well as a turned one,
    so near-frontal views make the shape too flat. From 25 degrees on, the depth does not change with the limit.

    Args:
        landmarks: In pixels, or any unit that is the same along both axes.
        mirror: Index of each landmark's mirror image.
    """
    first = rigid_shape(landmarks, mirror).to(landmarks)
    turned = head_pose(landmarks[:, list(RIGID)], first)[:, 0].abs() > _TURNED
    return rigid_shape(landmarks[turned], mirror).to(landmarks)


def load_shape(path: Path) -> Tensor:
    """Return the mean face ``(33, 3)`` in ``path``.

    Raises:
        WeightsError: the file does not hold a mean face.
    """
    try:
        tensors = read_tensors(path)
        check_values(tensors)
        shape = tensors["shape"].float()
    except (WeightsError, KeyError) as error:
        raise WeightsError(f"{path} does not hold a mean face: {error} Make it with: faceinv fit-face") from None
    if shape.shape != (len(RIGID), 3):
        raise WeightsError(f"{path} holds a shape {tuple(shape.shape)}, expected ({len(RIGID)}, 3).")
    return shape
