"""What methods that search share."""

from __future__ import annotations

import subprocess
import sys

import torch
from torch import Tensor

from faceinv.attack import Adam, Best, Convergence


def test_who_stops_improving_leaves_by_its_own_values_alone() -> None:
    going = Convergence(3, patience=7, tolerance=0.01, like=torch.zeros(0))
    best, left = torch.tensor([1.0, 1.0, 1.0]), {}
    for step in range(60):
        # The first goes on falling, the second falls too little to count, the third stops at its 20th step.
        best = best * torch.tensor([0.99 - 1e-3, 0.9999, 0.9 if step < 20 else 1.0])
        stay = going.step(best)
        if stay is not None:
            left[step] = (stay.tolist(), going.rows.tolist())
    # Looked at every five steps: the steps 10 and 30 are the first after which seven brought nothing.
    assert left == {9: ([0, 2], [0, 2]), 29: ([0], [0])}


def test_small_steps_that_add_up_are_progress() -> None:
    going = Convergence(1, patience=10, tolerance=0.01, like=torch.zeros(0))
    for step in range(200):
        assert going.step(torch.tensor([0.998**step])) is None


def test_without_patience_nobody_leaves() -> None:
    going = Convergence(2, patience=0, tolerance=0.01, like=torch.zeros(0))
    assert all(going.step(torch.ones(2)) is None for _ in range(100))


def test_an_optimiser_goes_on_with_the_rows_that_stay_as_if_they_had_been_alone() -> None:
    def descend(first: Tensor, leaves: bool) -> Tensor:
        latents = first.clone().requires_grad_()
        optimizer = Adam(latents, 0.1)
        for step in range(12):
            if leaves and step == 5:
                latents = optimizer.keep(torch.tensor([0, 2]))
            (gradient,) = torch.autograd.grad((latents**2).sum(), latents)
            optimizer.step(gradient)
        return latents.detach()

    first = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(descend(first, leaves=True), descend(first[[0, 2]], leaves=False))


def test_adam_is_pytorchs_bit_by_bit() -> None:
    first, gradients = torch.randn(13, 3, 4, 5, generator=torch.Generator().manual_seed(0)).split([1, 12])
    own, theirs = first[0].clone(), first[0].clone().requires_grad_()
    ours, reference = Adam(own, 0.05), torch.optim.Adam([theirs], lr=0.05)
    for gradient in gradients:
        theirs.grad = gradient.clone()
        ours.step(gradient)
        reference.step()
        assert torch.equal(own, theirs)


def test_a_run_with_adam_waits_neither_for_the_compiler_nor_for_scipys_statistics() -> None:
    code = (
        "import sys, torch, faceinv.bench.runner; from faceinv.attack import Adam; "
        "Adam(torch.zeros(1), 0.1).step(torch.ones(1)); "
        "sys.exit(not {'torch._dynamo', 'scipy.stats'}.isdisjoint(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_best_of_some_targets_leaves_the_others_as_they_were() -> None:
    best = Best.none(torch.zeros(3, 2))
    best.offer(torch.ones(3, 1, 2), torch.tensor([3.0, 2.0, 1.0]), {"id": torch.tensor([3.0, 2.0, 1.0])})
    better = best.offer(
        torch.full((2, 1, 2), 2.0), torch.tensor([1.0, 5.0]), {"id": torch.tensor([1.0, 5.0])}, torch.tensor([0, 2])
    )
    assert better.tolist() == [True, False, False]
    assert best.total.tolist() == [1.0, 2.0, 1.0]
    assert best.candidate[:, 0].tolist() == [2.0, 1.0, 1.0]
    assert best.trajectory()["id"].tolist() == [[3.0, 2.0, 1.0], [1.0, 2.0, 1.0]]
