"""Run something hostile in a process of its own, and say what it did that it should not."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from faceinv.errors import LONGEST

#: Audit events that no file may cause: code found by a pickle, commands, connections.
_FORBIDDEN = {
    "os.system", "os.exec", "os.posix_spawn", "os.startfile", "subprocess.Popen", "pickle.find_class",
    "socket.connect", "socket.getaddrinfo", "urllib.Request", "ftplib.connect", "webbrowser.open",
}  # fmt: skip

#: Limit of one case on its address space, beyond what the process has at its start.
_ADDRESSES = 6 << 30


#: Exit code of a process that ended in an exception, which no command of ours uses.
_RAISED = 99

_CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")
_DOCUMENTED = frozenset(range(7))


@dataclass(frozen=True)
class Case:
    """One hostile input.

    Args:
        name: The kind of input and what was done to it.
        action: Called in a process of its own, in the folder of the input; returns an exit code.
        allowed: Exit codes that are right.
        seconds: Limit on its time.
        memory: Limit on its resident memory in bytes, beyond what the process has at its start.
        check: Called afterwards in the same folder with the exit code and the standard output; returns what is wrong.
        makes: Whether the files in its folder may change.
    """

    name: str
    action: Callable[[], int]
    allowed: frozenset[int] = _DOCUMENTED
    seconds: float = 30.0
    memory: int = 1 << 29
    check: Callable[[int, bytes], Iterable[str]] = lambda code, out: ()
    makes: bool = False


@dataclass
class Ended:
    """How a process ended.

    Args:
        code: Exit code, or ``None`` if it was stopped.
        seconds: Wall-clock time.
        memory: Resident memory in bytes beyond what it had at its start.
        left: Whether it left processes behind.
    """

    code: int | None
    seconds: float
    memory: int
    left: bool = False
    events: list[str] = field(default_factory=list)


def command(*arguments: object) -> Callable[[], int]:
    """Return an action that runs ``faceinv`` with these arguments, in the process of the case."""

    def run() -> int:
        from faceinv.cli import main

        try:
            main([os.fspath(a) if isinstance(a, os.PathLike) else str(a) for a in arguments])
        except SystemExit as stopped:
            code = stopped.code
            return code if isinstance(code, int) else 0 if code is None else 1
        return 0

    return run


class Child:
    """A forked process in a group of its own. The caller must have no threads."""

    def __init__(self, action: Callable[[], int], folder: Path, work: Path) -> None:
        self.started = time.monotonic()
        self._events = folder / "events"
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if not self.pid:
            _become(action, folder, work)
        self._code: int | None = None

    def wait(self, seconds: float) -> Ended | None:
        """Return how the process ended, or ``None`` if it still runs after this time."""
        deadline = time.monotonic() + seconds
        while True:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                return None
            time.sleep(0.003)
        left = self._left()
        code = os.waitstatus_to_exitcode(status)
        before, *events = self._events.read_text().split() if self._events.exists() else ["0"]
        memory = usage.ru_maxrss * 1024 - int(before)
        return Ended(code if code >= 0 else None, time.monotonic() - self.started, memory, left, events)

    def kill(self) -> Ended:
        """End the process and its children at once."""
        os.killpg(self.pid, signal.SIGKILL)
        ended = self.wait(60)
        assert ended is not None
        return ended

    def _left(self) -> bool:
        """Return whether processes of the group are there still; end them."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True


def _become(action: Callable[[], int], folder: Path, work: Path) -> None:
    """Turn this forked process into the one of the case; never returns."""
    code = _RAISED
    try:
        os.setsid()
        os.chdir(work)
        # Names of files may be any bytes.
        for number, name in enumerate(("/dev/null", folder / "stdout", folder / "stderr")):
            flags = os.O_RDONLY if not number else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            os.dup2(os.open(name, flags, 0o644), number)
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr]
        addresses, resident = map(int, Path("/proc/self/statm").read_text().split()[:2])
        resource.setrlimit(resource.RLIMIT_AS, (addresses * resource.getpagesize() + _ADDRESSES,) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        events = os.open(folder / "events", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.write(events, f"{resident * resource.getpagesize()}\n".encode())
        sys.addaudithook(lambda name, _: os.write(events, f"{name}\n".encode()) if name in _FORBIDDEN else None)  # type: ignore[func-returns-value,arg-type]
        code = action()
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code & 0xFF)


def attempt(make: Callable[[Path], Case], folder: Path) -> tuple[str, list[str], Ended]:
    """Make a case in ``folder`` and run it; return its name, what is wrong, and how it ended.

    Beside the folder of the case is one with a thesis and a secret, which nothing may touch.
    """
    work, outside = folder / "work", folder / "outside"
    work.mkdir(parents=True)
    (outside / "parts").mkdir(parents=True)
    (outside / "parts" / "thesis.txt").write_text("the only copy\n")
    case = make(work)
    before = _listed(outside)
    inputs = {} if case.makes else _listed(work)
    child = Child(case.action, folder, work)
    ended = child.wait(case.seconds)
    wrong = []
    if ended is None:
        ended = child.kill()
        wrong.append(f"still running after {case.seconds:.0f} s")
    elif ended.code is None:
        wrong.append("ended by a signal")
    elif ended.code not in case.allowed:
        wrong.append(f"exit code {ended.code}")
    out, err = (folder / "stdout").read_bytes(), (folder / "stderr").read_bytes()
    wrong += _said(out, err)
    wrong += [f"event {event}" for event in sorted(set(ended.events))]
    if ended.memory > case.memory:
        wrong.append(f"{ended.memory >> 20} MiB of memory")
    if ended.left:
        wrong.append("processes left behind")
    if _listed(outside) != before:
        wrong.append("something outside its folder was changed")
    if extra := {path.name for path in folder.iterdir()} - {"work", "outside", "stdout", "stderr", "events"}:
        wrong.append(f"something outside its folder was written: {', '.join(sorted(extra))[:80]}")
    after = _listed(work)
    if any(after.get(name) != content for name, content in inputs.items()):
        wrong.append("an input was changed")
    if ended.code is not None:
        here = Path.cwd()
        os.chdir(work)
        try:
            wrong += case.check(ended.code, out)
        finally:
            os.chdir(here)
    return case.name, wrong, ended


def _said(out: bytes, err: bytes) -> list[str]:
    """Return what is wrong with the output."""
    wrong = []
    if b"Traceback (most recent call last)" in out + err:
        last = err.strip().splitlines()[-1:] or [b""]
        wrong.append(f"traceback: {last[0][:120].decode(errors='replace')}")
    if b"This is a bug" in err:
        wrong.append(f"called a bug: {err.split(b'This is a bug')[0][-150:].decode(errors='replace').strip()}")
    if _CONTROL.search(out + err):
        wrong.append("control characters on the terminal")
    if any(len(line) > LONGEST for line in err.decode(errors="replace").splitlines()):
        wrong.append(f"a line of more than {LONGEST} characters")
    return wrong


def _listed(folder: Path) -> dict[str, str]:
    """Return a digest of every regular file below ``folder``, without following links."""
    found = {}
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            if path.is_symlink():
                found[str(path.relative_to(folder))] = f"-> {os.readlink(path)}"
            elif path.is_file():
                found[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
            else:
                found[str(path.relative_to(folder))] = "special"
    return found
