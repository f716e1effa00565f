"""The toy encoder as a service: it takes pixels, gives descriptors, and has no gradients."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from faceinv import hookimpl
from faceinv.contracts import EncoderSpec
from faceinv.testing.toy import FRAMING
from faceinv.testing.toy_networks import ToyEncoder


@hookimpl
def faceinv_encoders() -> list[EncoderSpec]:
    return [
        EncoderSpec(
            name="remote",
            summary="A black box",
            target="remote_encoder:Remote",
            licence="MIT",
            dim=12,
            framing=FRAMING,
            black_box=True,
        )
    ]


class Remote(nn.Module):
    """The toy encoder behind an interface that takes arrays."""

    def __init__(self) -> None:
        super().__init__()
        self.network = ToyEncoder(seed=1)

    def forward(self, images: Tensor) -> Tensor:
        # .numpy() raises if a gradient is required.
        sent = torch.from_numpy(images.numpy().copy())
        with torch.no_grad():
            descriptors: Tensor = self.network(sent)
        return descriptors
