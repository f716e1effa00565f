"""Heads trained together: each as if alone, rows without a label left out, stopped in time."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from faceinv.contracts import Recipe
from faceinv.probes import Whitening
from faceinv.probes.reader import TunedHead
from faceinv.probes.recipe import TUNED
from faceinv.probes.training import Parts, Task, train_heads
from faceinv.storage import seed_of

N, DIM = 900, 12
QUICK = replace(TUNED, epochs=12, batch_size=64, learning_rate=4e-3, patience=4)
PAPER = Recipe(optimizer="sgd", learning_rate=1e-2, batch_size=16, epochs=3)


@pytest.fixture(scope="module")
def descriptors() -> Tensor:
    return 20 * torch.randn(N, DIM, generator=torch.Generator().manual_seed(0)) + 3


@pytest.fixture(scope="module")
def parts() -> Parts:
    return Parts(torch.arange(0, 700), torch.arange(700, 800))


def task(name: str, labels: Tensor, recipe: Recipe = QUICK, width: int = 24, dropout: float = 0.2) -> Task:
    outputs = labels[0].numel()
    sigmoid = torch.sigmoid if recipe.objective == "bce" else None
    return Task(name, labels, lambda: TunedHead(DIM, outputs, width, dropout), recipe, sigmoid)


def signal(descriptors: Tensor, outputs: int, seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return descriptors @ torch.randn(DIM, outputs, generator=rng) * 0.05 + 2 + torch.randn(N, outputs, generator=rng)


def test_a_head_is_what_it_is_alone(descriptors: Tensor, parts: Parts) -> None:
    first, second = signal(descriptors, 1, 1), signal(descriptors, 1, 2)
    binary = (second > 2).float()
    own = task("a", first)
    others = [
        task("b", second), own, task("c", signal(descriptors, 3, 3)), task("d", first, PAPER),
        task("e", binary, replace(QUICK, objective="bce")),
    ]  # fmt: skip
    alone = train_heads(descriptors, [own], parts, seed=0)["a"]
    together = train_heads(descriptors, others, parts, seed=0)
    test = descriptors[800:]
    torch.testing.assert_close(together["a"](test), alone(test), atol=1e-3, rtol=1e-3)
    assert set(together) == set("abcde")
    assert together["c"](test).shape == (100, 3)


def test_stacked_heads_are_those_of_a_plain_loop(descriptors: Tensor, parts: Parts) -> None:
    """The paper's recipe, written out: same first weights, same batches, same optimiser."""
    labels = [signal(descriptors, 2, seed) for seed in (1, 2)]
    tasks = [task(f"t{k}", value, PAPER, dropout=0.0) for k, value in enumerate(labels)]
    trained = train_heads(descriptors / 20, tasks, parts, seed=3)
    untrained = train_heads(
        descriptors / 20, [replace(t, recipe=replace(PAPER, epochs=0)) for t in tasks], parts, seed=3
    )
    for k, values in enumerate(labels):
        head = untrained[f"t{k}"].head.requires_grad_(True)
        optimizer = torch.optim.SGD(head.parameters(), PAPER.learning_rate)
        rng = torch.Generator().manual_seed(seed_of("order 3"))
        for _ in range(PAPER.epochs):
            for rows in torch.split(parts.train[torch.randperm(700, generator=rng)], 16):
                optimizer.zero_grad()
                nn.functional.mse_loss(head(descriptors[rows] / 20), values[rows]).backward()
                optimizer.step()
        torch.testing.assert_close(trained[f"t{k}"](descriptors / 20), head(descriptors / 20), atol=1e-4, rtol=1e-3)


def test_it_is_repeatable_and_leaves_the_global_generator(descriptors: Tensor, parts: Parts) -> None:
    state = torch.random.get_rng_state()
    first = train_heads(descriptors, [task("a", signal(descriptors, 2, 1))], parts, seed=0)["a"]
    again = train_heads(descriptors, [task("a", signal(descriptors, 2, 1))], parts, seed=0)["a"]
    other = train_heads(descriptors, [task("a", signal(descriptors, 2, 1))], parts, seed=1)["a"]
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(first(descriptors), again(descriptors))
    assert not torch.equal(first(descriptors), other(descriptors))


def test_rows_without_a_label_are_left_out(descriptors: Tensor, parts: Parts) -> None:
    labels = signal(descriptors, 2, 1)
    labels[100:200] = float("nan")
    full = signal(descriptors, 2, 2)
    readers = train_heads(descriptors, [task("a", labels), task("b", full)], parts, seed=0)
    known = readers["a"](descriptors[800:])
    assert torch.isfinite(known).all()
    error = (known - labels[800:]).square().mean()
    assert error < 0.6 * labels[800:].var(0).mean()


def test_a_binary_head_reads_probabilities(descriptors: Tensor, parts: Parts) -> None:
    labels = (signal(descriptors, 1, 1) > 2).float()
    reader = train_heads(descriptors, [task("a", labels, replace(QUICK, objective="bce"))], parts, seed=0)["a"]
    read = reader(descriptors[800:])
    assert ((read >= 0) & (read <= 1)).all()
    assert ((read > 0.5) == (labels[800:] > 0.5)).float().mean() > 0.8


