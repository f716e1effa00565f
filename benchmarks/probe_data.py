"""Errors of an attack's probes on photographs and on samples: learnt from samples, and from photographs.

    python benchmarks/probe_data.py lfw:PATH [--limit N] [--pairs N] [--frames]

With ``--frames``, it also embeds the photographs without bringing them into the generator's frame as targets are. The
held-out photographs show other people than those that were learnt from. Labels of photographs are those that
``--probe-data`` learns (landmarks by dlib); labels of samples are measured as the losses measure them.
"""

from __future__ import annotations

import argparse
import math

import torch
from torch import Tensor

from faceinv.attack.photographs import Photographs
from faceinv.attack.preparation import Preparation
from faceinv.bank import BankSettings, Subset, open_bank
from faceinv.data import open_dataset
from faceinv.models import Loader
from faceinv.plugins import Host
from faceinv.probes.reader import Examples, TunedHead
from faceinv.probes.recipe import ON_PAIRS
from faceinv.probes.training import Parts, Task, train_heads
from faceinv.storage import cache_folder
from faceinv.storage.tensors import TensorCache
from faceinv.weights import WeightStore

PROBES = ("landmarks", "histogram")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="NAME:PATH of the photographs")
    parser.add_argument("--encoder", default="arcface")
    parser.add_argument("--generator", default="dcgan")
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--limit", type=int, help="number of photographs, evenly spaced over all")
    parser.add_argument("--frames", action="store_true", help="compare the frames that photographs are embedded in")
    given = parser.parse_args()
    host = Host()
    loader = Loader(host, WeightStore(host))
    dataset, _ = open_dataset(host, given.dataset)
    chosen = Subset(dataset, given.limit) if given.limit else dataset
    photographs = Photographs(
        loader,
        chosen,
        given.dataset,
        torch.zeros(len(chosen.ids), dtype=torch.bool),
        framing=loader.generator(given.generator).framing,
        encoder=host.spec("encoder", given.encoder),
        probes=PROBES,
        detector="mtcnn",
        folder=cache_folder() / "banks",
    )
    prepared = {
        kind: Preparation(
            loader,
            given.encoder,
            given.generator,
            "",
            pairs=given.pairs,
            preset="tuned",
            cache=TensorCache(cache_folder() / "trained"),
            probes=PROBES,
            photographs=source,
        )
        for kind, source in (("samples", None), ("photographs", photographs))
    }
    print("| probe | learnt from | on held-out photographs | guess | on held-out samples | guess |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in PROBES:
        for kind, made in prepared.items():
            scores = [_score(made, name, prepared[tested].examples(name)) for tested in ("photographs", "samples")]
            cells = [f"{error:.2f} | {guess:.2f}" for error, guess in scores]
            unit = made.probe_score(name).unit
            print(f"| {name}, {unit} | {kind} | {' | '.join(cells)} |")
        n = [prepared[kind].examples(name).split.test for kind in ("photographs", "samples")]
        print(f"n: {n[0].stop - n[0].start} photographs, {n[1].stop - n[1].start} samples")
    for name in PROBES:
        print(f"{name}: {prepared['photographs'].probe_score(name).learnt_from}")
    if given.frames:
        frame = loader.generator(given.generator).framing
        for what, settings in (
            ("the data set's own frame", BankSettings(detector="mtcnn")),
            ("the generator's frame, faces not detected", BankSettings(frame=frame, detector="mtcnn")),
        ):
            bank = open_bank(loader, chosen, given.encoder, settings=settings, folder=cache_folder() / "banks")
            for name in PROBES:
                error = _learnt_elsewhere(prepared["photographs"], photographs, name, bank.descriptors)
                print(f"{name} learnt from descriptors in {what}, on held-out photographs: {error:.2f}")


def _learnt_elsewhere(made: Preparation, photographs: Photographs, name: str, descriptors: Tensor) -> float:
    """Return the error on the held-out photographs of a probe that learns other descriptors of the same photographs."""
    probe, given, rows = made.probe(name), photographs.examples(name), photographs.known(name)
    # Examples are in the order of their parts.
    own = torch.cat([descriptors[rows[part]] for part in ("train", "val")])
    train, val = torch.arange(len(own)).split([len(rows["train"]), len(rows["val"])])

    def make_head() -> TunedHead:
        return TunedHead(own.shape[1], math.prod(probe.shape))

    task = Task(name, given.targets[: len(own)], make_head, ON_PAIRS, probe.constrain, probe.reading_loss)
    read = train_heads(own, [task], Parts(train, val), seed=0)[name]
    with torch.inference_mode():
        return float(probe.error(read(given.descriptors[given.split.test]), given.targets[given.split.test]).mean())


def _score(made: Preparation, name: str, tested: Examples) -> tuple[float, float]:
    """Return the error of a probe on the held-out part of ``tested``, and that of its training part's mean."""
    split, error = tested.split, made.probe(name).error
    truth: Tensor = tested.targets[split.test]
    read = made.read(name, tested.descriptors[split.test])
    guess = tested.targets[split.train].mean(0).expand_as(truth)
    return float(error(read, truth).mean()), float(error(guess, truth).mean())


if __name__ == "__main__":
    main()
