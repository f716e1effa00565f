"""Time for training the heads of an audit together and one after another, measured in one run.

python benchmarks/many_heads.py [--rows 4000] [--dim 192] [--heads 40]
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import torch

from faceinv.audit.annotations import AnnotationProbe
from faceinv.audit.readings import tuned_head
from faceinv.probes.recipe import TUNED
from faceinv.probes.training import Parts, Task, train_heads


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--dim", type=int, default=192)
    parser.add_argument("--heads", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=3)
    given = parser.parse_args()
    rng = torch.Generator().manual_seed(0)
    descriptors = torch.randn(given.rows, given.dim, generator=rng)
    labels = (torch.randn(given.heads, given.rows, 1, generator=rng) > 0).float()
    parts = Parts(torch.arange(given.rows * 9 // 10), torch.arange(given.rows * 9 // 10, given.rows))
    paper = AnnotationProbe("x")
    presets = {
        "tuned": (lambda: tuned_head(given.dim, 1), replace(TUNED, objective="bce", epochs=given.epochs)),
        "paper": (lambda: paper.paper_head(given.dim), replace(paper.paper_recipe(), epochs=given.epochs)),
    }
    for name, (make, recipe) in presets.items():
        tasks = [Task(f"{name} {k}", value, make, recipe, torch.sigmoid) for k, value in enumerate(labels)]
        train_heads(descriptors[:512], tasks[:1], Parts(torch.arange(500), torch.arange(500, 512)), seed=0)  # warm up
        one = _seconds(descriptors, [tasks[0]], parts)
        together = _seconds(descriptors, tasks, parts)
        apart = sum(_seconds(descriptors, [task], parts) for task in tasks)
        print(
            f"{name}: one head {one:.2f} s; {given.heads} heads together {together:.2f} s ({together / one:.1f} times "
            f"one), one after another {apart:.2f} s: together is {apart / together:.1f} times as fast"
        )


def _seconds(descriptors: torch.Tensor, tasks: list[Task], parts: Parts) -> float:
    # Processor time, so that other work on the machine does not count.
    began = time.process_time()
    train_heads(descriptors, tasks, parts, seed=0)
    return time.process_time() - began


if __name__ == "__main__":
    main()
