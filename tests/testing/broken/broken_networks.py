"""Broken encoders and generators."""

from __future__ import annotations

import contextlib
import socket
import threading
import warnings

import torch
from breaking import breaks, good
from torch import nn

from faceinv.contracts import check_images
from faceinv.testing.toy_networks import ToyEncoder, ToyGenerator

good("encoder")(ToyEncoder)
good("generator")(ToyGenerator)


@breaks("encoder", "declaration", licence=" ")
class NoLicence(ToyEncoder):
    pass


@breaks("encoder", "building_uses_no_network")
class Phones(ToyEncoder):
    def __init__(self) -> None:
        super().__init__()
        with contextlib.suppress(OSError):  # like a library that reports usage
            socket.create_connection(("example.invalid", 80), timeout=0.1)


@breaks("encoder", "building_touches_no_global_state")
class Unseeded(ToyEncoder):
    def __init__(self) -> None:
        super().__init__()
        self.second = nn.Parameter(torch.randn(24, 12))


@breaks("encoder", "is_a_module")
def function():
    return ToyEncoder().forward


@breaks("encoder", "batch_of_one_equals_a_slice", "range_is_not_guessed")
class BatchStatistics(ToyEncoder):
    def forward(self, images):
        return super().forward((images - images.mean()) / images.std())


@breaks("encoder", "order_of_the_batch_does_not_matter")
class FirstIsSpecial(ToyEncoder):
    def forward(self, images):
        made = super().forward(images)
        return made * torch.linspace(1, 2, len(made), dtype=made.dtype, device=made.device)[:, None]


@breaks("encoder", "same_input_gives_the_same_output")
class Dropout(ToyEncoder):
    def forward(self, images):
        rng = torch.Generator().manual_seed(torch.seed() % 1000)
        return super().forward(images) * (torch.rand(12, generator=rng) > 0.5)


@breaks("encoder", "running_touches_no_global_state")
class SetsThreads(ToyEncoder):
    def forward(self, images):
        torch.rand(1)
        torch.set_grad_enabled(True)
        return super().forward(images)


@breaks("encoder", "input_is_left_alone")
class InPlace(ToyEncoder):
    def forward(self, images):
        check_images(images, (16, 16))
        return super().forward(images.mul_(0.5))


@breaks("encoder", "stays_frozen")
class Counts(ToyEncoder):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, images):
        self.seen += len(images)
        return super().forward(images)


@breaks("encoder", "state_dict_round_trip")
class CachesItsWeights(ToyEncoder):
    def __init__(self) -> None:
        super().__init__()
        self.folded = self.first.detach().clone(), self.second.detach().clone()

    def forward(self, images):
        check_images(images, (16, 16))
        pooled = nn.functional.avg_pool2d(images - 0.5, 2).flatten(1)
        return torch.tanh(pooled @ self.folded[0]) @ self.folded[1]


@breaks("encoder", "moves_between_devices")
class LooseConstant(ToyEncoder):
    def __init__(self) -> None:
        super().__init__()
        self.mean = torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1)

    def forward(self, images):
        check_images(images, (16, 16))
        return super().forward(images - self.mean)


@breaks("encoder", "moves_between_dtypes")
class AlwaysFloat32(ToyEncoder):
    def forward(self, images):
        check_images(images, (16, 16))
        return super().forward(images.to(self.first.dtype)).float()


@breaks("encoder", "pickles")
class HoldsALock(ToyEncoder):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def __deepcopy__(self, memo):
        return type(self)()


@breaks("encoder", "size_and_dimension", dim=13)
class AnotherDimension(ToyEncoder):
    pass


@breaks("encoder", "finite_on_any_image")
class DividesByContrast(ToyEncoder):
    def forward(self, images):
        check_images(images, (16, 16))
        centred = images - images.mean((1, 2, 3), keepdim=True)
        return super().forward(centred / centred.std((1, 2, 3), keepdim=True))


@breaks("encoder", "length_as_declared", unit_length=True)
class NotNormalised(ToyEncoder):
    pass


@breaks("encoder", "gradient_reaches_the_images")
class Detached(ToyEncoder):
    def forward(self, images):
        return super().forward(images.detach())


@breaks("encoder", "red_and_blue_differ")
class Grey(ToyEncoder):
    def forward(self, images):
        check_images(images, (16, 16))
        return super().forward(images.mean(1, keepdim=True).expand(-1, 3, -1, -1))


@breaks("encoder", "tells_faces_apart")
class Constant(ToyEncoder):
    def forward(self, images):
        return super().forward(images) * 0 + self.second[0]


@breaks("encoder", "wrong_images_are_refused")
class TakesAnything(ToyEncoder):
    def forward(self, images):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return images.float().reshape(len(images), -1)[:, :12]


@breaks("generator", "is_a_generator")
class OnlyAModule(nn.Module):
    pass


@breaks("generator", "images_in_range")
class MinusOneToOne(ToyGenerator):
    def forward(self, latents, space):
        return super().forward(latents, space) * 2 - 1


@breaks("generator", "spaces_as_declared", spaces=("z", "w+"))
class UndeclaredSpaces(ToyGenerator):
    def latent_shape(self, space):
        return (4, 6) if space == "w+" else (6,)

    def sample(self, n, space, rng):
        return torch.randn(n, 6, generator=rng)


@breaks("generator", "samples_follow_their_seed")
class GlobalRandomness(ToyGenerator):
    def sample(self, n, space, rng):
        return torch.randn(n, *self.latent_shape(space))


@breaks("generator", "gradient_reaches_every_latent")
class Saturates(ToyGenerator):
    def forward(self, latents, space):
        return super().forward(latents, space).round()


@breaks("generator", "latents_matter")
class OneImage(ToyGenerator):
    def forward(self, latents, space):
        return super().forward(latents * 0, space)


@breaks("generator", "wrong_latents_are_refused")
class TakesAnySpace(ToyGenerator):
    def latent_shape(self, space):
        return (6,)
