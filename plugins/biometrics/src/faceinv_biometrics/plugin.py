"""Declarations of this plugin."""

from __future__ import annotations

from faceinv import hookimpl
from faceinv.contracts import MetricSpec


@hookimpl
def faceinv_metrics() -> list[MetricSpec]:
    return [
        MetricSpec(
            name="success",
            summary="Share accepted as the person at fixed false match rates, types I and II",
            target="faceinv_biometrics.success:AttackSuccess",
            licence="MIT",
            citation="Mai, Cao, Yuen, Jain: On the reconstruction of face images from deep face templates, "
            "IEEE TPAMI 2019; thresholds as in ISO/IEC 19795-1",
            unit="share",
            higher_is_better=True,
            bounds=(0.0, 1.0),
            protocol=True,
        ),
        MetricSpec(
            name="identification",
            summary="Rank of the person in a gallery with one photograph of each person",
            target="faceinv_biometrics.identification:Identification",
            licence="MIT",
            citation="Grother, Ngan, Hanaoka: Face recognition vendor test, part 2: identification, NISTIR 8271",
            unit="share",
            higher_is_better=True,
            bounds=(0.0, 1.0),
            protocol=True,
        ),
    ]
