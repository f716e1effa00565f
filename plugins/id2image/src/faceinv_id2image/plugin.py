"""The losses, methods and metrics that this plugin declares: ID2image's, and a whitened identity loss."""

from __future__ import annotations

from faceinv import hookimpl
from faceinv.contracts import LossSpec, MethodSpec, MetricSpec

_PAPER = "Li, Smith, Huber: ID2image, SCIA 2023"


@hookimpl
def faceinv_losses() -> list[LossSpec]:
    return [
        LossSpec(
            name="id",
            summary="Squared distance to the target descriptor (equation 1)",
            target="faceinv_id2image.losses:IdLoss",
            licence="MIT",
            citation=f"{_PAPER}, equation 1",
            preset_weights={"paper": 1.0, "balanced": 1.0},
        ),
        LossSpec(
            name="id-whitened",
            summary="Cosine distance to the target descriptor after whitening: all principal axes weigh the same",
            target="faceinv_id2image.losses:WhitenedIdLoss",
            licence="MIT",
            citation="this project",
        ),
    ]


@hookimpl
def faceinv_methods() -> list[MethodSpec]:
    return [
        MethodSpec(
            name="regression",
            summary="The latent that a regressor reads from the descriptor; no optimisation",
            target="faceinv_id2image.methods:Regression",
            licence="MIT",
            citation=f"{_PAPER}, section 4.1",
            access="scores",
            offline="pairs",
            limits="As close to the descriptor as the pairs allow: it recovers a tenth of a latent's variance.",
            optimises=False,
        ),
        MethodSpec(
            name="latent-adam",
            summary="Adam on the objective, starting from the regressor's latent",
            target="faceinv_id2image.methods:LatentAdam",
            licence="MIT",
            citation=f"{_PAPER}, sections 4.1 and 4.2; in w+: Abdal, Qin, Wonka: Image2StyleGAN, ICCV 2019",
            access="white-box",
            offline="pairs",
            limits="One start, one path: it may as well end in an image that only fools the attacked encoder.",
            preset_options={"paper": {"learning_rate": 0.001, "patience": 0}},
        ),
    ]


@hookimpl
def faceinv_metrics() -> list[MetricSpec]:
    return [
        MetricSpec(
            name=f"id_sim_{role}",
            summary=f"Cosine of target and reconstruction on the {what}",
            target="faceinv_id2image.metrics:IdSimilarity",
            licence="MIT",
            citation=f"{_PAPER}, section 4.4 and Fig. 9",
            options={"role": role},
            unit="cosine",
            higher_is_better=True,
            bounds=(-1.0, 1.0),
            encoder=role,
            floor=True,
        )
        for role, what in (("attacked", "attacked encoder"), ("critic", "critic, which the attack never sees"))
    ]
