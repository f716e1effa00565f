"""From an ONNX graph to a frozen, differentiable PyTorch module."""

from __future__ import annotations

import copy
import itertools
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from faceinv.errors import WeightsError, shown
from faceinv.models.folding import fold_norm
from faceinv.models.onnx.call import Bound, Call, Function, UnsupportedError
from faceinv.models.onnx.operators import LAYERS, NARY, UNARY, checked, constant, known, reason
from faceinv.weights.formats.onnx import OnnxGraph, OnnxNode, OnnxValue, read_onnx

#: Most numbers in one activation of one image; the largest of usual networks have a few million.
_MOST_NUMBERS = 1 << 27
#: Constants may take this many times the bytes of what is stored, as int4 weights do in 32 bits, and a little more.
_GROWTH, _SPARE = 16, 1 << 24


@dataclass(frozen=True)
class _Step:
    """A layer, the names of the values that it takes, and those that it makes."""

    layer: nn.Module
    takes: tuple[str, ...]
    makes: tuple[str, ...]


class OnnxNetwork(nn.Module):
    """A network of an ONNX file: images ``(B, 3, H, W)`` as the network wants them to vectors ``(B, dim)``.

    Args:
        steps: Its layers in order.
        entry: Name of the value that holds the images.
        result: Name of the value to return.
        size: Height and width of the images.
        dim: Length of a vector.
        channels_last: Whether the graph takes ``(B, H, W, 3)``.
    """

    def __init__(
        self, steps: list[_Step], entry: str, result: str, size: tuple[int, int], dim: int, channels_last: bool
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(step.layer for step in steps)
        self.size, self.dim = size, dim
        self._entry, self._result, self._channels_last = entry, result, channels_last
        last = {name: place for place, step in enumerate(steps) for name in step.takes}
        # What is not taken again is dropped, so that its memory can be used.
        self._plan = [
            (step.takes, step.makes, tuple(n for n in dict.fromkeys(step.takes) if last[n] == place and n != result))
            for place, step in enumerate(steps)
        ]

    def forward(self, images: Tensor) -> Tensor:
        """Return vectors ``(B, dim)`` of images ``(B, 3, H, W)``."""
        entered = images.permute(0, 2, 3, 1) if self._channels_last else images
        values = {self._entry: entered.contiguous(memory_format=torch.channels_last)}
        for layer, (takes, makes, done) in zip(self.layers, self._plan, strict=True):
            made = layer(*(values[name] for name in takes))
            values.update(zip(makes, made if isinstance(made, tuple) else (made,), strict=False))
            for name in done:
                del values[name]
        return values[self._result].reshape(len(images), self.dim)


def onnx_network(path: Path, *, size: tuple[int, int] | None = None, output: str = "") -> OnnxNetwork:
    """Return the network of an ONNX file, frozen; nothing in the file is executed.

    It takes images in the range, and with the order of colours, that the network was trained on. Any batch size is
    accepted, whatever the file says. Batch normalisation is folded into the convolution before it.

    Args:
        path: The file.
        size: Height and width of the images, for a file that leaves them open.
        output: Name of the output, for a file with several.

    Raises:
        UnsupportedError: if it has an operator that is not translated; :mod:`onnxruntime` may run it.
        WeightsError: if the file cannot be read, or its shapes do not fit together.
    """
    graph = read_onnx(path)
    try:
        return _translated(graph, path, size, output)
    except UnsupportedError as error:
        raise UnsupportedError(f"{path}: {str(error).rstrip('.')}: this is not translated to PyTorch.") from None
    except WeightsError as error:
        raise WeightsError(f"{path}: {str(error).rstrip('.')}.") from None
    except (RuntimeError, IndexError, TypeError, ValueError, OverflowError) as error:
        raise WeightsError(f"{path}: its operations do not fit together: {shown(error)}.") from None


def entry_of(graph: OnnxGraph, size: tuple[int, int] | None = None) -> tuple[OnnxValue, tuple[int, int], bool]:
    """Return the input for images, their height and width, and whether channels come last.

    Raises:
        WeightsError: if the graph does not take one batch of RGB images, or leaves their size open.
    """
    if len(graph.inputs) != 1:
        names = ", ".join(item.name for item in graph.inputs[:5]) or "none"
        raise WeightsError(f"it must take one input, the images; it takes {len(graph.inputs)}: {shown(names)}")
    (entry,) = graph.inputs
    if len(entry.shape) != 4 or not entry.is_float:
        raise WeightsError(f"its input '{shown(entry.name)}' must be float images, not {_shape(entry)}")
    last = entry.shape[3] == 3 and entry.shape[1] != 3
    if not last and entry.shape[1] not in (3, None):
        raise WeightsError(f"its input '{shown(entry.name)}' must have 3 channels, not {_shape(entry)}")
    sides = entry.shape[1:3] if last else entry.shape[2:]
    height, width = (side or given for side, given in zip(sides, size or (None, None), strict=True))
    if height is None or width is None:
        raise WeightsError("it does not say how large its images are; give a framing")
    if size is not None and (height, width) != size:
        raise WeightsError(f"it takes images of {width}x{height} pixels, not {size[1]}x{size[0]}")
    return entry, (height, width), last


def result_of(graph: OnnxGraph, wanted: str = "") -> OnnxValue:
    """Return the output that is the descriptor: the one that is named, or the only one.

    Raises:
        WeightsError: if it cannot be told.
    """
    found = [item for item in graph.outputs if item.name == wanted or not wanted]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(f"{item.name} {_shape(item)}" for item in graph.outputs[:8]) or "none"
    problem = f"it has no output '{shown(wanted)}'" if wanted else f"it has {len(found)} outputs"
    raise WeightsError(f"{problem}; name the descriptor's as 'output' in a YAML file: {shown(listed, 400)}")


def _translated(graph: OnnxGraph, path: Path, size: tuple[int, int] | None, output: str) -> OnnxNetwork:
    entry, (height, width), last = entry_of(graph, size)
    result = result_of(graph, output)
    needed = _needed(graph, result.name)
    if unknown := [node.operator for node in needed if not known(node.operator)]:
        raise UnsupportedError(reason(unknown))
    translator = _Translator(graph, path.stat().st_size)
    batch = entry.shape[0] or 1
    shape = (batch, height, width, 3) if last else (batch, 3, height, width)
    if height * width > _MOST_NUMBERS // 3 or batch > 1024:
        raise WeightsError(f"it takes {batch} images of {width}x{height} pixels")
    translator.values[entry.name] = torch.empty(shape, device="meta")
    for node in needed:
        translator.add(node)
    made = translator.values.get(result.name)
    if made is None or not made.is_meta:
        raise WeightsError(f"its output '{shown(result.name)}' does not depend on the images")
    if (made.ndim > 2 and math.prod(made.shape[1:]) != max(made.shape[1:])) or made.numel() % batch:
        raise WeightsError(f"its output '{shown(result.name)}' is {tuple(made.shape)}, not one vector for each image")
    steps = _folded(translator.steps, result.name)
    network = OnnxNetwork(steps, entry.name, result.name, (height, width), made.numel() // batch, last)
    network.to(memory_format=torch.channels_last).eval().requires_grad_(False)
    _check_batches(network)
    return network


def _needed(graph: OnnxGraph, result: str) -> list[OnnxNode]:
    """Return the operations that the output depends on, in order."""
    wanted, needed = {result}, []
    for node in reversed(graph.nodes):
        if wanted.intersection(node.outputs):
            wanted.update(node.inputs)
            needed.append(node)
    return needed[::-1]


class _Translator:
    """Follows the graph once: constants are computed, and what depends on the images becomes steps.

    Args:
        graph: The graph.
        stored: Size of its file in bytes.
    """

    def __init__(self, graph: OnnxGraph, stored: int) -> None:
        self.values: dict[str, Tensor] = dict(graph.tensors)
        self.steps: list[_Step] = []
        self._opset = graph.opset
        self._left = stored * _GROWTH + _SPARE

    def add(self, node: OnnxNode) -> None:
        """Translate one operation."""
        values = tuple(self._value(name) for name in node.inputs)
        call = Call(node.operator, values, node.attributes, self._opset, sum(map(bool, node.outputs)))
        if node.operator == "Constant":
            self.values[node.outputs[0]] = constant(call)
            return
        checked(call)
        if node.operator == "Shape":
            self.values[node.outputs[0]] = torch.tensor(call.tensor().shape[call.get("start", 0) :])
            return
        layer = _layer(call)
        free = values if call.operator in NARY else values[:1]
        varying = [value is not None and value.is_meta for value in free]
        if not any(varying):
            self._compute(layer, [value for value in free if value is not None], node)
            return
        if not isinstance(layer, nn.Module):
            given = tuple(value for value in free if value is not None)
            layer = Bound(layer, tuple(None if value.is_meta else value for value in given))
        self._keep(_on_meta(layer, [value for value in free if value is not None and value.is_meta]), node)
        takes = tuple(name for name, moves in zip(node.inputs, varying, strict=False) if moves)
        self.steps.append(_Step(layer, takes, tuple(node.outputs)))

    def _value(self, name: str) -> Tensor | None:
        if name and name not in self.values:
            raise WeightsError(f"an operation takes '{shown(name)}', which nothing before it makes")
        return self.values[name] if name else None

    def _compute(self, layer: nn.Module | Function, given: list[Tensor], node: OnnxNode) -> None:
        """Compute an operation whose inputs are all constant."""
        planned = _on_meta(layer, [value.to("meta") for value in given])
        self._left -= sum(value.numel() * value.element_size() for value in planned)
        if self._left < 0:
            raise WeightsError("its constants need far more memory than the file has bytes")
        made = layer(*given)
        self._keep(made if isinstance(made, tuple) else (made,), node)

    def _keep(self, made: tuple[Tensor, ...], node: OnnxNode) -> None:
        if any(value.numel() > _MOST_NUMBERS or value.ndim > 8 for value in made):
            sizes = ", ".join(str(tuple(value.shape)) for value in made)
            raise WeightsError(f"{node.operator} makes an activation of {shown(sizes)}")
        if len(made) < sum(map(bool, node.outputs)):
            raise UnsupportedError(f"{node.operator} with {len(node.outputs)} outputs")
        self.values.update({name: value for name, value in zip(node.outputs, made, strict=False) if name})


def _layer(call: Call) -> nn.Module | Function:
    """Return the layer, or the function, that an operation becomes."""
    if call.operator in LAYERS:
        return LAYERS[call.operator](call).eval()
    return (NARY[call.operator] if call.operator in NARY else UNARY[call.operator])(call)


@torch.no_grad()
def _on_meta(layer: nn.Module | Function, given: list[Tensor]) -> tuple[Tensor, ...]:
    """Return what a layer makes of tensors without content: shapes are found, and no memory is taken."""
    if isinstance(layer, nn.Module):
        weights = itertools.chain(layer.parameters(), layer.buffers())
        layer = copy.deepcopy(layer, {id(value): value.to("meta") for value in weights})
    made = layer(*given)
    return made if isinstance(made, tuple) else (made,)


def _folded(steps: list[_Step], result: str) -> list[_Step]:
    """Return the steps, with each batch normalisation folded into the layer before it if nothing else needs that."""
    uses = Counter(name for step in steps for name in step.takes)
    makers: dict[str, int] = {}
    kept: list[_Step] = []
    for step in steps:
        place = makers.get(step.takes[0], -1)
        alone = place >= 0 and uses[step.takes[0]] == 1 and step.takes[0] != result
        if alone and isinstance(step.layer, (nn.BatchNorm1d, nn.BatchNorm2d)) and _fold(step.layer, kept[place].layer):
            kept[place] = _Step(kept[place].layer, kept[place].takes, step.makes)
        else:
            place = len(kept)
            kept.append(step)
        makers[step.makes[0]] = place
    return kept


def _fold(norm: nn.BatchNorm1d | nn.BatchNorm2d, layer: nn.Module) -> bool:
    """Fold a norm into the layer before it, and return whether that is possible."""
    last = layer[-1] if isinstance(layer, nn.Sequential) else layer
    if isinstance(last, nn.Conv2d):
        return fold_norm(last, norm) is last
    return isinstance(last, nn.Linear) and fold_norm(last, norm) is last


@torch.no_grad()
def _check_batches(network: OnnxNetwork) -> None:
    """Raise :class:`UnsupportedError` unless two images have the descriptors together that each has alone."""
    images = torch.rand(2, 3, *network.size, generator=torch.Generator().manual_seed(0))
    alone = torch.cat([network(images[:1]), network(images[1:])])
    try:
        together = network(images)
    except RuntimeError as error:
        raise UnsupportedError(f"images in one batch depend on each other ({shown(error)})") from None
    if not torch.allclose(together, alone, rtol=1e-3, atol=1e-4 * float(alone.abs().max()), equal_nan=True):
        raise UnsupportedError("images in one batch depend on each other")


def _shape(value: OnnxValue) -> str:
    kind = "" if value.is_float else " of another type than 32-bit floats"
    return "x".join("?" if side is None else str(side) for side in value.shape) + kind
