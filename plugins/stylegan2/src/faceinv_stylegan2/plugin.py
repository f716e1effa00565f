"""The plugin's declarations."""

from __future__ import annotations

from faceinv import hookimpl
from faceinv.contracts import GeneratorSpec, WeightSpec
from faceinv_stylegan2.ffhq import framing

_CITATION = (
    "Karras et al.: Analyzing and Improving the Image Quality of StyleGAN, CVPR 2020; "
    "weights: Karras et al.: Training Generative Adversarial Networks with Limited Data, NeurIPS 2020"
)
_WEIGHTS_LICENCE = (
    "Nvidia Source Code License: research or evaluation only, for the weights and anything derived from them; "
    "photographs of FFHQ: CC BY-NC-SA 4.0 and the photographers' own licences"
)
_PUBLISHER = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained"
_CONVERTER = "faceinv_stylegan2.files:convert"


@hookimpl
def faceinv_generators() -> list[GeneratorSpec]:
    def generator(resolution: int, *, default: bool) -> GeneratorSpec:
        return GeneratorSpec(
            name=f"stylegan2.ffhq-{resolution}",
            summary=f"StyleGAN2 trained on FFHQ, {resolution}x{resolution}; reads NVIDIA's .pkl and rosinality's .pt",
            target="faceinv_stylegan2.generator:build",
            licence="MIT",
            weights_licence=_WEIGHTS_LICENCE,
            citation=_CITATION,
            weights=(f"stylegan2.ffhq-{resolution}/pkl",),
            default=default,
            framing=framing(resolution),
            # w is the default: the paper and its successors optimise in it.
            spaces=("w", "w+", "z"),
        )

    return [generator(1024, default=True), generator(256, default=False)]


@hookimpl
def faceinv_weights() -> list[WeightSpec]:
    return [
        WeightSpec(
            name="stylegan2.ffhq-1024/pkl",
            filename="ffhq.pkl",
            sha256="a205a346e86a9ddaae702e118097d014b7b8bd719491396a162cca438f2f524c",
            sources=(f"{_PUBLISHER}/ffhq.pkl",),
            licence=_WEIGHTS_LICENCE,
            size=381_624_121,
            origin="NVIDIA, stylegan2-ada-pytorch; FFHQ, 70,000 photographs",
            converter=_CONVERTER,
        ),
        WeightSpec(
            name="stylegan2.ffhq-256/pkl",
            filename="ffhq-res256-mirror-paper256-noaug.pkl",
            sha256="",  # NVIDIA publishes no hash, and no independent copy is known to confirm one.
            sources=(f"{_PUBLISHER}/transfer-learning-source-nets/ffhq-res256-mirror-paper256-noaug.pkl",),
            licence=_WEIGHTS_LICENCE,
            origin="NVIDIA, stylegan2-ada-pytorch; FFHQ and its mirror images at 256x256",
            converter=_CONVERTER,
        ),
    ]
