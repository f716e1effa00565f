"""Measure attributes on pictures with the probes of a loader, for overlays and Figure 7."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from faceinv.errors import FaceinvError
from faceinv.report.overlays import Measure, Measured

if TYPE_CHECKING:
    from faceinv.cli.application import Application
    from faceinv.models.loader import Loader

#: Pictures in memory at once.
_BATCH = 16


class Networks:
    """Networks that measure and embed the pictures of runs, with the weights in the cache; none are fetched.

    Args:
        app: The command's application.
        loader: Has the networks, if the command has built them already.
    """

    def __init__(self, app: Application, loader: Loader | None = None) -> None:
        self._app, self._loader = app, loader
        self.measure = measure_with(lambda: self.loader)

    @property
    def loader(self) -> Loader:
        """Builds the networks."""
        if self._loader is None:
            from faceinv.models.loader import Loader
            from faceinv.weights.store import WeightStore

            self._loader = Loader(self._app.host, WeightStore(self._app.host, offline=True))
        return self._loader

    def embed(self, files: Sequence[Path], generator: str, encoder: str) -> npt.NDArray[np.float32] | None:
        """Return the descriptors ``(N, D)`` of pictures in a generator's framing; ``None`` without the weights."""
        import torch

        from faceinv.data.images import read_image
        from faceinv.models.loader import FramedEncoder
        from faceinv.scoring.pairs import embed_all

        try:
            spec: Any = self.loader.host.spec("generator", generator)
            images = torch.stack([read_image(file) for file in files])
            framing = replace(spec.framing, size=tuple(images.shape[2:]))
            network = FramedEncoder(self.loader.encoder(encoder), framing).to(self.loader.device, self.loader.dtype)
        except (FaceinvError, RuntimeError):
            return None
        return embed_all(network, images, device=self.loader.device).numpy()


def stored_measure(app: Application, loader: Loader | None = None) -> Measure:
    """Return a function that measures pictures with the weights in the cache, without fetching any.

    Args:
        app: The command's application.
        loader: Has the networks, if the command has built them already.
    """
    return Networks(app, loader).measure


def measure_with(make_loader: Callable[[], Loader]) -> Measure:
    """Return a function that measures pictures with the plugins of a loader, which is built on first use."""
    made: list[Loader] = []

    def measure(files: Sequence[Path], generator: str, probes: Sequence[str]) -> Measured:
        import torch

        from faceinv.data.images import read_image

        if not made:
            made.append(make_loader())
        loader = made[0]
        parts: dict[str, list[npt.NDArray[np.float32]]] = {}
        missing: dict[str, str] = {}
        try:
            spec: Any = loader.host.spec("generator", generator)
        except FaceinvError as error:
            return Measured({}, dict.fromkeys(probes, str(error)))
        for first in range(0, len(files), _BATCH):
            try:
                images = torch.stack([read_image(file) for file in files[first : first + _BATCH]]).to(loader.device)
            except (FaceinvError, RuntimeError) as error:  # damaged, or of different sizes
                return Measured({}, dict.fromkeys(probes, str(error)))
            framing = replace(spec.framing, size=tuple(images.shape[2:]))
            for name in probes:
                if name in missing:
                    continue
                try:
                    with torch.inference_mode():
                        label = loader.probe(name, framing).label(images)
                    parts.setdefault(name, []).append(label.cpu().float().numpy())
                except FaceinvError as error:
                    missing[name] = str(error)
        values = {name: np.concatenate(found) for name, found in parts.items() if name not in missing}
        return Measured(values, missing)

    return measure
