"""Networks of timm, built from the config.json of a repository without running anything in it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from faceinv.errors import UsageError, WeightsError, described, shown, suggest
from faceinv.weights.formats.state_dict import load_strictly, read_tensors

#: What timm takes from a description of weights to build a network, as opposed to where to find them.
_DESCRIBING = ("input_size", "fixed_input_size", "num_classes", "pool_size", "first_conv", "classifier")
#: Arguments of timm that would read files, or return another kind of network.
_REFUSED = (
    "pretrained",
    "checkpoint",
    "cache_dir",
    "features_only",
    "feature_cfg",
    "out_indices",
    "pruned",
    "scriptable",
)
#: Largest number, and most values, among the arguments of a network.
_LARGEST, _MOST = 1 << 14, 1000
#: Value of the fact ``output`` that takes what goes into a classifier.
FEATURES = "features"


def timm() -> Any:
    """Return the library.

    Raises:
        UsageError: if it is not installed.
    """
    try:
        return importlib.import_module("timm")
    except ImportError:
        raise UsageError("Models of timm need timm: pip install 'faceinv[image]'") from None


class TimmModel:
    """A network that a config.json describes.

    Args:
        config: The config.json.

    Raises:
        WeightsError: if timm has no such architecture, or an argument is not allowed.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.architecture = str(config.get("architecture"))
        if not timm().is_model(self.architecture):
            near = suggest(self.architecture, timm().list_models())
            raise WeightsError(f"its config.json names '{shown(self.architecture)}', which timm does not have.{near}")
        # Old files have no part of their own for this.
        described = config.get("pretrained_cfg", config)
        described = described if isinstance(described, dict) else {}
        self._describing = {key: described[key] for key in _DESCRIBING if described.get(key) is not None}
        if isinstance(config.get("num_classes"), int):
            self._describing["num_classes"] = config["num_classes"]
        self._arguments = _checked(config.get("model_args") or {})
        _checked(self._describing)
        self.mean, self.std = described.get("mean"), described.get("std")

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of the images that it was trained on."""
        size = self._describing.get("input_size")
        return (size[1], size[2]) if isinstance(size, list) and len(size) == 3 and size[0] == 3 else None

    def build(self) -> nn.Module:
        """Return the network with random weights.

        Raises:
            WeightsError: if timm cannot build it.
        """
        entry = timm().models.model_entrypoint(self.architecture)
        description = {**self._describing, "architecture": self.architecture}
        try:
            made: nn.Module = entry(pretrained=False, pretrained_cfg=description, **self._arguments)
        except Exception as error:  # whatever a network's own code raises for arguments that it cannot have
            raise WeightsError(f"timm cannot build '{self.architecture}' as described: {described(error)}") from None
        return made.eval()

    def dim(self, size: tuple[int, int], output: str) -> int:
        """Return the length of a descriptor; nothing is computed and no memory is taken.

        Raises:
            WeightsError: if the network does not return one vector for each image of this size.
        """
        with torch.device("meta"):
            network = Timm(self.build(), output)
            try:
                with torch.no_grad():
                    made = network(torch.empty(2, 3, *size))
            except Exception as error:  # code of the network
                raise WeightsError(f"it does not take images of {size[1]}x{size[0]}: {described(error)}") from None
        if not isinstance(made, Tensor) or made.ndim != 2 or len(made) != 2:
            raise WeightsError("it returns no vector for each image")
        return made.shape[1]

    def load(self, path: Path, output: str) -> nn.Module:
        """Return the network with the weights in a file; memory is taken only if they fit.

        Raises:
            WeightsError: if the file cannot be read or does not hold the network's tensors.
        """
        tensors = read_tensors(path)
        with torch.device("meta"):
            load_strictly(self.build(), tensors, network=self.architecture)
        network = self.build()
        load_strictly(network, tensors, network=self.architecture)
        return Timm(network, output)


class Timm(nn.Module):
    """A network of timm that returns descriptors.

    Args:
        network: The network.
        output: ``"features"`` for the features that go into its last layer, empty for what it returns.
    """

    def __init__(self, network: nn.Module, output: str) -> None:
        super().__init__()
        if output not in ("", FEATURES):
            raise UsageError(f"A model of timm has the outputs '{FEATURES}' and '' only, got '{shown(output)}'.")
        self.network: Any = network
        self._features = output == FEATURES

    def forward(self, images: Tensor) -> Tensor:
        """Return the descriptors of images."""
        if self._features:
            return self.network.forward_head(self.network.forward_features(images), pre_logits=True)  # type: ignore[no-any-return]
        return self.network(images)  # type: ignore[no-any-return]


def _checked(arguments: Any) -> dict[str, Any]:
    """Return the arguments of a network if they are plain values of possible sizes."""
    if not isinstance(arguments, dict):
        raise WeightsError("its config.json has no mapping as model_args")
    if bad := next((key for key in arguments if key.startswith(_REFUSED)), None):
        raise WeightsError(f"its config.json sets '{shown(bad)}', which is not allowed")
    left = list(arguments.items())
    seen = 0
    while left:
        key, value = left.pop()
        seen += 1
        if isinstance(value, (list, dict)):
            left += [(key, item) for item in (value.values() if isinstance(value, dict) else value)]
        elif (isinstance(value, (int, float)) and not abs(value) <= _LARGEST) or seen > _MOST:
            raise WeightsError(f"its config.json has an impossible value for '{shown(key)}'")
    # timm leaves out what is null.
    return {key: value for key, value in arguments.items() if value is not None}
