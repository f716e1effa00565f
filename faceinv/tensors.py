"""Loading tensors into a network strictly: whatever does not fit is named, nothing is guessed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from torch import Tensor, nn

from faceinv.errors import WeightsError


class TensorsError(WeightsError):
    """A weights file whose tensors are not those of the network.

    Args:
        message: One line for the user.
        shapes: Shape of every tensor in the file, by name, to recognise whose it is.
    """

    def __init__(self, message: str, shapes: Mapping[str, tuple[int, ...]]) -> None:
        super().__init__(message)
        self.shapes = dict(shapes)


def load_strictly(
    module: nn.Module, tensors: Mapping[str, Tensor], *, ignore: Iterable[str] = (), network: str
) -> None:
    """Fill ``module`` with ``tensors`` in place; it may live on the ``meta`` device.

    Every parameter and persistent buffer must be there in its shape, and nothing else. Only
    ``num_batches_tracked``, which counts training steps, may be missing.

    Args:
        module: The network to fill.
        tensors: Name to tensor, under the names of ``module.state_dict()``.
        ignore: Shell-style patterns of tensors that the file may hold and the network does not use.
        network: Its name, for the message.

    Raises:
        TensorsError: tensors are missing, unexpected or wrongly shaped; the first five are named.
    """
    wanted = module.state_dict()
    given = {name: tensor for name, tensor in tensors.items() if name in wanted}
    patterns = tuple(ignore)
    missing = [name for name in wanted if name not in tensors and not name.endswith("num_batches_tracked")]
    unexpected = [
        name
        for name in tensors
        if name not in wanted
        and not name.endswith("num_batches_tracked")
        and not any(fnmatchcase(name, pattern) for pattern in patterns)
    ]
    misshapen = [
        f"{name} {tuple(tensor.shape)} instead of {tuple(wanted[name].shape)}"
        for name, tensor in given.items()
        if tensor.shape != wanted[name].shape
    ]
    problems = [
        f"{len(names)} {what}: {', '.join(names[:5])}{', …' if len(names) > 5 else ''}"
        for what, names in (("missing", missing), ("wrongly shaped", misshapen), ("unexpected", unexpected))
        if names
    ]
    if problems:
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        raise TensorsError(f"The tensors are not those of '{network}': {'; '.join(problems)}.", shapes)
    for name, tensor in wanted.items():
        if name not in given:  # num_batches_tracked: evaluation never reads it
            given[name] = tensor.new_zeros(tensor.shape, device="cpu")
        elif given[name].dtype != tensor.dtype:
            given[name] = given[name].to(tensor.dtype)
    module.load_state_dict(given, strict=True, assign=any(t.is_meta for t in wanted.values()))
