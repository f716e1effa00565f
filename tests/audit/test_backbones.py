"""timm's models: which can be trained on crops is known before anything is computed."""

from __future__ import annotations

import pytest
import torch

from faceinv.audit.image_reader import backbone_options, batches, build_backbone
from faceinv.errors import UsageError


@pytest.mark.parametrize(("n", "sizes"), [(65, [65]), (129, [64, 65]), (130, [64, 64, 2]), (64, [64]), (1, [1])])
def test_no_batch_of_one_is_left(n: int, sizes: list[int]) -> None:
    rows = torch.arange(n)
    assert [len(part) for part in batches(rows, 64)] == sizes
    assert torch.equal(torch.cat(batches(rows, 64)), rows)


def test_models_of_a_fixed_size_get_the_size_of_the_crops() -> None:
    before = torch.random.get_rng_state()
    assert backbone_options("lcnet_050") == {}
    assert backbone_options("vit_tiny_patch16_224") == {"img_size": (64, 64)}
    assert torch.equal(torch.random.get_rng_state(), before)


def test_models_unknown_to_run_with_channels_last_run_without() -> None:
    network = build_backbone("repvgg_a0", 3)
    network(torch.zeros(2, 3, 64, 64)).sum().backward()
    assert all(weight.is_contiguous() for weight in network.parameters())


@pytest.mark.parametrize(
    ("name", "words"),
    [("resnet9000", "Did you mean 'resnet200'"), ("inception_v4", "cannot be trained on images of 64x64")],
)
def test_others_are_refused(name: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        backbone_options(name)
