"""What can still be read from descriptors stored with less precision: heads are trained and scored for each kind.

    python benchmarks/stored_precision.py PATH/TO/lfw [--encoder arcface]

Prints the amplitudes of the principal axes as a share of the largest, and the main score of each attribute with its
interval, for float32, unit length, half precision, and 8 bits with one scale for all numbers.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from faceinv.audit.attributes import choose_attributes
from faceinv.audit.readings import tuned_task
from faceinv.audit.rows import Reading, score_attribute
from faceinv.bank.bank import open_bank
from faceinv.bank.frame import clean_part
from faceinv.data import open_dataset
from faceinv.models import Loader
from faceinv.plugins import Host
from faceinv.probes.training import Parts, train_heads
from faceinv.storage import cache_folder
from faceinv.weights import WeightStore


def eight_bits(descriptors: Tensor) -> Tensor:
    scale = descriptors.abs().max() / 127
    return (descriptors / scale).round() * scale


KINDS = {
    "float32": lambda descriptors: descriptors,
    "unit length": lambda descriptors: torch.nn.functional.normalize(descriptors, dim=1),
    "half precision": lambda descriptors: descriptors.half().float(),
    "8 bits": eight_bits,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lfw", type=Path)
    parser.add_argument("--encoder", default="arcface")
    given = parser.parse_args()
    host = Host()
    loader = Loader(host, WeightStore(host))
    dataset, spec = open_dataset(host, f"lfw:{given.lfw}")
    frame, people, splits = dataset.framing, dataset.identities, dataset.splits
    assert frame is not None
    assert people is not None
    assert splits is not None
    clean = clean_part(dataset, frame).framing
    chosen = choose_attributes(("smiling", "landmarks", "pose"), dataset, spec.real, loader, frame, clean)
    measured = sorted({name for item in chosen for name in item.measured})
    bank = open_bank(loader, dataset, given.encoder, measured, folder=cache_folder() / "banks")
    train, val, test = (
        torch.tensor([row for row, own in enumerate(splits) if own == part]) for part in ("train", "val", "test")
    )
    variances = torch.linalg.eigvalsh(bank.descriptors[train].double().T.cov()).clamp_min(0)
    amplitudes = (variances / variances[-1]).sqrt()
    for share in (0.0, 0.25, 0.5, 0.75):
        print(f"{share:.0%} of the axes have an amplitude below {float(amplitudes.quantile(share)):.1e} of the largest")
    labels = {item.name: item.labels(dataset, bank.attributes.__getitem__) for item in chosen}
    for kind, store in KINDS.items():
        descriptors = store(bank.descriptors.clone())
        tasks = [tuned_task(item, labels[item.name], descriptors.shape[1]) for item in chosen]
        readers = train_heads(descriptors, tasks, Parts(train, val), seed=0)
        for item in chosen:
            with torch.inference_mode():
                read = Reading("descriptor", "tuned", readers[f"tuned {item.name}"](descriptors[test]))
            (row,) = score_attribute(
                item, labels[item.name], test, people, [read],
                encoder=given.encoder, precision="fp32", dataset="lfw", seed=0, ids=dataset.ids, columns={},
            )  # fmt: skip
            score = row["metrics"][item.main_score]
            print(
                f"{kind}, {item.name}: {item.main_score} {score['mean']:.3f} [{score['low']:.3f}, {score['high']:.3f}]"
            )


if __name__ == "__main__":
    main()
