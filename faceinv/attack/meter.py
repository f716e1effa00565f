"""Metered access to the attacked encoder: restricted by the method's access, counted and limited per target."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from faceinv.contracts.methods import Candidate, Objective
from faceinv.contracts.networks import Generator
from faceinv.errors import PluginError


class Meter:
    """A method's view of the attacked encoder, for one batch of targets.

    Args:
        encode: Maps images in the generator's framing to descriptors.
        generator: The face prior.
        space: Latent space.
        objective: The objective.
        descriptors: The leaked descriptors ``(B, D)``.
        method: The method's name, for errors.
        access: ``"white-box"`` or ``"scores"``.
        budget: Number of images that may be passed to the encoder, per target.
        batch_size: Images at a time when scores are computed.
        on_images: Called with the number of images just passed to the encoder.
    """

    def __init__(
        self,
        encode: Callable[[Tensor], Tensor],
        generator: Generator,
        space: str,
        objective: Objective,
        descriptors: Tensor,
        *,
        method: str,
        access: str,
        budget: int,
        batch_size: int = 32,
        on_images: Callable[[int], None] | None = None,
    ) -> None:
        self._encode = encode
        self._generator = generator
        self._space = space
        self._objective = objective
        self._descriptors = descriptors
        self._method = method
        self._access = access
        self._budget = budget
        self._batch_size = batch_size
        self._on_images = on_images
        self._prepared: tuple[list[int], list[object]] | None = None
        self._asked: tuple[Tensor, int, Tensor] | None = None
        #: Images passed to the encoder per target ``(B,)``, and how many of them with gradients.
        self.queries = torch.zeros(len(descriptors), dtype=torch.long, device="cpu")
        self.image_steps = torch.zeros_like(self.queries)

    def encode(self, images: Tensor, of: Tensor | None = None) -> Tensor:
        """Return descriptors ``(N, D)`` with gradients; see :class:`faceinv.contracts.Encode`."""
        if self._access != "white-box":
            raise PluginError(
                f"The method '{self._method}' declares access='scores' but asks for descriptors (task.encode). "
                "Use task.score, or declare access='white-box'."
            )
        if of is None and len(images) != len(self._descriptors):
            raise PluginError(
                f"The method '{self._method}' passes {len(images)} images for {len(self._descriptors)} targets; "
                "give the target of each image in 'of'."
            )
        spent = self._spend(torch.arange(len(images), device="cpu") if of is None else of, len(images))
        self.image_steps += spent
        descriptors = self._encode(images)
        if descriptors.requires_grad:
            descriptors.register_hook(self._on_gradient(spent))
        return descriptors

    def _on_gradient(self, spent: Tensor) -> Callable[[Tensor], None]:
        """Return a hook that counts backward passes: the first belongs to the image-step, each further one counts.

        Args:
            spent: Number of images of each target behind the descriptors, ``(B,)``.
        """
        passes = 0

        def count(gradient: Tensor) -> None:
            nonlocal passes
            passes += 1
            if passes > 1:
                self._charge(spent)
                self.image_steps += spent

        return count

    @torch.no_grad()
    def score(
        self, of: Tensor, *, latents: Tensor | None = None, images: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the objective of candidates; see :class:`faceinv.contracts.Score`."""
        given = latents if images is None else images
        if given is None or len(given) != len(of) or (latents is not None and len(latents) != len(of)):
            raise PluginError(
                f"The method '{self._method}' asks for scores with {len(of)} rows in 'of'; pass as many latents, "
                "images or both."
            )
        self._spend(of, len(of))
        totals: list[Tensor] = []
        terms: dict[str, list[Tensor]] = {}
        for part, prepared in zip(self._parts(len(of)), self._preparations(of), strict=True):
            codes = None if latents is None else latents[part].detach()
            if images is not None:
                shown = images[part]
            else:
                assert codes is not None
                shown = self._generator(codes, self._space)
            # No gradients may flow here, backward or forward, whatever the method did to the generator.
            shown = shown.detach()
            with torch.no_grad():
                total, values = self._objective(Candidate(codes, shown, self._encode(shown)), prepared)
            totals.append(total)
            for name, value in values.items():
                terms.setdefault(name, []).append(value)
        return torch.cat(totals), {name: torch.cat(values) for name, values in terms.items()}

    def _spend(self, of: Tensor, images: int) -> Tensor:
        """Count ``images`` for the targets ``of``, and return the count per target ``(B,)``.

        Raises:
            PluginError: before anything is computed, if the budget is exceeded or ``of`` names no target.
        """
        rows = self._on_cpu(of)
        size = len(self._descriptors)
        if rows.shape != (images,) or (images and not 0 <= int(rows.min()) <= int(rows.max()) < size):
            raise PluginError(
                f"The method '{self._method}' names targets that do not exist: 'of' must hold one of the rows "
                f"0 to {size - 1} for each of {images} images."
            )
        spent = torch.bincount(rows, minlength=size)
        self._charge(spent)
        return spent

    def _charge(self, spent: Tensor) -> None:
        """Add to the count per target ``(B,)``.

        Raises:
            PluginError: if the budget is exceeded.
        """
        wanted = int((self.queries + spent).max())
        if wanted > self._budget:
            raise PluginError(
                f"The method '{self._method}' passes {wanted} images of a target to the encoder; its budget is "
                f"{self._budget} (--steps)."
            )
        self.queries += spent
        if self._on_images:
            self._on_images(int(spent.sum()))

    def _on_cpu(self, of: Tensor) -> Tensor:
        """Return ``of`` on the CPU. The last one is kept, so that reusing a tensor at every step synchronises once."""
        if of.is_inference():
            return of.to("cpu", torch.long)
        if self._asked is None or self._asked[0] is not of or self._asked[1] != of._version:
            self._asked = of, of._version, of.detach().to("cpu", torch.long)
        return self._asked[2]

    def _parts(self, n: int) -> list[slice]:
        return [slice(first, first + self._batch_size) for first in range(0, n, self._batch_size)]

    def _preparations(self, of: Tensor) -> list[object]:
        """Return the prepared targets of each part of ``of``; they are kept while the same targets are asked for."""
        rows = self._on_cpu(of).tolist()
        if self._prepared is None or self._prepared[0] != rows:
            targets = self._descriptors[of.to(self._descriptors.device)]
            self._prepared = rows, [self._objective.prepare(targets[part]) for part in self._parts(len(rows))]
        return self._prepared[1]
