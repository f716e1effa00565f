"""The paper's networks and data sets in their publishers' formats, with arbitrary weights and drawn faces.

The networks are small: their published sizes are tested with the plugins, and would take a second for each picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import official
import pytest
import torch
from torch import Tensor

from faceinv.contracts import EncoderSpec, Framing
from faceinv.data import write_image
from faceinv.framing import pixel_points
from faceinv.testing import draw_faces

#: VGGFace2's ResNet: stage → (inner width, blocks, stride).
STAGES = {2: (16, 1, 2), 3: (16, 1, 2), 4: (32, 1, 2), 5: (64, 1, 2)}

#: Numbers of its descriptor, in place of 2,048, which take seconds to whiten.
LENGTH = 4 * STAGES[5][0]

#: VGG-Face: (channels, convolutions) of each stage.
WIDTHS = ((8, 2), (8, 2), (16, 3), (16, 3), (32, 3))

#: People of CelebA in each part, a photograph each; ``--probe-data`` needs 100 to learn from.
PARTS = {0: 100, 1: 10, 2: 10}

#: CelebA's photographs as they were collected, of any size.
COLLECTED = Framing("collected", (150, 130), ((0.38, 0.42), (0.62, 0.42), (0.5, 0.55), (0.41, 0.66), (0.59, 0.66)))


def normal(*shape: int) -> Tensor:
    fan = torch.Size(shape[1:]).numel()
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape) + fan)) * (2 / fan) ** 0.5


def resnet50_dag() -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of ``resnet50_ft_dag.pth``, of a network with the :data:`STAGES`."""

    def convolution(name: str, outputs: int, inputs: int, kernel: int) -> Iterator[tuple[str, Tensor]]:
        # Without biases descriptors scale with the first layer: this one keeps them to a length of about 5.
        scale = 2e-4 if inputs == 3 else 1.0
        yield f"{name}.weight", normal(outputs, inputs, kernel, kernel) * scale
        for field, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
            yield f"{name}_bn.{field}", torch.full((outputs,), value)

    yield from convolution("conv1_7x7_s2", 64, 3, 7)
    width = 64
    for stage, (inner, blocks, _) in STAGES.items():
        for block in range(1, blocks + 1):
            yield from convolution(f"conv{stage}_{block}_1x1_reduce", inner, width, 1)
            yield from convolution(f"conv{stage}_{block}_3x3", inner, inner, 3)
            yield from convolution(f"conv{stage}_{block}_1x1_increase", 4 * inner, inner, 1)
            if block == 1:
                yield from convolution(f"conv{stage}_{block}_1x1_proj", 4 * inner, width, 1)
            width = 4 * inner
    yield "classifier.weight", torch.zeros(8631, LENGTH, 1, 1)
    yield "classifier.bias", torch.zeros(8631)


def vgg16_dag() -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of ``vgg_face_dag.pth``, of a network with the :data:`WIDTHS`, in half precision."""
    inputs = 3
    for stage, (width, steps) in enumerate(WIDTHS, start=1):
        for step in range(1, steps + 1):
            yield f"conv{stage}_{step}.weight", normal(width, inputs, 3, 3).half()
            yield f"conv{stage}_{step}.bias", torch.zeros(width).half()
            inputs = width
    for name, width in (("fc6", 49 * inputs), ("fc7", 4096)):
        yield f"{name}.weight", normal(4096, width).half()
        yield f"{name}.bias", torch.zeros(4096).half()


def shrink_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the encoders few blocks or narrow ones; the files of :func:`write_networks` are of these."""
    import timm
    from faceinv_arcface import iresnet
    from faceinv_vggface2 import plugin, resnet50

    monkeypatch.setattr(resnet50, "STAGES", STAGES)
    monkeypatch.setattr(plugin, "EncoderSpec", _narrow)
    monkeypatch.setitem(iresnet.DEPTHS, 50, (1, 1, 1, 1))
    monkeypatch.setitem(timm.models.vgg.cfgs, "vgg16", [x for width, steps in WIDTHS for x in [*[width] * steps, "M"]])


def _narrow(**given: Any) -> EncoderSpec:
    return EncoderSpec(**given | ({"dim": LENGTH} if given["dim"] == 2048 else {}))


def write_networks(folder: Path) -> dict[str, Path]:
    """Write the four networks and return their files, by the variables of the paper's suite."""
    files = {
        "vggface2": folder / "resnet50_ft_dag.pth",
        "vggface": folder / "vgg_face_dag.pth",
        "stylegan2": official.module_of("stylegan2", "stylegan2_files").write_nvidia(folder / "ffhq.pkl"),
        "arcface": official.iresnet(folder)[0],
    }
    torch.save(dict(resnet50_dag()), files["vggface2"])
    torch.save(dict(vgg16_dag()), files["vggface"])
    return files


def write_celeba(root: Path) -> Path:
    """Write CelebA's official folders and lists, with an aligned and an uncropped photograph of each person."""
    from faceinv_celeba.dataset import ALIGNED

    tests = official.module_of("celeba", "test_celeba")
    names = [f"{number:06d}.jpg" for number in range(1, sum(PARTS.values()) + 1)]
    lists = root / "Anno"
    lists.mkdir(parents=True)
    for folder, listed, framing in (
        ("img_align_celeba", "list_landmarks_align_celeba.txt", ALIGNED),
        ("img_celeba", "list_landmarks_celeba.txt", COLLECTED),
    ):
        (root / "Img" / folder).mkdir(parents=True)
        for name, face in zip(names, draw_faces(len(names), framing), strict=True):
            write_image(face, root / "Img" / folder / name)
        tests.write_landmarks(lists / listed, np.tile(pixel_points(framing).round(), (len(names), 1, 1)))
    coin = np.random.default_rng(0)
    rows = [f"{name} {' '.join(coin.choice(['-1', ' 1'], len(tests.ATTRIBUTES)))}\n" for name in names]
    (lists / "list_attr_celeba.txt").write_text(f"{len(names)}\n{tests.HEADER} \n{''.join(rows)}")
    (lists / "identity_CelebA.txt").write_text("".join(f"{name} {k}\n" for k, name in enumerate(names)))
    parts = [part for part, people in PARTS.items() for _ in range(people)]
    (root / "Eval").mkdir()
    (root / "Eval" / "list_eval_partition.txt").write_text(
        "".join(f"{name} {part}\n" for name, part in zip(names, parts, strict=True))
    )
    return root


def write_people(folder: Path, people: dict[str, int], pattern: str, framing: Framing, seed: int) -> Path:
    """Write drawn faces, named by ``pattern`` with ``person`` and ``number``, of as many people as are named."""
    faces = iter(draw_faces(sum(people.values()), framing, seed))
    for person, count in people.items():
        for number in range(1, count + 1):
            path = folder / pattern.format(person=person, number=number)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(next(faces), path)
    return folder
