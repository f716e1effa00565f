"""A weights file of another known network is identified by its hash or its tensors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from faceinv import hookimpl
from faceinv.contracts import EncoderSpec, Framing, WeightSpec
from faceinv.errors import WeightsError
from faceinv.models import Loader
from faceinv.plugins import Host
from faceinv.storage import file_sha256
from faceinv.weights import WeightStore, load_strictly, read_tensors
from faceinv.weights.identify import identify


def file(name: str, fingerprint: dict[str, tuple[int, ...]] | None = None, sha256: str = "") -> WeightSpec:
    return WeightSpec(name=name, filename="f", sha256=sha256, sources=(), licence="MIT", fingerprint=fingerprint or {})


SMALL = {"a.weight": (2, 3)}
SPECS = [
    file("net.small/pth", SMALL),
    file("net.large/pth", {**SMALL, "b.weight": (4,)}),
    file("net.large-again/pth", {**SMALL, "b.weight": (4,)}),
    file("net.pinned/h5", sha256="a" * 64),
    file("net.nothing/x"),
]


@pytest.mark.parametrize(
    ("shapes", "sha256", "names"),
    [
        ({"a.weight": (2, 3), "other": (1,)}, "", ["net.small"]),
        ({"a.weight": (2, 3), "b.weight": (4,)}, "", ["net.large", "net.large-again"]),
        ({"a.weight": (2, 3), "b.weight": (5,)}, "", ["net.small"]),
        ({"a.weight": (3, 2)}, "", []),
        ({}, "a" * 64, ["net.pinned"]),
        ({"a.weight": (2, 3)}, "a" * 64, ["net.pinned"]),
        ({}, "b" * 64, []),
        ({}, "", []),
    ],
)
def test_recognise(shapes: dict[str, tuple[int, ...]], sha256: str, names: list[str]) -> None:
    assert identify(SPECS, shapes, sha256) == names


def build(path: Path, *, width: int, name: str) -> nn.Module:
    """Factory of both networks below."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, width))
    load_strictly(network, read_tensors(path), network=name)
    return network


def encoder(name: str, width: int, factory: Callable[..., nn.Module]) -> EncoderSpec:
    frame = Framing("f", (2, 2), ((0.3, 0.3), (0.7, 0.3), (0.5, 0.5), (0.4, 0.8), (0.6, 0.8)))
    return EncoderSpec(
        name=name,
        summary="x",
        target=f"{__name__}:{factory.__name__}",
        licence="MIT",
        weights=(f"{name}/pth",),
        options={"width": width, "name": name},
        dim=width,
        framing=frame,
    )


def build_of_another_format(path: Path, **options: Any) -> nn.Module:
    raise WeightsError(f"{path} is not a file of the right format.")


@pytest.mark.parametrize("factory", [build, build_of_another_format])
@pytest.mark.parametrize("by_hash", [True, False])
def test_the_loader_names_the_network_that_a_file_belongs_to(
    tmp_path: Path, by_hash: bool, factory: Callable[..., nn.Module]
) -> None:
    for name, width in (("narrow", 3), ("wide", 5)):
        torch.save({"1.weight": torch.ones(width, 12), "1.bias": torch.ones(width)}, tmp_path / name)
    pins = {name: file_sha256(tmp_path / name) for name in ("narrow", "wide")}
    marks = {"narrow": {"1.weight": (3, 12)}, "wide": {"1.weight": (5, 12)}}

    class Plugin:
        @hookimpl
        def faceinv_encoders(self) -> list[EncoderSpec]:
            return [encoder("narrow", 3, factory), encoder("wide", 5, build)]

        @hookimpl
        def faceinv_weights(self) -> list[WeightSpec]:
            pinned = pins if by_hash else dict.fromkeys(pins, "0" * 64)
            return [file(f"{n}/pth", {} if by_hash else marks[n], pinned[n]) for n in ("narrow", "wide")]

    host = Host(entry_points=False)
    host.register(Plugin(), "p", "p 1")
    assert not host.problems

    def load(name: str, given: str) -> nn.Module:
        store = WeightStore(host, cache=tmp_path / "cache", trusted=[file_sha256(tmp_path / given)])
        return Loader(host, store, files={name: tmp_path / given}).encoder(name)

    assert load("wide", "wide")(torch.ones(1, 3, 2, 2)).tolist() == [[13.0] * 5]
    with pytest.raises(
        WeightsError, match=r"(not hold the tensors of 'narrow'|right format).*wide is a file of wide\."
    ) as caught:
        load("narrow", "wide")
    assert "\n" not in str(caught.value)
