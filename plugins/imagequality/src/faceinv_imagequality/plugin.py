"""What this plugin declares."""

from __future__ import annotations

from faceinv import hookimpl
from faceinv.specs import MetricSpec, WeightSpec

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
            name="psnr",
            summary="Peak signal-to-noise ratio, for each image",
            target="faceinv_imagequality.pixels:PeakSignalToNoise",
            licence="MIT",
            citation=_PAPER,
            unit="dB",
            higher_is_better=True,
            bounds=(0.0, 100.0),
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
            licence="BSD-2-Clause (the package lpips)",
            weights_licence="BSD-3-Clause (torchvision); trained on ImageNet",
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
            filename="alexnet-owt-7be5be79.pth",
            sha256="7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
            sources=("https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",),
            size=244_408_911,
            licence="BSD-3-Clause (torchvision); trained on ImageNet",
            origin="torchvision's AlexNet, the backbone of LPIPS",
        )
    ]
