"""The mean face in three dimensions, from 2-D landmarks of many faces (Tomasi, Kanade 1992).

Under scaled orthography the centred landmarks of F views of one rigid shape form a ``(2F, P)`` matrix of rank 3,
cameras times shape. The factors are determined up to a 3×3 matrix, which follows from the cameras: the two rows of
each are orthogonal and equally long. Non-rigid variation, such as a person's nose or a smile, is noise that averages
out over many faces.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: Landmarks that hardly move with the expression: brows, nose, eyes and the corners of the mouth (0-based, iBUG
#: 300-W scheme). The outline of the jaw is not a fixed part of the head: it slides as the head turns.
RIGID = (*range(17, 49), 54)

#: Outer eye corners, whose distance is the unit of the shape, and the tip of the nose.
_LEFT_EYE, _RIGHT_EYE, _NOSE = 36, 45, 30


def rigid_shape(landmarks: Tensor, mirror: tuple[int, ...], indices: tuple[int, ...] = RIGID) -> Tensor:
    """Return the rigid shape ``(len(indices), 3)`` common to views ``(F, 68, 2)``.

    Centred, with x to the image's right, y down and z away from the viewer, in units of the distance of the outer eye
    corners. Its symmetry plane is x = 0, and its rotation about x makes it thinnest along z.

    Args:
        landmarks: One face per view, in pixels or any unit that is the same along both axes.
        mirror: Index of each landmark's mirror image.
        indices: Which landmarks to use; closed under ``mirror``.
    """
    where = {landmark: place for place, landmark in enumerate(indices)}
    swap = torch.tensor([where[mirror[landmark]] for landmark in indices])
    points = landmarks[:, list(indices)].double()
    points = points - points.mean(1, keepdim=True)
    # Mirrored views double the data and make the shape symmetric.
    mirrored = points[:, swap] * points.new_tensor([-1.0, 1.0])
    views = torch.cat([points, mirrored])
    # Normalised in size, so that near faces do not count more.
    views = views / views.square().mean((1, 2), keepdim=True).sqrt()
    stacked = views.transpose(1, 2).reshape(-1, len(indices))
    u, s, vt = torch.linalg.svd(stacked, full_matrices=False)
    cameras = (u[:, :3] * s[:3]).view(-1, 2, 3)
    shape = vt[:3].T @ torch.linalg.inv(_upgrade(cameras)).T
    return _oriented(shape, swap, where)


def _upgrade(cameras: Tensor) -> Tensor:
    """Return the matrix ``(3, 3)`` that makes the rows of each camera ``(F, 2, 3)`` orthogonal and equally long."""
    first, second = cameras[:, 0], cameras[:, 1]
    rows = torch.cat([_quadratic(first, first) - _quadratic(second, second), 2 * _quadratic(first, second)])
    _, _, vt = torch.linalg.svd(rows.T @ rows)
    a, b, c, d, e, f = vt[-1].unbind()
    gram = torch.stack([torch.stack([a, b, c]), torch.stack([b, d, e]), torch.stack([c, e, f])])
    values, vectors = torch.linalg.eigh(gram * torch.sign(torch.trace(gram)))
    root: Tensor = vectors * values.clamp_min(1e-6 * float(values.max())).sqrt()
    return root


def _quadratic(a: Tensor, b: Tensor) -> Tensor:
    """Return the coefficients ``(F, 6)`` of aᵀ L b in the six entries of a symmetric matrix L."""
    x, y, z = a.unbind(1)
    p, q, r = b.unbind(1)
    return torch.stack([x * p, (x * q + y * p), (x * r + z * p), y * q, (y * r + z * q), z * r], 1)


def _oriented(shape: Tensor, swap: Tensor, where: dict[int, int]) -> Tensor:
    """Rotate a shape so that its symmetry plane is x = 0, the brows are up and the nose points to the viewer."""
    shape = shape - shape.mean(0)
    # Lines between mirrored landmarks run across the face.
    across = (shape - shape[swap]) * torch.sign((shape - shape[swap]) @ (shape[where[45]] - shape[where[36]]))[:, None]
    x = torch.nn.functional.normalize(across.sum(0), dim=0)
    middle = (shape + shape[swap]) / 2
    middle = middle - middle @ x[:, None] * x
    # Brows, eyes, nose and mouth are nearly in one plane, perpendicular to the viewing direction of a frontal view.
    plane = torch.linalg.svd(middle - middle.mean(0)).Vh
    y = plane[0]
    y = y * torch.sign((middle[where[48]] - middle[where[36]]) @ y)
    z = torch.linalg.cross(x, y)
    turned = shape @ torch.stack([x, y, z], 1)
    symmetric = (turned + turned[swap] * turned.new_tensor([-1.0, 1.0, 1.0])) / 2
    eyes = (symmetric[where[_LEFT_EYE], 2] + symmetric[where[_RIGHT_EYE], 2]) / 2
    if symmetric[where[_NOSE], 2] > eyes:
        # A shape and its depth-reversed copy have the same orthographic views.
        symmetric[:, 2] *= -1
    scaled: Tensor = symmetric / (symmetric[where[_RIGHT_EYE]] - symmetric[where[_LEFT_EYE]]).norm()
    return scaled
