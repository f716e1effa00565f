"""The conditional mean against what is known of a generator whose images are linear in what the encoder sees."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from faceinv.attack.ceiling import ConditionalMean, ImageSums, reduced
from faceinv.contracts import Generator
from faceinv.probes import Whitening


class Linear(Generator):
    """Images of ``side`` pixels: grey, plus a fixed pattern for each of six latents."""

    def __init__(self, side: int) -> None:
        super().__init__()
        coarse = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 0.03
        self.patterns = torch.nn.functional.interpolate(coarse, side, mode="bilinear", align_corners=False)

    def latent_shape(self, space: str) -> tuple[int, ...]:
        return (6,)

    def sample(self, n: int, space: str, rng: torch.Generator) -> Tensor:
        return torch.randn(n, 6, generator=rng)

    def forward(self, latents: Tensor, space: str) -> Tensor:
        return 0.5 + torch.einsum("nk,kchw->nchw", latents, self.patterns)


def learnt(generator: Linear, descriptors: Tensor, latents: Tensor, side: int) -> ConditionalMean:
    whitening = Whitening.fitted(descriptors, torch.arange(len(descriptors)))
    sums = ImageSums(descriptors.shape[1], (side, side))
    for part in torch.split(torch.arange(len(latents)), 500):
        sums.add(descriptors[part], generator(latents[part], "z"))
    return ConditionalMean(whitening, sums.coefficients(descriptors, whitening), (side, side))


@pytest.mark.parametrize("side", [32, 128])
def test_what_the_descriptor_holds_is_expected_and_the_rest_stays_at_its_mean(side: int) -> None:
    generator, rng = Linear(side), torch.Generator().manual_seed(2)
    latents = generator.sample(20000, "z", rng)
    # The encoder sees three of the six, one of them a thousand times fainter.
    descriptors = latents[:, :3] * torch.tensor([1.0, 1.0, 1e-3])
    mean = learnt(generator, descriptors, latents, side)
    fresh = generator.sample(64, "z", rng)
    known = fresh.clone()
    known[:, 3:] = 0
    made = mean(fresh[:, :3] * torch.tensor([1.0, 1.0, 1e-3]))
    assert made.shape == (64, 3, side, side)
    # The ridge holds an eighth back, and what is left is small compared with the patterns.
    blind = (generator(known, "z") - 0.5).square().mean()
    assert float((made - generator(known, "z")).square().mean()) < 0.03 * float(blind)


def test_no_guess_that_is_linear_in_the_descriptor_comes_nearer() -> None:
    generator, rng = Linear(16), torch.Generator().manual_seed(3)
    latents = generator.sample(8192, "z", rng)
    descriptors = latents @ torch.randn(6, 4, generator=rng)
    mean = learnt(generator, descriptors, latents, 16)
    fresh = generator.sample(500, "z", rng)
    images = generator(fresh, "z").clamp(0, 1)
    truth = descriptors.pinverse() @ generator(latents, "z").flatten(1).sub(0.5)
    weights = torch.linalg.lstsq(latents, descriptors).solution
    least = (0.5 + (fresh @ weights) @ truth).view_as(images)
    reached, best = ((made - images).square().mean() for made in (mean(fresh @ weights), least))
    assert float(reached) < 1.05 * float(best)


def test_large_images_are_learnt_small() -> None:
    assert reduced((1024, 512)) == (32, 32)
    assert reduced((24, 32)) == (24, 32)
