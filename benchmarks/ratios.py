"""Speed relative to a reference: both run alternately in one process; the ratios are written into the documentation.

    python benchmarks/ratios.py                  # print
    python benchmarks/ratios.py --write          # and write docs/explanation/performance.md and a file of history
    python benchmarks/ratios.py --gpu            # write the table of gpu.py's result alone
    pytest benchmarks/test_groups.py             # every job on its own, by pytest-benchmark

Each time is the shortest of many alternating runs, so that a job and its reference see the same machine. One thread
unless ``--threads`` says otherwise, so that nothing waits for a core that another process holds.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from gpu_table import gpu_text
from groups import GROUPS, Chain, Group, Job, Row
from torch import Tensor, nn

from faceinv.hardware import keep_memory

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "explanation" / "performance.md"


def in_turns(jobs: dict[str, Job], seconds: float) -> dict[str, float]:
    """Return the shortest time of each job, run alternately for ``seconds`` and at least three times."""
    for job in jobs.values():
        job()  # compiles what has to be compiled
    best = dict.fromkeys(jobs, float("inf"))
    end, turns = time.perf_counter() + seconds, 0
    while time.perf_counter() < end or turns < 3:
        for name, job in jobs.items():
            began = time.perf_counter()
            job()
            best[name] = min(best[name], time.perf_counter() - began)
        turns += 1
    return best


def measured(group: Group, seconds: float) -> Iterator[Row]:
    """Yield a group's rows, with ``seconds`` of timing for each pair of a job and its reference."""
    item = next(group, None)
    while item is not None:
        if isinstance(item, Row):
            yield item
            item = next(group, None)
        else:
            item = group.send(in_turns(item, len(item) / 2 * seconds))


def ceilings() -> str:
    """Return the machine's rates in a large matrix product and a large copy, as text."""
    a, b = torch.randn(2, 2048, 2048, generator=torch.Generator().manual_seed(0))
    x = torch.ones(1 << 26)
    y = torch.empty_like(x)
    best = in_turns({"product": lambda: a @ b, "copy": lambda: y.copy_(x)}, 2)
    product, moved = 2 * 2048**3 / best["product"] / 1e9, 8 * x.numel() / best["copy"] / 1e9
    return f"{product:.0f} GFLOP/s in a matrix product of 2,048² in fp32, {moved:.0f} GB/s in a copy of 256 MB"


def operations(network: nn.Module, *inputs: Any) -> tuple[float, float]:
    """Return the GFLOP of a forward pass in convolutions and products, and the MB its layers write, for one image."""
    count, written = 0.0, 0.0

    def hook(layer: nn.Module, given: tuple[Tensor, ...], result: Tensor) -> None:
        nonlocal count, written
        written += result.numel() * result.element_size() / 1e6
        weight = getattr(layer, "weight", None)
        if weight is not None and weight.ndim > 1:
            places = given[0][0, 0].numel() if getattr(layer, "transposed", False) else result[0].numel() / len(weight)
            count += 2 * weight.numel() * places / 1e9

    leaves = [layer for layer in network.modules() if not list(layer.children())]
    handles = [layer.register_forward_hook(hook) for layer in leaves]
    with torch.no_grad():
        network(*inputs)
    for handle in handles:
        handle.remove()
    return count, written


def profile(chain: Chain) -> str:
    """Return the operations and bytes of an image-step, by network, as a table."""
    landmarks = chain.loader.probe("landmarks", chain.generator.framing).landmarks.network
    crop = torch.rand(1, 3, 112, 112)
    rows = {
        "DCGAN": operations(chain.generator.network, chain.latents[:1], "z"),
        "MobileFaceNet": operations(chain.encoder.encoder.network, crop),
        "landmark network": operations(landmarks, chain.images[:1]),
    }
    lines = ["| network | GFLOP forward | GFLOP gradient | MB written forward |", "| --- | --- | --- | --- |"]
    lines += [f"| {name} | {flop:.3f} | {flop:.3f} | {mb:.1f} |" for name, (flop, mb) in rows.items()]
    return "\n".join(lines)


