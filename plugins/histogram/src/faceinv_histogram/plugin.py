"""The probe, the losses and the metric that this plugin declares."""

from __future__ import annotations

from faceinv import hookimpl
from faceinv.contracts import LossSpec, MetricSpec, ProbeSpec

_PAPER = "Li, Smith, Huber: ID2image, SCIA 2023, sections 3.2 and 4.2"

#: The paper's weight (section 4.2), and one that balances the other losses.
_WEIGHTS = {"paper": 0.01, "balanced": 0.1}
#: Under ``"paper"`` histograms are in per cent of the pixels; as shares, their loss hardly acts with that weight.
_UNITS = {"paper": 100.0}


@hookimpl
def faceinv_probes() -> list[ProbeSpec]:
    return [
        ProbeSpec(
            name="histogram",
            summary="Histograms of red, green and blue, 10 bins each",
            target="faceinv_histogram.probe:HistogramProbe",
            licence="MIT",
            citation=_PAPER,
            measurable=True,
            unit="bins",
            whole_frame=True,
            metric="histogram_emd",
            exact=True,
        )
    ]


@hookimpl
def faceinv_losses() -> list[LossSpec]:
    return [
        LossSpec(
            name="hist",
            summary="Distance to the histograms read from the descriptor (soft histogram, equation 3)",
            target="faceinv.attack.objective:AttributeLoss",
            licence="MIT",
            citation=_PAPER,
            probe="histogram",
            preset_weights=_WEIGHTS,
            options={"units": _UNITS},
        ),
        LossSpec(
            name="hist-kornia",
            summary="The same with kornia.enhance.histogram (one Gaussian kernel per bin)",
            target="faceinv.attack.objective:AttributeLoss",
            licence="MIT (kornia: Apache-2.0)",
            citation="Riba et al.: Kornia, WACV 2020",
            probe="histogram",
            preset_weights=_WEIGHTS,
            options={"measure": "faceinv_histogram.kornia_measure:histogram", "units": _UNITS},
        ),
    ]


@hookimpl
def faceinv_metrics() -> list[MetricSpec]:
    return [
        MetricSpec(
            name="histogram_emd",
            summary="Earth Mover's distance of the 10-bin histograms, summed over red, green and blue",
            target="faceinv_histogram.metric:HistogramEMD",
            licence="MIT",
            citation=_PAPER,
            unit="bins",
            higher_is_better=False,
            bounds=(0.0, 27.0),
        )
    ]
