"""The loader builds each thing once."""

from __future__ import annotations

from dataclasses import replace

import torch

from faceinv.models import FramedEncoder, Loader
from faceinv.plugins import Host
from faceinv.testing import toy
from faceinv.weights import WeightStore


def test_each_thing_is_built_once_per_framing(host: Host) -> None:
    loader = Loader(host, WeightStore(host))
    other = replace(toy.FRAMING, name="other")
    assert loader.encoder("toy") is loader.encoder("toy.attacked")
    assert loader.generator("toy-faces") is loader.generator("toy-faces")
    for build, name in ((loader.metric, "mse"), (loader.probe, "brightness")):
        assert build(name, toy.FRAMING) is build(name, toy.FRAMING)
        assert build(name, toy.FRAMING) is not build(name, other)


def test_a_framed_encoder_and_a_generator_know_where_they_are(host: Host) -> None:
    loader = Loader(host, WeightStore(host), device="cpu")
    framed = FramedEncoder(loader.encoder("toy"), toy.FRAMING)
    assert (framed.spec.name, framed.dim) == ("toy.attacked", 12)
    assert framed.device == loader.generator("toy-faces").device == torch.device("cpu")
