"""Views shift, zoom and mirror as asked, and are differentiable."""

from __future__ import annotations

import torch
from faceinv_methods.views import view
from hypothesis import given, strategies as st
from torch import Tensor


def images(seed: int = 0) -> Tensor:
    return torch.rand(2, 3, 12, 16, generator=torch.Generator().manual_seed(seed))


def test_a_view_without_change_is_the_image() -> None:
    torch.testing.assert_close(view(images(), torch.zeros(2, 3), 0.1, 0.1), images(), atol=1e-5, rtol=0)


def test_a_negative_fourth_number_mirrors() -> None:
    seen = view(images(), torch.tensor([[0.0, 0, 0, 0.5], [0, 0, 0, -0.5]]), 0.1, 0.1)
    torch.testing.assert_close(seen[0], images()[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(seen[1], images()[1].flip(2), atol=1e-5, rtol=0)


@given(right=st.integers(-3, 3), down=st.integers(-3, 3))
def test_whole_pixels_move_by_whole_pixels(right: int, down: int) -> None:
    """With the whole frame as the largest shift, shares of the frame are whole pixels here."""
    seen = view(images(), torch.tensor([[right / 16, down / 12, 0.0]]).expand(2, -1), 1.0, 0.0)
    # The pixel from (x + right, y + down) is now at (x, y); the border is replicated beyond the frame.
    rows = (torch.arange(12) + down).clamp(0, 11)
    columns = (torch.arange(16) + right).clamp(0, 15)
    torch.testing.assert_close(seen, images()[:, :, rows][:, :, :, columns], atol=1e-4, rtol=0)


def test_zooming_in_shows_the_middle() -> None:
    ramp = torch.linspace(0, 1, 16).expand(1, 3, 12, 16)
    near, far = (view(ramp, torch.tensor([[0.0, 0.0, how]]), 0.0, 0.5) for how in (-1.0, 0.0))
    assert float(near.std()) < 0.7 * float(far.std())


def test_gradients_reach_the_image() -> None:
    leaf = images().requires_grad_()
    view(leaf, torch.full((2, 4), 0.3), 0.05, 0.05).sum().backward()
    assert leaf.grad is not None
    assert float(leaf.grad.abs().sum()) > 0
