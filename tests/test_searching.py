"""What methods that search share."""

from __future__ import annotations

import torch
from torch import Tensor

from faceinv.attack import Best, Convergence, keep_rows


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
        optimizer = torch.optim.Adam([latents], lr=0.1)
        for step in range(12):
            if leaves and step == 5:
                latents = keep_rows(optimizer, torch.tensor([0, 2]))
            (latents.grad,) = torch.autograd.grad((latents**2).sum(), latents)
            optimizer.step()
        return latents.detach()

    first = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(descend(first, leaves=True), descend(first[[0, 2]], leaves=False))


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
