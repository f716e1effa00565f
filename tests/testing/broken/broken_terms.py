"""Broken probes and losses."""

from __future__ import annotations

import torch
from breaking import breaks, good
from torch import nn

from faceinv.contracts import Loss
from faceinv.testing.toy_networks import BrightnessProbe

good("probe")(BrightnessProbe)


@breaks("probe", "labels_as_declared")
class AnotherShape(BrightnessProbe):
    shape = (4,)


@breaks("probe", "running_touches_no_global_state")
class NoisyLabels(BrightnessProbe):
    def label(self, images):
        return super().label(images) + 0.01 * torch.randn(len(images), 3)


@breaks("probe", "error_is_a_distance")
class SignedError(BrightnessProbe):
    def error(self, predicted, truth):
        return (predicted - truth).mean(1)


@breaks("probe", "measurable_as_declared")
class CutOff(BrightnessProbe):
    def measure(self, images):
        return super().measure(images).detach()


@breaks("probe", "measure_agrees_with_label")
class AnotherUnit(BrightnessProbe):
    def label(self, images):
        return super().measure(images)

    def measure(self, images):
        return 255 * super().measure(images)


@breaks("probe", "beats_always_guessing")
class Noise(BrightnessProbe):
    def label(self, images):
        # A hash of the pixels, which says nothing about the face.
        scaled = images.flatten(1).sum(1, keepdim=True) * torch.tensor([1e4, 3e4, 7e4])
        return torch.sin(scaled)


@breaks("probe", "constrain_keeps_what_is_valid")
class Squashes(BrightnessProbe):
    def constrain(self, raw):
        return torch.sigmoid(raw)


@breaks("probe", "paper_head_fits")
class AnotherHead(BrightnessProbe):
    def paper_head(self, dim):
        return nn.Linear(dim, 7)


@good("loss")
class Distance(Loss):
    """A good loss; the broken ones differ from it in one place."""

    def __init__(self, context) -> None:
        self.seen = []

    def prepare(self, descriptors):
        return descriptors

    def __call__(self, candidate, prepared):
        return (candidate.descriptors - prepared).square().sum(1)


@breaks("loss", "one_number_per_candidate")
class Reduced(Distance):
    def __call__(self, candidate, prepared):
        return super().__call__(candidate, prepared).mean()


@breaks("loss", "bounded_below")
class DotProduct(Distance):
    def __call__(self, candidate, prepared):
        return -(candidate.descriptors * prepared).sum(1)


@breaks("loss", "least_at_the_target")
class Repels(Distance):
    def __call__(self, candidate, prepared):
        return torch.exp(-super().__call__(candidate, prepared))


@breaks("loss", "gradient_is_right")
class HalfDetached(Distance):
    def __call__(self, candidate, prepared):
        residual = candidate.descriptors - prepared
        return (residual * residual.detach()).sum(1)


@breaks("loss", "prepare_is_pure")
class Remembers(Distance):
    def prepare(self, descriptors):
        self.seen.append(descriptors)
        return self.seen[0][: len(descriptors)] + len(self.seen)
