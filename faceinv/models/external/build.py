"""From the declaration of a user's encoder to its network."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from faceinv.errors import WeightsError, shown
from faceinv.models.external.facts import Facts
from faceinv.models.external.prepared import Prepared
from faceinv.models.external.timm_model import TimmModel
from faceinv.models.onnx.call import UnsupportedError
from faceinv.models.onnx.network import OnnxNetwork, onnx_network

#: Modules of users in memory, by the hash of their content.
MODULES: dict[str, nn.Module] = {}

#: A network that was translated to find out what it is, to be built from once.
_ready: dict[tuple[str, str], OnnxNetwork] = {}


def translated(path: Path, facts: Facts) -> OnnxNetwork:
    """Return the network of an ONNX file; :func:`from_onnx` takes it instead of translating again."""
    network = onnx_network(path, size=facts.size, output=facts.output)
    _ready[str(path.absolute()), repr(facts.plain())] = network
    return network


def from_onnx(path: Path, *_: Path, facts: Mapping[str, Any]) -> Prepared:
    """Return the encoder of an ONNX file: translated to PyTorch, or run by ONNX Runtime as a black box."""
    known = Facts(**facts)
    network = _ready.pop((str(path.absolute()), repr(known.plain())), None)
    try:
        return Prepared(network or onnx_network(path, size=known.size, output=known.output), known)
    except UnsupportedError:
        from faceinv.models.external.runtime import OnnxRuntime

        return Prepared(OnnxRuntime(path, known), known)


def from_memory(*, key: str, facts: Mapping[str, Any]) -> Prepared:
    """Return the encoder of a module in memory."""
    return Prepared(MODULES[key], Facts(**facts))


def from_program(path: Path, *, scheme: str, facts: Mapping[str, Any]) -> Prepared:
    """Return the encoder of an exported or TorchScript program, which the user trusts."""
    known = Facts(**facts)
    return Prepared(load_program(path, scheme, known.frame().size), known)


def from_repository(path: Path, *, config: Mapping[str, Any], facts: Mapping[str, Any]) -> Prepared:
    """Return the encoder of a timm model from the Hugging Face Hub."""
    known = Facts(**facts)
    return Prepared(TimmModel(config).load(path, known.output), known)


def from_command(*, words: Sequence[str], facts: Mapping[str, Any], asking: Mapping[str, Any]) -> Prepared:
    """Return the encoder of a program that is run for each batch."""
    from faceinv.models.external.services import Command

    known = Facts(**facts, **asking)
    return Prepared(Command(words, known), known)


def from_service(*, address: str, facts: Mapping[str, Any], asking: Mapping[str, Any]) -> Prepared:
    """Return the encoder of a service that is asked over HTTP."""
    from faceinv.models.external.services import Service

    known = Facts(**facts, **asking)
    return Prepared(Service(address, known), known)


def load_program(path: Path, scheme: str, size: tuple[int, int]) -> nn.Module:
    """Return the module of a program; its code runs.

    Raises:
        WeightsError: if it cannot be loaded, or does not take RGB images of this size.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's advice is for the author of the program
            if scheme == "torch":
                module = Program(torch.export.load(path).module())
            else:
                module = Program(torch.jit.load(path, map_location="cpu").eval())
    except Exception as error:  # whatever the loader and the code in the file raise
        raise WeightsError(f"{path} cannot be loaded as a program: {shown(error)}") from None
    images = torch.full((2, 3, *size), 0.5)
    for runner in (module, Singly(module)):
        try:
            with torch.no_grad():
                made = runner(images)
        except Exception as error:  # code of the file
            reason = shown(error)
            continue
        if isinstance(made, Tensor) and made.ndim == 2 and len(made) == 2:
            return runner
        reason = "it returns no tensor (B, dim)"
    raise WeightsError(f"{path} does not embed RGB images of {size[1]}x{size[0]} pixels: {reason}.")


class Program(nn.Module):
    """A loaded program, which stays in the mode in which it was saved.

    Args:
        program: What it was loaded as.
    """

    def __init__(self, program: nn.Module) -> None:
        super().__init__()
        self.program = program

    def train(self, mode: bool = True) -> Program:
        """Change nothing: an exported program has no modes."""
        self.training = mode
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Return the descriptors of images."""
        found: Tensor = self.program(images)
        return found


class Singly(nn.Module):
    """A network that takes one image at a time."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return the descriptors of images one by one."""
        return torch.cat([self.network(image[None]) for image in images])
