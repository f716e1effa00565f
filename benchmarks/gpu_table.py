"""The measurements of ``gpu.py`` as text for the documentation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULT = Path(__file__).parent / "results" / "gpu.json"

NOTHING = "**Not measured on a GPU.** No figure of a GPU exists yet; `python benchmarks/gpu.py` measures them."

_COLUMNS = [(kind, mode) for mode in ("eager", "cuda graph", "compiled") for kind in ("fp32", "tf32", "bf16")]


def gpu_text(path: Path = RESULT) -> str:
    """Return the tables of a result, or that there is none."""
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if not content or content["tiny"] or content["about"]["device"] == "cpu":
        return NOTHING
    about, tests = content["about"], "passed" if content["tests"]["passed"] else "**failed**"
    head = f"On {about['device']}, PyTorch {about['torch']}; the tests marked `gpu` {tests}."
    chains: dict[tuple[str, int], dict[tuple[str, str], dict[str, Any]]] = {}
    others = []
    for one in content["measures"]:
        settings = one["settings"]
        if "mode" in settings:
            kinds = chains.setdefault((one["what"], settings["batch"]), {})
            kinds[settings["precision"], settings["mode"]] = one
        else:
            others.append(one)
    titles = [f"{kind}, {mode}" for kind, mode in _COLUMNS]
    lines = ["| image-steps a second | batch | " + " | ".join(titles) + " | MB |", "| --- |" + " --- |" * 11]
    for (what, batch), kinds in chains.items():
        cells = [f"{kinds[column]['rate']:,.0f}" if _has(kinds, column) else "–" for column in _COLUMNS]
        memory = max(one["memory"] for one in kinds.values())
        lines.append(f"| {what} | {batch} | {' | '.join(cells)} | {memory:,.0f} |")
    more = ["| what | settings | a second |", "| --- | --- | --- |"]
    for one in others:
        settings = ", ".join(f"{name} {value}" for name, value in one["settings"].items())
        rate = f"{one['rate']:,.1f} {one['unit']}"
        more.append(f"| {one['what']} | {settings} | {one['error'] or rate} |")
    return "\n".join([head, "", *lines, "", *more])


def _has(kinds: dict[tuple[str, str], dict[str, Any]], column: tuple[str, str]) -> bool:
    return column in kinds and not kinds[column]["error"]
