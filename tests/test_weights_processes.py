"""Two processes that need the same weights file, and one that is killed while fetching it."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

CONTENT = b"the right weights"
RIGHT = hashlib.sha256(CONTENT).hexdigest()

PLUGIN = f"""
import os, sys, time
from pathlib import Path
import faceinv
from faceinv.contracts import WeightSourceSpec, WeightSpec

@faceinv.hookimpl
def faceinv_weight_sources():
    return [WeightSourceSpec(name="slow", summary="slow", target="slow_source:fetch", licence="MIT")]

@faceinv.hookimpl
def faceinv_weights():
    return [WeightSpec(name="net/w", filename="w.bin", sha256="{RIGHT}", sources=("slow:x",), licence="MIT")]

def fetch(location, destination, progress):
    log = Path(os.environ["LOG"])
    with log.open("a") as file:
        file.write("asked\\n")
    destination.write_bytes({CONTENT[:5]!r})
    while not log.with_suffix(".go").exists():
        time.sleep(0.01)
    destination.write_bytes({CONTENT!r})
"""

USE = """
import sys
from pathlib import Path
from faceinv.plugins import Host
from faceinv.weights import WeightStore
host = Host(entry_points=False, paths=[sys.argv[1]])
say = lambda text: print(text, flush=True)
print(WeightStore(host, cache=Path(sys.argv[2]), notify=say).path("net/w").read_bytes())
"""


def start(tmp_path: Path) -> subprocess.Popen[str]:
    plugin = tmp_path / "slow_source.py"
    plugin.write_text(PLUGIN)
    return subprocess.Popen(
        [sys.executable, "-c", USE, str(plugin), str(tmp_path / "cache")],
        env={**os.environ, "LOG": str(tmp_path / "log"), "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists() or not path.stat().st_size:  # The log may exist before it is written.
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_two_processes_fetch_a_file_once(tmp_path: Path) -> None:
    first = start(tmp_path)
    wait_for(tmp_path / "log")
    second = start(tmp_path)
    assert second.stdout is not None
    assert "Waiting for another process" in second.stdout.readline()
    (tmp_path / "log.go").touch()
    for process in (first, second):
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert repr(CONTENT) in out
    assert (tmp_path / "log").read_text() == "asked\n"


def test_partial_file_of_a_killed_process_is_not_used(tmp_path: Path) -> None:
    process = start(tmp_path)
    wait_for(tmp_path / "log")
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    (tmp_path / "log.go").touch()
    again = start(tmp_path)
    out, _ = again.communicate(timeout=60)
    assert again.returncode == 0
    assert repr(CONTENT) in out
    assert (tmp_path / "log").read_text() == "asked\nasked\n"
