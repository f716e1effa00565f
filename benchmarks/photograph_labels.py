"""Quality of the labels of photographs: the small landmark network against dlib, and whether the pose is the head's.

    python benchmarks/photograph_labels.py PATH/TO/lfw [--limit N]

A pose that reflected the shape of a face would vary between people; that of the head varies within each person.
"""

from __future__ import annotations

import argparse
from collections import defaultdict

import torch

from faceinv.bank import open_bank
from faceinv.bank.subset import Subset
from faceinv.data import open_dataset
from faceinv.models import Loader
from faceinv.plugins import Host
from faceinv.storage import cache_folder
from faceinv.weights import WeightStore


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lfw")
    parser.add_argument("--limit", type=int, help="number of photographs, evenly spaced over all")
    given = parser.parse_args()
    host = Host()
    loader = Loader(host, WeightStore(host))
    dataset, _ = open_dataset(host, f"lfw:{given.lfw}")
    if given.limit:
        dataset = Subset(dataset, given.limit)
    bank = open_bank(loader, dataset, probes=["landmarks", "landmarks.dlib"], folder=cache_folder() / "banks")
    network, dlib = bank.attributes["landmarks"], bank.attributes["landmarks.dlib"]
    found = dlib.isfinite().flatten(1).all(1) & network.isfinite().flatten(1).all(1)
    truth = dlib[found]
    error = loader.probe("landmarks", bank.frame).error
    guess = truth.mean(0).expand_as(truth)
    print(f"dlib finds one face in {len(truth)} of {len(dlib)} photographs")
    print(
        f"from dlib, in % of the outer eye corner distance: network {error(network[found], truth).mean():.2f}, "
        f"mean shape {error(guess, truth).mean():.2f}"
    )
    poses = loader.probe("pose.dlib", bank.frame).derive(truth)  # type: ignore[attr-defined]
    of: dict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(torch.where(found)[0].tolist()):
        of[dataset.identities[row]].append(place)  # type: ignore[index]
    groups = [poses[places] for places in of.values() if len(places) >= 4]
    if len(groups) > 1:
        within = torch.stack([group.var(0) * (len(group) - 1) for group in groups]).sum(0)
        within = within / sum(len(group) - 1 for group in groups)
        means = torch.stack([group.mean(0) for group in groups])
        between = (means.var(0) - within * sum(1 / len(group) for group in groups) / len(groups)).clamp_min(0)
        for name, a, b in zip(("yaw", "pitch", "roll"), within.tolist(), between.tolist(), strict=True):
            print(
                f"{name}: {a**0.5:.1f} degrees within {len(groups)} people, {b**0.5:.1f} between; "
                f"{a / (a + b):.0%} of the variance is within"
            )


if __name__ == "__main__":
    main()
