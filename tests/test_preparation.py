"""What is trained once for an encoder and a generator: what is needed afterwards never needs the pairs again."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType

import pytest
import torch

from faceinv.attack import preparation
from faceinv.attack.preparation import Preparation
from faceinv.attack.scale import at_scale
from faceinv.models import Loader
from faceinv.plugins import Host
from faceinv.plugins.code import CORE, TRAINING
from faceinv.probes.reader import Split
from faceinv.storage.tensors import TensorCache
from faceinv.weights import WeightStore

N = 200


def prepared(host: Host, folder: Path, preset: str = "tuned") -> Preparation:
    loader = Loader(host, WeightStore(host))
    return Preparation(
        loader, "toy", "toy-faces", "z", pairs=N, preset=preset, cache=TensorCache(folder), probes=["brightness"]
    )


def everything(made: Preparation, descriptors: torch.Tensor) -> list[object]:
    """Return one value of everything that a run reads."""
    return [
        made.descriptor_statistics,
        made.probe_score("brightness"),
        made.error_covariance("brightness").tolist(),
        made.read("brightness", descriptors).tolist(),
        made.regressor(["brightness"])(descriptors).tolist(),
        made.conditional_mean(descriptors).tolist(),
        at_scale(descriptors * 30, made, [str(row) for row in range(len(descriptors))], lambda text: None).tolist(),
    ]


def test_what_was_trained_needs_no_pairs(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = prepared(host, tmp_path)
    descriptors = made.pairs.descriptors[:5]
    before = everything(made, descriptors)
    for file in [*tmp_path.glob("pairs-*"), *tmp_path.glob("* labels-*")]:
        file.unlink()
    monkeypatch.setattr(preparation, "sample_pairs", lambda *given: pytest.fail("pairs were sampled"))
    monkeypatch.setattr(preparation, "label_pairs", lambda *given: pytest.fail("pairs were labelled"))
    assert everything(prepared(host, tmp_path), descriptors) == before


def test_the_kept_figures_are_those_of_the_pairs(host: Host, tmp_path: Path) -> None:
    made = prepared(host, tmp_path)
    descriptors, labels, split = made.pairs.descriptors, made.labels("brightness"), Split.of(N)
    lengths, kept = descriptors.double().norm(dim=1), made.descriptor_statistics
    assert kept.variance == float(descriptors.var(0, correction=0).sum())
    assert (kept.shortest, kept.longest) == (float(lengths.min()), float(lengths.max()))
    errors = made.read("brightness", descriptors) - labels
    score = made.probe_score("brightness")
    assert score.n == len(labels[split.test])
    assert score.descriptor == pytest.approx(255 * float(errors[split.test].abs().mean()))
    held = errors[split.validation]
    torch.testing.assert_close(made.error_covariance("brightness"), held.T @ held / len(held))


#: What runs too while parts are made, but decides none of their numbers: it finds, checks, stores and reports.
DECIDES_NOTHING = (
    *("contracts/specs.py", "errors.py", "hardware.py", "plugins", "storage", "testing"),
    # The size of a batch changes nothing but rounding.
    *("models/batching.py", "weights/store.py", "weights/trust.py"),
)


def test_all_that_runs_while_parts_are_made_is_in_their_names(host: Host, tmp_path: Path) -> None:
    ran: set[str] = set()

    def watched(frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_name != "<module>" and code.co_filename.startswith(str(CORE)):
            ran.add(Path(code.co_filename).relative_to(CORE).as_posix())

    before = sys.getprofile()
    sys.setprofile(watched)
    try:
        made = prepared(host, tmp_path)
        everything(made, made.pairs.descriptors[:5])
    finally:
        sys.setprofile(before)
    # It only uses what was made.
    ran -= {"attack/scale.py"}
    covered = (*TRAINING, *DECIDES_NOTHING)
    assert {"attack/pairs.py", "probes/reader.py", "models/loader.py", "framing.py"} <= ran
    assert [name for name in sorted(ran) if not name.startswith(covered)] == []


def test_the_expected_image_is_made_in_the_pass_that_embeds(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = prepared(host, tmp_path)
    descriptors = made.pairs.descriptors[:5]
    monkeypatch.setattr(preparation, "sum_images", lambda *given: pytest.fail("images were generated once more"))
    expected = made.conditional_mean(descriptors)
    monkeypatch.undo()
    for file in tmp_path.glob("conditional mean-*"):
        file.unlink()
    torch.testing.assert_close(prepared(host, tmp_path).conditional_mean(descriptors), expected)


def test_the_tuned_regressor_is_linear_and_the_papers_is_the_papers(host: Host, tmp_path: Path) -> None:
    tuned, paper = (prepared(host, tmp_path, preset).regressor(["brightness"]) for preset in ("tuned", "paper"))
    assert isinstance(tuned.head, torch.nn.Linear)
    assert [layer.out_features for layer in paper.head if isinstance(layer, torch.nn.Linear)][:3] == [2048] * 3
    pairs = prepared(host, tmp_path).pairs
    rows = Split.of(N).test
    error = (tuned(pairs.descriptors[rows]) - pairs.latents[rows]).square().mean()
    assert error < pairs.latents[rows].var()


def test_each_set_of_losses_has_its_own_start(host: Host, tmp_path: Path) -> None:
    made = prepared(host, tmp_path)
    alone, seeing, descriptors = made.regressor(), made.regressor(["brightness", "brightness"]), made.pairs.descriptors
    assert seeing.head.in_features == alone.head.in_features + 3
    assert not torch.allclose(alone(descriptors), seeing(descriptors))
    assert {"latent regressor", "latent regressor brightness"} <= set(made.cache.origins)
    paper = prepared(host, tmp_path, "paper")
    assert paper.regressor(["brightness"]) is paper.regressor()


def test_regressed_latents_are_not_pulled_to_the_mean(host: Host, tmp_path: Path) -> None:
    made = prepared(host, tmp_path)
    rows = Split.of(N).train
    latents, read = made.pairs.latents[rows], made.regressor()(made.pairs.descriptors[rows])
    away, true = read - latents.mean(0), latents - latents.mean(0)
    assert float((away * true).sum() / away.square().sum()) == pytest.approx(1, abs=0.01)
