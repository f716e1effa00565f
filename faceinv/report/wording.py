"""Names and numbers as text, the same on terminal, page and in exports."""

from __future__ import annotations

import math

from faceinv.scoring.statistics import Estimate
from faceinv.storage.columns import base_column, baseline
from faceinv.storage.records import FinishedCell
from faceinv.storage.schema import Interval, MetricSummary

#: Decimals shown, by metric; three by default. Records keep all digits.
_DECIMALS = {"mse": 4, "mse_paper": 2, "psnr": 2, "landmark_error": 2, "histogram_emd": 2}

_NAMES = {
    "mse": "MSE",
    "mse_paper": "MSE on the paper's scale",
    "psnr": "PSNR",
    "ssim": "SSIM",
    "lpips": "LPIPS",
    "landmark_error": "Landmark error",
    "histogram_emd": "Histogram EMD",
    "id_sim_attacked": "Cosine by the attacked encoder",
    "id_sim_critic": "Cosine by the critic",
}

#: Short definitions for readers who do not know the metric.
EXPLANATIONS = {
    "mse": "mean squared difference of the pixels, which lie between 0 and 1",
    "mse_paper": "10 × the squared error of pixels between −1 and 1, the scale that the numbers of the paper imply",
    "psnr": "peak signal-to-noise ratio: the same on a logarithmic scale",
    "ssim": "structural similarity",
    "lpips": "distance in features of a network, calibrated to human judgements of similarity",
    "landmark_error": "mean distance of 68 landmarks in % of the distance of the outer eye corners, "
    "seen by a network that no loss uses",
    "histogram_emd": "Earth Mover's distance of the colour histograms",
    "id_sim_attacked": "what the attack optimises: a high value alone proves overfitting, not identity",
    "id_sim_critic": "identity, judged by an encoder that the attack never saw",
}

_MINOR_NAMES = {
    "floor": "… to strangers",
    "other": "… to another photograph of the person",
    "ceiling": "… of the expected image (linear estimate)",
}


def is_minor(metric: str) -> bool:
    """Return whether a metric is only the baseline of another one."""
    return bool(baseline(metric))


def metric_name(metric: str, summary: MetricSummary | None = None) -> str:
    """Return the name of a metric for readers, with the encoder named by ``summary``."""
    if is_minor(metric):
        return _MINOR_NAMES[baseline(metric)]
    base, _, network = metric.partition(":")
    encoder = (summary.encoder if summary else "") or network
    if base in _NAMES:
        return _NAMES[base].replace(" by the ", f" by {encoder}, the ") if encoder else _NAMES[base]
    words = metric.replace("_", " ")
    return words[:1].upper() + words[1:]


def unit(summary: MetricSummary) -> str:
    """Return the unit of a metric, or empty for a pure number."""
    given = summary.unit
    return "" if given in ("1", "cosine") or given.startswith("10 ×") else given


def arrow(summary: MetricSummary) -> str:
    """Return the direction in which a metric is better."""
    return "↑" if summary.higher_is_better else "↓"


def digits(metric: str) -> int:
    """Return the number of decimals shown for a metric."""
    return _DECIMALS.get(base_column(metric), 3)


def number(value: float | None, decimals: int, sign: bool = False) -> str:
    """Return ``value`` as text, with a true minus sign, or a dash if there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:{'+' if sign else ''}.{decimals}f}"
    return text.replace("-", "−")


def percent(share: float | None) -> str:
    """Return a share of 0 to 1 in per cent with three digits, however small; a dash if there is none."""
    if share is None:
        return "–"
    return f"{100 * share:.3g} %" if share == 0 or share >= 1e-5 else "< 0.001 %"


def interval(value: Estimate | Interval, decimals: int, sign: bool = False) -> str:
    """Return ``[low, high]``, or empty if there is no interval."""
    low, high = value.low, value.high
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"[{number(low, decimals, sign)}, {number(high, decimals, sign)}]"


def of_targets(record: FinishedCell) -> str:
    """Return the number and the kind of the targets."""
    n = record.n
    if record.real is None:
        return f"{n} descriptor{'s' if n != 1 else ''}"
    if record.real:
        return f"{n} photograph{'s' if n != 1 else ''}"
    return f"{n} sample{'s' if n != 1 else ''} of the generator"
