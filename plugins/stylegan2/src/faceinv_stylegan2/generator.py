"""StyleGAN2 as a faceinv generator."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from faceinv.contracts import Generator
from faceinv.errors import ShapeError, UsageError, unknown_name
from faceinv_stylegan2.architecture import Architecture, describe
from faceinv_stylegan2.ffhq import framing
from faceinv_stylegan2.files import load
from faceinv_stylegan2.network import MappingNetwork, SynthesisNetwork
from faceinv_stylegan2.statistics import mean_w

SPACES = ("w", "w+", "z")


class StyleGAN2(Generator):
    """A frozen StyleGAN2 generator with the latent spaces ``z``, ``w`` and ``w+`` (a w for each layer).

    Attributes:
        framing: FFHQ's framing at the generator's resolution.
        architecture: The generator's sizes.
        w_mean: Mean of w over the prior of z, ``(w,)``.
        w_centre: Centre of truncation: the file's running mean if it has one, otherwise :attr:`w_mean`.

    Args:
        tensors: Tensors by the names of ``architecture.py``, float32.
        truncation: ψ: every w that enters a layer becomes ``centre + ψ (w − centre)`` (Karras et al. 2019, appendix
            B), in every latent space; 1 changes nothing. Samples are not truncated.
        truncation_cutoff: Number of rows of w+, from the coarsest, to truncate; ``None`` for all.
        noise: ``"const"`` for the noise in the file, ``"none"``, or a seed (0 or more) for noise drawn once and used
            for every image. By default the noise in the file; if it has none (rosinality's early checkpoints have
            only its strengths), that of seed 0.
        checkpoint_activations: In a backward pass, recompute activations image by image instead of keeping them:
            slower, but a batch takes little more memory than one image.

    Raises:
        WeightsError: if the tensors are not those of a StyleGAN2.
        UsageError: if an option is out of range.
        StorageError: if the cache folder, which keeps the mean of w, cannot be written to.
    """

    w_mean: Tensor
    w_centre: Tensor

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        *,
        truncation: float = 1.0,
        truncation_cutoff: int | None = None,
        noise: str | int | None = None,
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        self.architecture = describe({name: tuple(tensor.shape) for name, tensor in tensors.items()})
        self.framing = framing(self.architecture.resolution)
        if not math.isfinite(truncation):
            raise UsageError(f"truncation must be a finite number, got {truncation}; 1 changes nothing.")
        rows = self.architecture.rows
        if truncation_cutoff is not None and not 0 <= truncation_cutoff <= rows:
            raise UsageError(f"truncation_cutoff must be 0 to {rows}, got {truncation_cutoff}.")
        self.truncation = truncation
        self.truncation_cutoff = truncation_cutoff
        self.mapping = MappingNetwork(tensors, self.architecture.layers)
        self.synthesis = SynthesisNetwork(
            tensors,
            self.architecture,
            _noise_maps(tensors, self.architecture, noise),
            checkpoint_activations=checkpoint_activations,
        )
        self.register_buffer("w_mean", mean_w(tensors, self.architecture.layers).float())
        self.register_buffer("w_centre", tensors.get("mapping.w_avg", self.w_mean))
        self.eval().requires_grad_(False)

    def latent_shape(self, space: str) -> tuple[int, ...]:
        """Return ``(z,)``, ``(w,)`` or ``(rows, w)``.

        Raises:
            UnknownNameError: if there is no such space.
        """
        sizes = self.architecture
        shapes = {"z": (sizes.z_dim,), "w": (sizes.w_dim,), "w+": (sizes.rows, sizes.w_dim)}
        if space not in shapes:
            raise unknown_name("latent space", space, SPACES)
        return shapes[space]

    @torch.no_grad()
    def sample(self, n: int, space: str, rng: torch.Generator) -> Tensor:
        """Draw ``n`` latents ``(n, *latent_shape)``: z standard normal, w and w+ mapped from such z.

        Raises:
            UnknownNameError: if there is no such space.
        """
        shape = self.latent_shape(space)
        z = torch.randn(n, self.architecture.z_dim, generator=rng, device=rng.device)
        if space == "z":
            return z
        w: Tensor = self.mapping(z.to(self.w_centre)).to(rng.device)
        return w[:, None].repeat(1, shape[0], 1) if space == "w+" else w

    def forward(self, latents: Tensor, space: str) -> Tensor:
        """Return images ``(B, 3, R, R)`` in ``[0, 1]`` for ``latents`` ``(B, *latent_shape)``.

        Raises:
            UnknownNameError: if there is no such space.
            ShapeError: if the latents have another shape or type.
        """
        image: Tensor = self.synthesis(self.rows(latents, space))
        return ((image + 1) / 2).clamp(0, 1)

    def rows(self, latents: Tensor, space: str) -> Tensor:
        """Return the truncated w of each layer, ``(B, rows, w)``, for ``latents`` ``(B, *latent_shape)``.

        Raises:
            UnknownNameError: if there is no such space.
            ShapeError: if the latents have another shape or type.
        """
        self._check(latents, space)
        if space == "z":
            latents = self.mapping(latents)
        rows = self.architecture.rows
        if space != "w+":
            latents = latents[:, None].expand(-1, rows, -1)
        cutoff = rows if self.truncation_cutoff is None else self.truncation_cutoff
        if self.truncation == 1 or cutoff == 0:
            return latents
        drawn = torch.lerp(self.w_centre, latents[:, :cutoff], self.truncation)
        return drawn if cutoff == rows else torch.cat([drawn, latents[:, cutoff:]], dim=1)

    def _check(self, latents: Tensor, space: str) -> None:
        shape = self.latent_shape(space)
        if tuple(latents.shape[1:]) != shape or latents.ndim != len(shape) + 1 or not latents.is_floating_point():
            expected = ", ".join(str(n) for n in shape)
            raise ShapeError(
                f"Latents of space {space} must be floating point (B, {expected}), "
                f"got {latents.dtype} {tuple(latents.shape)}."
            )


def build(
    *files: Path,
    truncation: float = 1.0,
    truncation_cutoff: int | None = None,
    noise: str | int | None = None,
    checkpoint_activations: bool = False,
) -> StyleGAN2:
    """Return the generator in a published or converted file; options as in :class:`StyleGAN2`.

    Raises:
        WeightsError: if the file is missing, damaged, or not a supported StyleGAN2.
        UsageError: if not exactly one file is given, or an option is out of range.
        StorageError: if the cache folder cannot be written to.
    """
    if len(files) != 1:
        raise UsageError(f"StyleGAN2 needs exactly one file, got {len(files)}.")
    return StyleGAN2(
        load(files[0]),
        truncation=truncation,
        truncation_cutoff=truncation_cutoff,
        noise=noise,
        checkpoint_activations=checkpoint_activations,
    )


def _noise_maps(
    tensors: Mapping[str, Tensor], architecture: Architecture, noise: str | int | None
) -> dict[str, Tensor]:
    """Return the noise ``(R, R)`` of each layer, times its strength."""
    if noise is None:
        noise = "const" if architecture.has_noise_maps else 0
    seed = int(noise) if str(noise).isdecimal() else None
    if seed is None and noise not in ("const", "none"):
        raise UsageError(f"noise must be 'const', 'none' or a seed (0 or more), got {noise!r}.")
    if noise == "none" or not architecture.has_noise:
        return {}
    if noise == "const" and not architecture.has_noise_maps:
        raise UsageError(
            "The StyleGAN2 file has no noise maps, so noise cannot be 'const'; give 'none', or a seed such as 0, the "
            "default for such files."
        )
    rng = None if seed is None else torch.Generator().manual_seed(seed)
    maps = {}
    for name in sorted(name.removesuffix(".noise_strength") for name in tensors if name.endswith(".noise_strength")):
        side = int(name.split(".")[1])
        fixed = tensors[f"{name}.noise"] if rng is None else torch.randn(side, side, generator=rng)
        maps[name] = fixed * tensors[f"{name}.noise_strength"]
    return maps
