"""Edited code never gets what its former self computed: neither in the caches nor in the records."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from faceinv.attack import preparation
from faceinv.attack.teaching import teach
from faceinv.audit.audit import Audit
from faceinv.audit.settings import AuditSettings
from faceinv.contracts import DatasetSpec, EncoderSpec, GeneratorSpec, MethodSpec, ProbeSpec
from faceinv.models import Loader
from faceinv.plugins import Host
from faceinv.plugins.registry import load_target
from faceinv.storage.audit_records import ProbeRecord
from faceinv.storage.probe_folder import ProbeFolder
from faceinv.storage.tensors import TensorCache
from faceinv.testing import toy
from faceinv.weights import WeightStore

#: One module for each kind of plugin. The tests replace FACTOR.
MODULES = {
    "encoder": """
from faceinv.testing.toy_networks import ToyEncoder
class Encoder(ToyEncoder):
    def forward(self, images):
        return FACTOR * super().forward(images)
""",
    "generator": """
from faceinv.testing.toy_networks import ToyGenerator
class Generator(ToyGenerator):
    def forward(self, latents, space):
        return super().forward(FACTOR * latents, space)
""",
    "probe": """
from faceinv.testing.toy_networks import BrightnessProbe
class Probe(BrightnessProbe):
    def measure(self, images):
        return FACTOR * super().measure(images)
""",
    "method": """
import torch
from faceinv.contracts import LearningMethod
class Method(LearningMethod):
    def prepare(self, training):
        self.learnt = training.cached({}, lambda: {"factor": torch.tensor(FACTOR)})
    def __call__(self, task):
        raise NotImplementedError
""",
    "dataset": """
import torch
from faceinv.contracts import Dataset
from faceinv.testing.toy import FRAMING
class Images(Dataset):
    framing = FRAMING
    ids = tuple(f"image-{k}" for k in range(300))
    def load(self, index):
        image = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(index))
        return (FACTOR * image * (index % 7 + 1) / 7).clamp(0, 1)
""",
}


class Workplace:
    """Plugin files that can be edited, and a cache that stays."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.cache = folder, folder / "cache"

    def write(self, kind: str, factor: float) -> None:
        (self.folder / f"edited_{kind}.py").write_text(f"FACTOR = {factor}\n{MODULES[kind]}")
        # As a new process would.
        sys.modules.pop(f"edited_{kind}", None)
        importlib.invalidate_caches()

    def loader(self) -> Loader:
        host = Host()
        host.register(toy, "toy", "toy 0")
        common = {"summary": "s", "licence": "MIT"}
        encoder = next(spec for spec in toy.faceinv_encoders() if spec.name == "toy.attacked")
        for spec in (
            EncoderSpec(name="e", target="edited_encoder:Encoder", dim=12, framing=encoder.framing, **common),
            GeneratorSpec(
                name="g", target="edited_generator:Generator", framing=encoder.framing, spaces=("z", "w"), **common
            ),
            ProbeSpec(name="p", target="edited_probe:Probe", measurable=True, unit="grey levels", **common),
        ):
            host.declare(spec, "edited 0")
        return Loader(host, WeightStore(host))

    def attack(self) -> dict[str, Tensor]:
        """Return one tensor of everything that is trained for an attack."""
        made = preparation.Preparation(
            self.loader(), "e", "g", "z", pairs=200, preset="tuned", cache=TensorCache(self.cache), probes=["p"]
        )
        spec = MethodSpec(name="m", summary="s", target="edited_method:Method", licence="MIT", offline="pairs")
        method = load_target(spec)()
        teach(method, spec, made)
        return {
            "pairs": made.pairs.descriptors,
            "labels": made.labels("p"),
            "reader": made.read("p", made.pairs.descriptors[:4]),
            "regressor": made.regressor(["p"])(made.pairs.descriptors[:4]),
            "whitening": made.whitening.matrix,
            "mean": made.conditional_mean(made.pairs.descriptors[:4]),
            "method": method.learnt["factor"],
        }

    def audit(self, limit: int | None = None) -> ProbeRecord:
        """Return the record of an audit."""
        spec = DatasetSpec(name="d", summary="s", target="edited_dataset:Images", licence="MIT")
        settings = AuditSettings("d", attributes=("p",), recipes=("tuned",), image=None, limit=limit)
        audit = Audit(
            self.loader(), load_target(spec)(), spec, settings,
            folder=ProbeFolder(self.folder / "run"), cache=self.cache,
        )  # fmt: skip
        return audit.run("e")

    def files(self) -> dict[Path, int]:
        found = (path for part in ("cache", "run") for path in (self.folder / part).rglob("*") if path.is_file())
        return {path: path.stat().st_mtime_ns for path in found if path.suffix != ".lock"}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    made = Workplace(tmp_path)
    for kind in MODULES:
        made.write(kind, 1.0)
    return made


ALL = {"pairs", "labels", "reader", "regressor", "whitening", "mean", "method"}


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        ("encoder", {"pairs", "whitening"}),
        ("generator", {"pairs", "labels", "reader", "regressor", "whitening", "mean"}),
        ("probe", {"labels", "reader"}),
        ("method", {"method"}),
    ],
)
def test_what_is_trained_is_trained_anew_for_edited_code(place: Workplace, kind: str, changed: set[str]) -> None:
    before = place.attack()
    files = place.files()
    again = place.attack()
    assert place.files() == files
    assert all(torch.equal(again[name], before[name]) for name in ALL)
    place.write(kind, 1.5)
    after = place.attack()
    assert {name for name in ALL if torch.equal(after[name], before[name])}.isdisjoint(changed)
    if kind != "method":
        fresh = Workplace(place.folder)
        fresh.cache = place.folder / "fresh"
        assert all(torch.equal(tensor, after[name]) for name, tensor in fresh.attack().items())


def test_what_is_trained_is_trained_anew_for_an_edited_core(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    place.attack()
    files = place.files()
    monkeypatch.setattr(preparation, "core_hash", lambda *more, of: "edited")
    place.attack()
    assert len(place.files()) == 2 * len(files)


@pytest.mark.parametrize("limit", [None, 250])
@pytest.mark.parametrize("kind", ["encoder", "probe", "dataset"])
def test_an_audit_of_edited_code_is_another(place: Workplace, kind: str, limit: int | None) -> None:
    before = place.audit(limit)
    files = place.files()
    # Only a record that was read has the checksum of its file.
    assert place.audit(limit).model_copy(update={"checksum": before.checksum}) == before
    assert place.files() == files
    place.write(kind, 0.5)
    after = place.audit(limit)
    assert after.id != before.id
    changed = {name for name in after.code if after.code[name] != before.code[name]}
    assert {name.split()[0] for name in changed} == {kind}
    assert len(place.files()) > len(files)
    fresh = Workplace(place.folder)
    fresh.cache = place.folder / "fresh"
    (place.folder / "run" / "probes" / f"{after.id}.json").unlink()
    assert fresh.audit(limit).rows == after.rows
