"""The methods that this plugin declares: those that ID2image is compared with, and this project's own."""

from __future__ import annotations

from faceinv import hookimpl
from faceinv.contracts import MethodSpec


@hookimpl
def faceinv_methods() -> list[MethodSpec]:
    return [
        MethodSpec(
            name="pixel",
            summary="Gradient descent on pixels with α-norm, total variation and jitter; no generator",
            target="faceinv_methods.pixel:Pixel",
            licence="MIT",
            citation="Mahendran, Vedaldi: Understanding deep image representations by inverting them, CVPR 2015",
            access="white-box",
            offline="none",
            limits="The attacked encoder accepts the result at once, others only partly and after thousands of steps; "
            "it does not look like a face.",
        ),
        MethodSpec(
            name="blobs",
            summary="Random Gaussian blobs, kept if they raise the similarity; no generator",
            target="faceinv_methods.blobs:Blobs",
            licence="MIT",
            citation="Razzhigaev et al.: Black-box face recovery from identity features, ECCV workshops 2020",
            access="scores",
            offline="none",
            limits="Its paper uses 300,000 queries; a few thousand give only a faint outline of a face.",
        ),
        MethodSpec(
            name="cma",
            summary="CMA-ES on the latent, starting from the regressor's",
            target="faceinv_methods.evolution:Evolution",
            licence="MIT",
            citation="Hansen, Ostermeier: Completely derandomized self-adaptation in evolution strategies, 2001; "
            "Ros, Hansen: sep-CMA-ES, PPSN 2008",
            access="scores",
            offline="pairs",
            limits="Learns only a diagonal covariance from 64 dimensions on; improves slowly in w+.",
        ),
        MethodSpec(
            name="zeroth",
            summary="Adam in the latent space, on a gradient estimated from scores",
            target="faceinv_methods.zeroth:Zeroth",
            licence="MIT",
            citation="Zhang et al.: MAP2V, CVPR 2024; Nesterov, Spokoiny: Random gradient-free minimization, 2017",
            access="scores",
            offline="pairs",
            limits="A step samples few directions: its cosine to the true gradient is √(directions / dimensions).",
        ),
        MethodSpec(
            name="multi-start",
            summary="Scored samples, the best of them optimised under augmentation and re-selected by their views",
            target="faceinv_methods.multi_start:MultiStart",
            licence="MIT",
            citation="Struppek et al.: Plug & Play Attacks, ICML 2022",
            access="white-box",
            offline="none",
            limits="Starts from samples unrelated to the descriptor: a small budget is spent before it comes close.",
        ),
        MethodSpec(
            name="mapping",
            summary="A network from descriptors to latents, trained through the frozen generator and encoder",
            target="faceinv_methods.mapping:Mapping",
            licence="MIT",
            citation="Genova et al.: Unsupervised training for 3D morphable model regression, CVPR 2018; "
            "Otroshi Shahreza, Marcel: template inversion by a mapping into a face generator, TPAMI 2023",
            access="scores",
            offline="white-box",
            limits="One answer per descriptor, close to the mean of all fitting latents, whatever the losses.",
            optimises=False,
        ),
        MethodSpec(
            name="faceinv",
            summary="Adam through changing views, with all principal axes of the descriptor weighing the same",
            target="faceinv_methods.whitened_views:FaceInv",
            licence="MIT",
            citation="this project",
            access="white-box",
            offline="pairs",
            limits="Relies on low-variance axes of the descriptor, which quantisation, or steps in bf16, round away.",
        ),
        MethodSpec(
            name="faceinv-scores",
            summary="CMA-ES on the latent, starting where gradients through a copy learnt from pairs lead",
            target="faceinv_methods.surrogate:Surrogate",
            licence="MIT",
            citation="this project; Ros, Hansen: sep-CMA-ES, PPSN 2008",
            access="scores",
            offline="pairs",
            limits="The copy's latents are less typical than the regressor's: closer in identity, farther in pixels.",
        ),
    ]
