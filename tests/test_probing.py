"""Readers: they learn what is there, are kept, and leave the world as it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from faceinv.contracts import Recipe
from faceinv.probes import Whitening
from faceinv.probes.kept import trained_reader
from faceinv.probes.reader import Examples, Reader, Readings, Split, TunedHead, latent_head
from faceinv.probes.recipe import LATENTS, TUNED
from faceinv.storage.tensors import TensorCache


@pytest.fixture(scope="module")
def data() -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    descriptors = 30 * torch.randn(1500, 16, generator=rng) + 5
    noise = torch.randn(1500, 3, 2, generator=rng)
    signal = (descriptors @ torch.randn(16, 6, generator=rng)).view(-1, 3, 2)
    return descriptors, 0.01 * signal + 0.2 * noise + 7


def train(data: tuple[Tensor, Tensor], folder: Path, recipe: Recipe = TUNED, seed: int = 0, **more: object):
    descriptors, targets = data
    return trained_reader(
        lambda: TunedHead(16, 6, width=32), targets.shape[1:], lambda: Examples.of(*data), recipe,
        seed=seed, what="test", parts={"data": "a"}, cache=TensorCache(folder), whitening=whitened(descriptors), **more,
    )  # fmt: skip


def whitened(descriptors: Tensor) -> Whitening:
    return Whitening.fitted(descriptors, torch.arange(len(descriptors))[Split.of(len(descriptors)).train])


def test_a_reader_beats_the_mean_on_held_out_pairs(data: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    descriptors, targets = data
    split = Split.of(len(descriptors))
    reader = train(data, tmp_path)
    error = (reader(descriptors[split.test]) - targets[split.test]).square().mean()
    guess = (targets[split.train].mean(0) - targets[split.test]).square().mean()
    assert reader(descriptors[split.test]).shape == (150, 3, 2)
    assert error < 0.35 * guess


def test_training_is_repeatable_cached_and_leaves_the_global_state(data: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    state = torch.random.get_rng_state()
    first = train(data, tmp_path / "a")
    again = train(data, tmp_path / "b")
    assert torch.equal(torch.random.get_rng_state(), state)
    x = data[0][:8]
    assert torch.equal(first(x), again(x))
    (file,) = (tmp_path / "a").glob("*.safetensors")
    written = file.stat().st_mtime_ns
    assert torch.equal(train(data, tmp_path / "a")(x), first(x))
    assert file.stat().st_mtime_ns == written
    assert not torch.equal(train(data, tmp_path / "a", seed=1)(x), first(x))


@pytest.mark.parametrize("own", [None, lambda raw, truth: (raw - truth).abs().flatten(1).sum(1)])
def test_members_are_trained_as_if_alone_and_averaged(data: tuple[Tensor, Tensor], tmp_path: Path, own: object) -> None:
    recipe = replace(TUNED, epochs=3, noise=0.3)
    alone = train(data, tmp_path, recipe, reading_loss=own)
    three = train(data, tmp_path, recipe, reading_loss=own, members=3)
    x, heads = alone.inputs(data[0][:8]), three.head.heads
    torch.testing.assert_close(heads[0](x), alone.head(x))
    assert not torch.allclose(heads[1](x), heads[2](x))
    torch.testing.assert_close(three.head(x), (heads[0](x) + heads[1](x) + heads[2](x)) / 3)
    assert torch.equal(train(data, tmp_path, recipe, reading_loss=own, members=3)(x), three(x))


def test_noise_shrinks_a_linear_head_as_a_ridge_penalty_does(tmp_path: Path) -> None:
    descriptors = torch.randn(1000, 16, generator=torch.Generator().manual_seed(0))
    targets = descriptors[:, :6]

    def slope(noise: float) -> float:
        recipe = Recipe(
            "adam", learning_rate=0.01, batch_size=50, epochs=20, schedule="cosine", whiten=True, noise=noise
        )
        reader = trained_reader(
            lambda: nn.Linear(16, 6), (6,), lambda: Examples.of(descriptors, targets), recipe,
            seed=0, what="test", parts={}, cache=TensorCache(tmp_path), whitening=whitened(descriptors),
        )  # fmt: skip
        return float((reader(descriptors) * targets).sum() / targets.square().sum())

    assert slope(0.0) == pytest.approx(1, abs=0.01)
    # Whitened descriptors have variance 1, noisy ones 2.
    assert slope(1.0) == pytest.approx(0.5, abs=0.05)


class Product(nn.Module):
    """Reads the product of the first two numbers, which a linear regression cannot."""

    def forward(self, descriptors: Tensor) -> Tensor:
        return descriptors[:, :1] * descriptors[:, 1:2]


def test_a_linear_regression_finds_more_in_what_a_reader_has_read(tmp_path: Path) -> None:
    descriptors = torch.randn(1000, 8, generator=torch.Generator().manual_seed(0))
    latents = torch.cat([descriptors[:, 2:4], Product()(descriptors)], 1)
    split, whitening = Split.of(1000), whitened(descriptors)

    def errors(*readers: Reader) -> list[float]:
        inputs = Readings(whitening, readers)
        regressor = trained_reader(
            lambda: nn.Linear(inputs.outputs, 3), (3,), lambda: Examples.of(descriptors, latents), LATENTS,
            seed=0, what="test", parts={"readers": len(readers)}, cache=TensorCache(tmp_path), whitening=inputs,
        )  # fmt: skip
        return (regressor(descriptors) - latents)[split.test].square().mean(0).tolist()

    without, seen = errors(), errors(Reader(Product(), (1,)))
    assert without[:2] == pytest.approx([0, 0], abs=1e-4)
    assert without[2] > 0.5
    assert seen == pytest.approx([0, 0, 0], abs=1e-4)


def test_a_damaged_cache_file_is_made_anew(data: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    first = train(data, tmp_path)
    (file,) = tmp_path.glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:50])
    assert torch.equal(train(data, tmp_path)(data[0][:4]), first(data[0][:4]))


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_a_recipe_that_does_not_whiten_trains_too(data: tuple[Tensor, Tensor], tmp_path: Path, optimizer: str) -> None:
    recipe = Recipe(optimizer=optimizer, learning_rate=1e-4, batch_size=64, epochs=2)
    reader = train(data, tmp_path, recipe)
    assert torch.isfinite(reader(data[0])).all()
    assert torch.equal(reader.inputs(data[0]), data[0])


def test_a_reader_is_trained_on_the_probes_own_loss(tmp_path: Path) -> None:
    rng = torch.Generator().manual_seed(0)
    descriptors = torch.randn(3000, 4, generator=rng)
    # Skewed noise: its median lies far below its mean.
    targets = descriptors.sum(1, keepdim=True) + torch.randn(3000, 1, generator=rng).mul(2).exp()

    def distance(raw: Tensor, truth: Tensor) -> Tensor:
        return (raw - truth).abs().sum(1)

    def error(**more: object) -> float:
        reader = trained_reader(
            lambda: TunedHead(4, 1, width=16), (1,), lambda: Examples.of(descriptors, targets), TUNED,
            seed=0, what="test", parts={"data": str(more)}, cache=TensorCache(tmp_path),
            whitening=whitened(descriptors), **more,
        )  # fmt: skip
        part = Split.of(len(descriptors)).test
        return float(distance(reader(descriptors[part]), targets[part]).mean())

    assert error(reading_loss=distance) < 0.9 * error()


def test_a_reader_finds_what_an_encoder_whispers(tmp_path: Path) -> None:
    """Three numbers of sixteen with a ten-thousandth of the others' amplitude, in a rotated space."""
    rng = torch.Generator().manual_seed(0)
    factors = torch.randn(3000, 16, generator=rng)
    loud = torch.ones(16).index_fill_(0, torch.arange(3), 1e-4)
    rotation = torch.linalg.qr(torch.randn(16, 16, generator=rng).double())[0]
    descriptors = ((20 * factors * loud).double() @ rotation + 3).float()
    targets = factors[:, :3] @ torch.randn(3, 6, generator=rng)
    reader = train((descriptors, targets), tmp_path)
    part = Split.of(len(descriptors)).test
    assert (reader(descriptors[part]) - targets[part]).square().mean() < 0.1 * targets.square().mean()


def test_constrain_is_applied_to_what_is_read(data: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    reader = train(data, tmp_path, constrain=lambda raw: raw.clamp(0, 1).view(-1, 3, 2))
    assert reader(data[0]).max() <= 1


def test_a_tenth_of_the_pairs_is_held_out() -> None:
    split = Split.of(107)
    train, held = (set(range(107)[part]) for part in (split.train, split.test))
    assert (len(train), len(held), len(train | held)) == (97, 10, 107)
    assert split.validation == split.test


def test_the_latent_regressor_is_the_papers() -> None:
    sizes = [(m.in_features, m.out_features) for m in latent_head(192, 100) if isinstance(m, nn.Linear)]
    assert sizes == [(192, 2048), (2048, 2048), (2048, 2048), (2048, 100)]
