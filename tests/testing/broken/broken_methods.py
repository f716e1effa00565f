"""Broken methods."""

from __future__ import annotations

import gc
from dataclasses import replace

import torch
from breaking import breaks, good

from faceinv.contracts import Candidate, Inversion
from faceinv.testing.spy import SpyImage


@good("method")
class Descent:
    """A good method; the broken ones differ from it in one place."""

    steps_of = staticmethod(lambda task: task.steps)
    rate = 0.05

    def start(self, task):
        return task.start(task.descriptors)

    def encode(self, task, images):
        return task.encode(images)

    def __call__(self, task):
        prepared = task.objective.prepare(task.descriptors)
        with torch.no_grad():
            first = self.start(task)
            start = task.generator(first, task.space)
        latents = first.clone().requires_grad_()
        optimizer = torch.optim.Adam([latents], lr=self.rate)
        totals = []
        for _ in range(self.steps_of(task)):
            images = task.generator(latents, task.space)
            total, _values = task.objective(Candidate(latents, images, self.encode(task, images)), prepared)
            (latents.grad,) = torch.autograd.grad(total.sum(), latents)
            optimizer.step()
            totals.append(total.detach())
        with torch.no_grad():
            images = task.generator(latents, task.space)
        return Inversion(latents.detach(), images, start, {"total": torch.stack(totals)} if totals else {})


@breaks("method", "returns_reconstructions")
class HoldsItsGraph(Descent):
    def __call__(self, task):
        result = super().__call__(task)
        return replace(result, latents=result.latents.clone().requires_grad_() * 1)


@breaks("method", "never_sees_the_target_image")
class Peeks(Descent):
    """Searches memory for the target's image, and starts from what it finds."""

    def start(self, task):
        for found in gc.get_objects():
            if type(found) is SpyImage:
                (found * 1).mean()
        return super().start(task)


@breaks("method", "access_as_declared", access="scores")
class AsksForDescriptors(Descent):
    """Declares access to scores, but requests descriptors and their gradients."""


@breaks("method", "access_as_declared", access="scores")
class GoesAround(Descent):
    """Declares access to scores, but calls the network behind the meter."""

    def encode(self, task, images):
        return task.score.__self__._encode(images)


@breaks("method", "access_as_declared", access="everything")
class WantsEverything(Descent):
    pass


@breaks("method", "offline_as_declared", offline="none")
class StartsFromPairs(Descent):
    """Declares that it needs no preparation, but uses the regressor trained on pairs."""


@breaks("method", "offline_as_declared", offline="pairs")
class LearnsThroughTheEncoder(Descent):
    """Declares training on pairs, but trains through the encoder."""

    def prepare(self, training):
        training.encode(training.generator(training.latents[:2], training.space))


@breaks("method", "access_as_declared", access="scores", offline="white-box")
class KeepsItsTeacher(Descent):
    """Trains through the encoder as declared, but keeps it to get gradients for targets."""

    def prepare(self, training):
        self._encode = training.encode
        self._encode(training.generator(training.latents[:2], training.space))

    def encode(self, task, images):
        return self._encode(images)


@breaks("method", "respects_its_query_budget")
class IgnoresSteps(Descent):
    steps_of = staticmethod(lambda task: 25)


@breaks("method", "respects_its_query_budget")
class LooksTwice(Descent):
    """Makes one query more than its budget."""

    def __call__(self, task):
        result = super().__call__(task)
        task.score(torch.arange(len(task.descriptors)), latents=result.latents)
        return result


@breaks("method", "respects_its_query_budget")
class AsksUncounted(Descent):
    """Makes one more query to the network behind the meter."""

    def encode(self, task, images):
        task.score.__self__._encode(images.detach())
        return super().encode(task, images)


@breaks("method", "reports_a_trajectory")
class Silent(Descent):
    def __call__(self, task):
        return replace(super().__call__(task), trajectory={})


@breaks("method", "reports_a_trajectory")
class ReportsMoreThanItDid(Descent):
    def __call__(self, task):
        result = super().__call__(task)
        return replace(result, trajectory={"total": torch.zeros(task.steps + 1, len(task.descriptors))})


@breaks("method", "same_seed_same_result")
class GlobalNoise(Descent):
    def start(self, task):
        return super().start(task) + torch.randn(len(task.descriptors), 8)


@breaks("method", "batch_mates_do_not_matter")
class SharedMean(Descent):
    def start(self, task):
        first = super().start(task)
        return first * 0.2 + first.mean(0) * 2


@breaks("method", "better_than_its_start")
class Ascends(Descent):
    """Maximises the objective instead of minimising it."""

    def __call__(self, task):
        prepared = task.objective.prepare(task.descriptors)
        latents = task.start(task.descriptors)
        start = task.generator(latents, task.space)
        totals = []
        for _ in range(task.steps):
            latents = latents.detach().requires_grad_()
            images = task.generator(latents, task.space)
            total, _values = task.objective(Candidate(latents, images, task.encode(images)), prepared)
            (slope,) = torch.autograd.grad(total.sum(), latents)
            latents = latents + 0.2 * slope.sign()
            totals.append(total.detach())
        with torch.no_grad():
            images = task.generator(latents, task.space)
        series = {"total": torch.stack(totals)} if totals else {}
        return Inversion(latents.detach(), images, start.detach(), series)


@breaks("method", "leaves_the_task_alone")
class Scales(Descent):
    def start(self, task):
        task.descriptors.mul_(1.01)
        return super().start(task)


@breaks("method", "preset_options_are_taken", preset_options={"paper": {"learning_rate": 1.0}})
class TakesNoOption(Descent):
    pass
