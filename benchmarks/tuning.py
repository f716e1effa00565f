"""Try settings of a method one value at a time, on development targets that no report uses.

    python benchmarks/tuning.py zeroth --steps 200 --try learning_rate=0.05,0.2 --try radius=0.03,0.3
    python benchmarks/tuning.py faceinv --try mirror=false --dataset lfw:PATH --limit 32
    python benchmarks/tuning.py faceinv --try '{"shift": 0, "zoom": 0}'        # several at once

The targets are samples of seed 1, or photographs of people after the first 64, which belong to the report. Each value
is tried alone, with defaults for all other settings, and compared target by target with the defaults.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

SCORES = ("id_sim_critic", "psnr", "landmark_error")


def run(given: argparse.Namespace, options: dict[str, Any]) -> Path:
    """Invert the development targets with ``options`` and return the run folder."""
    targets = f"{given.dataset.partition(':')[0]}-{given.seed}-{given.skip}-{given.limit}"
    chosen = "-".join([given.method, str(given.steps), *(f"{key}={value}" for key, value in options.items())])
    out = Path(given.out, targets, chosen)
    config: dict[str, Any] = {
        "encoder": "arcface",
        "critic": "facenet",
        "losses": "id",
        "method": given.method,
        "method_options": {given.method: options},
        "dataset": given.dataset,
        "seed": given.seed,
        "limit": given.limit,
        "skip": given.skip,
        "steps": given.steps,
        "metrics": list(SCORES),
        "out": str(out),
    }
    out.mkdir(parents=True, exist_ok=True)
    if given.dataset != "synthetic":
        config |= {"per_person": 1, "min_photographs": 2}
    file = out / "config.yaml"
    file.write_text(yaml.safe_dump(config))
    faceinv("bench", str(file))
    return out


def settings(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the settings of one ``--try``: each value of an option by itself, or several options at once."""
    if text.startswith("{"):
        return [(text, json.loads(text))]
    option, _, values = text.partition("=")
    return [(f"{option} {value}", {option: json.loads(value)}) for value in values.split(",")]


def faceinv(*arguments: str) -> str:
    """Run the command and return what it prints."""
    return subprocess.run(
        [sys.executable, "-m", "faceinv", *arguments], check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method")
    parser.add_argument(
        "--try",
        dest="tries",
        action="append",
        default=[],
        metavar="OPTION=A,B,…",
        help="values as JSON: 0.1, 1e-3, true; or several options at once as a JSON object",
    )
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--limit", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dataset", default="synthetic")
    parser.add_argument("--skip", type=int, help="targets to skip; by default 64 for photographs")
    parser.add_argument("--out", default="runs/tuning")
    given = parser.parse_args()
    if given.skip is None:
        given.skip = 0 if given.dataset == "synthetic" else 64
    shipped = run(given, {})
    print(f"{given.method}, {given.steps} a target, {given.limit} targets of seed {given.seed}")
    print("| setting | " + " | ".join(SCORES) + " |\n| --- |" + " --- |" * len(SCORES))
    for text in given.tries:
        for name, options in settings(text):
            other = run(given, options)
            (found,) = json.loads(faceinv("compare", str(shipped), str(other), "--json"))
            scores = [found["metrics"][name] for name in SCORES]
            cells = [f"{s['other']:.3f}; {s['difference']:+.3f} [{s['low']:+.3f}, {s['high']:+.3f}]" for s in scores]
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
