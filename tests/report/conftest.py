"""Fixtures: a run with everything in it, and a real browser."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from faceinv.scoring import estimate
from faceinv.storage.run_folder import RunFolder

EXAMPLE = Path(__file__).parents[1] / "records" / "v2" / "cells" / "0123456789abcdef.json"
TARGETS = [f"person {index}/<b>&photo_{index}.jpg" for index in range(6)]


def _write_run(
    path: Path,
    losses: tuple[str, ...] = ("id", "id,lm", "id,lm,hist"),
    *,
    targets: list[str] = TARGETS,
    shift: float = 0.0,
    pictures: bool = True,
    size: int = 24,
    **config: Any,
) -> Path:
    """Write a run like the example in ``tests/records``: a cell for each of ``losses``, scores drawn from a seed."""
    folder = RunFolder(path)
    for place, names in enumerate(losses):
        record = json.loads(EXAMPLE.read_text())
        rng = np.random.default_rng(place)
        cell = f"{place:016x}"
        if config or shift:
            cell = hashlib.sha256(repr((place, shift, sorted(config.items()))).encode()).hexdigest()[:16]
        record |= {"id": cell, "n": len(targets)}
        record["config"] |= {"losses": names.split(","), "limit": len(targets)} | config
        rows: dict[str, list[Any]] = {"target": targets}
        for name, summary in record["metrics"].items():
            values = summary["mean"] * (1 + 0.1 * rng.standard_normal(len(targets))) + shift
            rows[name] = values.tolist()
            summary |= vars(estimate(values))
        for row in record["success"]:
            if row["share"] is None:
                continue
            accepted = (rng.random(len(targets)) < 0.5).astype(float)
            # Both kinds, always, so that a filter has something to do.
            accepted[:2] = 1, 0
            rows[f"success_type{len(row['type'])}@{row['fmr']:g}:{row['role']}"] = accepted.tolist()
            row |= {"accepted": int(accepted.sum()), "n": len(targets), "share": float(accepted.mean())}
            row |= {"low": row["share"] / 2, "high": (1 + row["share"]) / 2}
        folder.write_rows(cell, rows)
        folder.write_attributes(cell, {"landmarks": np.full((len(targets), 68, 2), 0.25, dtype=np.float32)})
        images = folder.images_folder(cell)
        for index in range(len(targets)) if pictures else ():
            for what in ("-target", "-start", ""):
                # The target is every cell's, the rest is the cell's own.
                pixels = np.random.default_rng([index, len(what), place if what != "-target" else 0])
                array = pixels.integers(0, 255, (size, size, 3), dtype=np.uint8)
                Image.fromarray(array).save(images / f"{index:05d}{what}.png")
        record_path = folder.record_path(cell)
        record_path.write_text(json.dumps(record))
    return path


@pytest.fixture(scope="session")
def write_run() -> Callable[..., Path]:
    """What writes a run with everything in it."""
    return _write_run


@pytest.fixture
def full_run(tmp_path: Path) -> Path:
    """A run of three objectives on six targets, with pictures."""
    return _write_run(tmp_path / "run")


@dataclass
class Visit:
    """A page in the browser, and what it did that it should not.

    Args:
        page: The page.
        errors: Errors and console messages.
        requests: Addresses that it asked for, beside its own file and what is inside it.
    """

    page: Any
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


def chromium() -> str | None:
    """Return a Chromium or Chrome of this machine."""
    named = os.environ.get("FACEINV_CHROMIUM")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    return named or next((path for name in names if (path := shutil.which(name))), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    executable = chromium()
    if executable is None:
        pytest.skip("there is no Chromium or Chrome here; install one, or name it in FACEINV_CHROMIUM")
    with playwright.sync_playwright() as driver:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        try:
            started = driver.chromium.launch(executable_path=executable, args=arguments)
        except playwright.Error as error:
            pytest.skip(f"{executable} does not start: {str(error).splitlines()[0]}")
        yield started
        started.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Visit]]:
    """Open a page file; whatever goes wrong on it fails the test at its end."""
    contexts = []
    visits = []

    def open_page(path: Path, **options: Any) -> Visit:
        context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
        contexts.append(context)
        visited = Visit(context.new_page())
        visits.append(visited)
        visited.page.set_default_timeout(10_000)
        visited.page.on("console", lambda message: visited.errors.append(message.text))
        visited.page.on("pageerror", lambda error: visited.errors.append(str(error)))
        visited.page.on(
            "request",
            lambda request: None if request.url.startswith("data:") else visited.requests.append(request.url),
        )
        visited.page.goto(path.resolve().as_uri())
        visited.requests.remove(path.resolve().as_uri())
        return visited

    yield open_page
    for context in contexts:
        context.close()
    assert [error for visited in visits for error in visited.errors] == []
    assert [address for visited in visits for address in visited.requests] == []