def table(rows: list[Row]) -> str:
    lines = ["| group | what | compared with | times as fast | goal | |", "| --- | --- | --- | --- | --- | --- |"]
    for row in rows:
        goal = f"{row.least:g}" if row.least else "–"
        lines.append(f"| {row.group} | {row.what} | {row.reference} | {row.ratio:.2f} | {goal} | {row.note} |")
    return "\n".join(lines)


def history_table(folder: Path) -> str:
    """Return the ratios of every kept run, one column each, oldest first."""
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")]
    dated = sorted((git("show", "-s", "--format=%cI", run["commit"]), run) for run in runs)
    names = dict.fromkeys((row["what"], row["reference"]) for _, run in reversed(dated) for row in run["rows"])
    heads = [f"`{run['commit']}`, {date[:10]}" for date, run in dated]
    lines = ["| times as fast | compared with | " + " | ".join(heads) + " |", "| --- | --- |" + " --- |" * len(heads)]
    limits = [f"{run['ceilings'].split(' ')[0]} GFLOP/s, {run['environment']['threads']}" for _, run in dated]
    lines.append("| *a large matrix product, threads* | | " + " | ".join(limits) + " |")
    for what, reference in names:
        found = [{(row["what"], row["reference"]): row["ratio"] for row in run["rows"]} for _, run in dated]
        cells = [f"{ratios[what, reference]:.2f}" if (what, reference) in ratios else "–" for ratios in found]
        lines.append(f"| {what} | {reference} | {' | '.join(cells)} |")
    return "\n".join(lines)


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True, cwd=ROOT).stdout.strip()


def put(text: str, name: str, content: str) -> str:
    """Return ``text`` with ``content`` between the markers ``name``."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    head, _, rest = text.partition(begin)
    return f"{head}{begin}\n\n{content}\n\n{end}{rest.partition(end)[2]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=6.0, help="per pair of a job and its reference")
    parser.add_argument("--gpu", action="store_true", help="only write the result of gpu.py into the page")
    parser.add_argument("--write", action="store_true", help="write the page and a history file")
    given = parser.parse_args()
    if given.gpu:
        PAGE.write_text(put(PAGE.read_text(encoding="utf-8"), "gpu", gpu_text()), encoding="utf-8")
        return
    if given.write and set(given.groups) != set(GROUPS):
        parser.error("--write needs all groups; leave out --groups")
    keep_memory()
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as folder:
        chain = Chain(Path(folder))
        limits, sizes = ceilings(), profile(chain)
        print(f"{limits}\n\n{sizes}\n", flush=True)
        rows = []
        for name in given.groups:
            for row in measured(GROUPS[name](chain), given.seconds):
                rows.append(row)
                print(
                    f"{row.group}: {row.what} {row.ratio:.2f} times as fast as {row.reference} ({row.note})", flush=True
                )
    if not given.write:
        return
    commit = git("rev-parse", "--short", "HEAD")
    threads = "one thread" if given.threads == 1 else f"{given.threads} threads"
    text = put(PAGE.read_text(encoding="utf-8"), "profile", f"On {threads}: {limits}.\n\n{sizes}")
    text = put(text, "ratios", table(rows))
    history = ROOT / "benchmarks" / "history" / f"{commit}.json"
    history.parent.mkdir(exist_ok=True)
    environment = {"torch": torch.__version__, "python": platform.python_version(), "threads": given.threads}
    content = {"commit": commit, "environment": environment, "ceilings": limits}
    history.write_text(json.dumps(content | {"rows": [asdict(row) for row in rows]}, indent=1) + "\n")
    PAGE.write_text(put(text, "history", history_table(history.parent)), encoding="utf-8")


if __name__ == "__main__":
    main()
