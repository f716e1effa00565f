"""The declarations of this plugin."""

from __future__ import annotations

from faceinv import hookimpl
from faceinv.contracts import MetricSpec


@hookimpl
def faceinv_metrics() -> list[MetricSpec]:
    """Declare the metric, with unit, direction and bounds."""
    return [
        MetricSpec(
            name="my-template",
            summary="Mean absolute error of the pixels, on [0, 1]",
            target="my_template.metric:MyMetric",
            licence="LICENCE",
            unit="1",
            higher_is_better=False,
            bounds=(0.0, 1.0),
        )
    ]
