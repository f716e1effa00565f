"""What this plugin declares: the methods that the paper's is compared with, and this project's own."""

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
            limits="What it makes is accepted by the attacked encoder at once, by others in part and after thousands "
            "of steps, and looks like no face.",
        ),
        MethodSpec(
            name="blobs",
            summary="Random Gaussian blobs, kept where they raise the similarity; no generator",
            target="faceinv_methods.blobs:Blobs",
            licence="MIT",
            citation="Razzhigaev et al.: Black-box face recovery from identity features, ECCV workshops 2020",
            access="scores",
            offline="none",
            limits="Its paper takes 300,000 queries; with thousands there is a shadow of a face.",
        ),
        MethodSpec(
            name="cma",
            summary="CMA-ES on the latent, from the regressor's",
            target="faceinv_methods.evolution:Evolution",
            licence="MIT",
            citation="Hansen, Ostermeier: Completely derandomized self-adaptation in evolution strategies, 2001; "
            "Ros, Hansen: sep-CMA-ES, PPSN 2008",
            access="scores",
            offline="pairs",
            limits="Learns a diagonal covariance where there are 64 dimensions or more; improves slowly in w+.",
        ),
        MethodSpec(
            name="zeroth",
            summary="Adam on a gradient estimated from scores, in the latent space",
            target="faceinv_methods.zeroth:Zeroth",
            licence="MIT",
            citation="Zhang et al.: MAP2V, CVPR 2024; Nesterov, Spokoiny: Random gradient-free minimization, 2017",
            access="scores",
            offline="pairs",
            limits="A step sees few directions: the cosine to the gradient is √(directions / dimensions).",
        ),
        MethodSpec(
            name="multi-start",
            summary="Samples scored, the best optimised under augmentation, re-selected by their views",
            target="faceinv_methods.multi_start:MultiStart",
            licence="MIT",
            citation="Struppek et al.: Plug & Play Attacks, ICML 2022",
            access="white-box",
            offline="none",
            limits="Starts from samples that know nothing of the descriptor: a small budget is gone before it is near.",
        ),
        MethodSpec(
            name="mapping",
            summary="A network from descriptor to latent, trained through the frozen generator and encoder",
            target="faceinv_methods.mapping:Mapping",
            licence="MIT",
            citation="Genova et al.: Unsupervised training for 3D morphable model regression, CVPR 2018; "
            "Otroshi Shahreza, Marcel: template inversion by a mapping into a face generator, TPAMI 2023",
            access="scores",
            offline="white-box",
            limits="One answer a descriptor, near the mean of all that would fit, whatever the losses.",
            optimises=False,
        ),
        MethodSpec(
            name="faceinv",
            summary="Adam through changing views, with every axis of the descriptor counting",
            target="faceinv_methods.whitened_views:FaceInv",
            licence="MIT",
            citation="this project",
            access="white-box",
            offline="pairs",
            limits="Lives on faint axes of the descriptor, which few bits, or steps in bf16, round away.",
        ),
        MethodSpec(
            name="faceinv-scores",
            summary="CMA-ES on the latent, from where gradients through a copy learnt from pairs lead",
            target="faceinv_methods.surrogate:Surrogate",
            licence="MIT",
            citation="this project; Ros, Hansen: sep-CMA-ES, PPSN 2008",
            access="scores",
            offline="pairs",
            limits="The copy's latents are less typical than the regressor's: nearer in identity, further in pixels.",
        ),
    ]