def test_noise_is_stopped_early(descriptors: Tensor, parts: Parts) -> None:
    """On pure noise the best head is one that has hardly learnt: patience must find it, and end the training."""
    noise = torch.randn(N, 1, generator=torch.Generator().manual_seed(5))
    seen: list[int] = []
    patient = replace(QUICK, epochs=60, learning_rate=5e-3)
    reader = train_heads(
        descriptors, [task("a", noise, patient, width=128, dropout=0.0)], parts, seed=0,
        progress=lambda what, done, of: seen.append(done),
    )["a"]  # fmt: skip
    assert len(seen) < 30
    assert (reader(descriptors[800:]) - noise[800:]).square().mean() < 1.3 * noise.var()


def test_whitening_finds_what_is_a_thousand_times_smaller(parts: Parts) -> None:
    """Where identity is loud and a smile is whispered, standardising each number does not help; whitening does."""
    rng = torch.Generator().manual_seed(0)
    factors = torch.randn(N, DIM, generator=rng)
    amplitudes = torch.ones(DIM)
    amplitudes[-2:] = 1e-3
    rotation = torch.linalg.qr(torch.randn(DIM, DIM, generator=rng).double())[0]
    descriptors = ((factors * amplitudes * 10).double() @ rotation + 4).float()
    labels = (factors[:, -1:] > 0).float()
    recipe = replace(QUICK, objective="bce")
    standardised = (descriptors - descriptors.mean(0)) / descriptors.std(0)

    def right(inputs: Tensor, whiten: bool) -> float:
        reader = train_heads(inputs, [task("a", labels, replace(recipe, whiten=whiten))], parts, seed=0)["a"]
        return float(((reader(inputs[800:]) > 0.5) == (labels[800:] > 0.5)).float().mean())

    assert right(descriptors, whiten=True) > 0.9
    assert right(standardised, whiten=False) < 0.7


def test_whitened_descriptors_are_white_and_what_does_not_vary_is_no_noise(parts: Parts) -> None:
    rng = torch.Generator().manual_seed(0)
    descriptors = torch.randn(N, 4, generator=rng) @ torch.randn(4, DIM, generator=rng)  # rank 4
    whitened = Whitening.fitted(descriptors, parts.train)(descriptors[parts.train])
    covariance = whitened.T @ whitened / len(whitened)
    values = torch.linalg.eigvalsh(covariance.double())
    torch.testing.assert_close(values[-4:], torch.ones(4).double(), atol=1e-3, rtol=0)
    assert values[:-4].max() < 0.1


def test_a_whitening_stays_exact_where_the_network_around_it_is_cast(parts: Parts) -> None:
    descriptors = torch.randn(N, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 1e-2, 1e-4]) + 7
    whitening = Whitening.fitted(descriptors, parts.train)
    before = whitening(descriptors)
    cast = nn.Sequential(whitening).to(torch.bfloat16)
    assert torch.equal(cast(descriptors), before)
    assert cast(descriptors.bfloat16()).dtype == torch.bfloat16


def test_axes_that_no_row_varied_on_are_left_out() -> None:
    """Fewer rows than dimensions: a new descriptor lies outside their span, and stays of its own size."""
    rng = torch.Generator().manual_seed(0)
    descriptors = torch.randn(40, 64, generator=rng)
    whitening = Whitening.fitted(descriptors[:20], torch.arange(20))
    assert whitening(descriptors[20:]).abs().max() < 100
    same = Whitening.fitted(torch.ones(20, 64), torch.arange(20))
    assert torch.equal(same(descriptors), torch.zeros_like(descriptors))


def test_ridge_is_solved_at_once_and_leaves_out_what_is_unknown(descriptors: Tensor, parts: Parts) -> None:
    labels = signal(descriptors, 2, 1)
    labels[100:200] = float("nan")
    ridge = Recipe(optimizer="ridge", weight_decay=0.5, whiten=True)
    reader = train_heads(descriptors, [Task("a", labels, lambda: nn.Linear(DIM, 2), ridge)], parts, seed=0)["a"]
    rows = torch.cat([torch.arange(100), torch.arange(200, 700)])
    inputs = reader.inputs(descriptors[rows]).double()
    standard = ((labels[rows] - reader.output_mean) / reader.output_scale).double()
    # At the minimum of squared error plus penalty, the gradient is zero, and so is the mean error.
    weight, bias = reader.head.weight.detach().double().T, reader.head.bias.detach().double()
    errors = inputs @ weight + bias - standard
    assert errors.mean(0).abs().max() < 1e-5
    gradient = inputs.T @ errors / len(rows) + 0.5 * weight
    assert gradient.abs().max() < 1e-5
    assert reader(descriptors[800:]).shape == (100, 2)


def test_whitening_ahead_trains_the_same(descriptors: Tensor, parts: Parts) -> None:
    own = task("a", signal(descriptors, 2, 1))
    ahead, by_batch = (
        train_heads(descriptors, [own], parts, seed=0, ahead=ahead)["a"](descriptors[800:]) for ahead in (True, False)
    )
    torch.testing.assert_close(ahead, by_batch, atol=1e-4, rtol=1e-4)
