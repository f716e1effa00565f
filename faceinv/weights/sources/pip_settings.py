"""Which package indexes this machine is set to: environment variables and pip's configuration files."""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: The index where nothing else is set.
PYPI = "https://pypi.org/simple"


@dataclass(frozen=True)
class PipSettings:
    """Where packages come from.

    Args:
        indexes: Addresses of simple indexes on the web, the main one first.
        certificate: File of the certificate authorities to accept, or an empty string.
    """

    indexes: tuple[str, ...]
    certificate: str = ""


def read_pip_settings(environment: Mapping[str, str] | None = None, files: Sequence[Path] | None = None) -> PipSettings:
    """Return the settings that pip (and, for the indexes, uv) would use here.

    The environment comes before the configuration files, as with pip. Indexes that are folders on
    this machine (``file:``) are left out: no simple interface is served from them.

    Args:
        environment: Environment variables; this process's own by default.
        files: Configuration files, the later overriding the earlier; those that pip reads by default.
    """
    environment = os.environ if environment is None else environment
    found = _from_files(configuration_files(environment) if files is None else files)

    def first(*names: str) -> str:
        return next((environment[name] for name in names if environment.get(name)), "")

    main = first("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL") or found.get("index-url", "") or PYPI
    extra = first("PIP_EXTRA_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL") or found.get("extra-index-url", "")
    indexes = [_without_name(index) for index in (main, *extra.split())]
    return PipSettings(
        tuple(dict.fromkeys(index for index in indexes if index.startswith(("http://", "https://")))),
        first("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT") or found.get("cert", ""),
    )


def _without_name(index: str) -> str:
    """Take uv's ``NAME=`` off an index."""
    head, equals, rest = index.partition("=")
    return rest if equals and ":" not in head else index


def _from_files(files: Sequence[Path]) -> dict[str, str]:
    """Return what pip's configuration files say, the later overriding the earlier."""
    found: dict[str, str] = {}
    for path in files:
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue  # pip itself refuses such a file; weights can still come from the default index.
        for section in ("global", "install"):
            if parser.has_section(section):
                found |= {key.replace("_", "-"): value.strip() for key, value in parser.items(section)}
    return found


def configuration_files(environment: Mapping[str, str]) -> list[Path]:
    """Return pip's configuration files: of the machine, the user, this environment, and a chosen one."""
    chosen = environment.get("PIP_CONFIG_FILE", "")
    if chosen == os.devnull:
        return []  # pip's way to say: none of them.
    home = Path(environment.get("HOME") or Path.home())
    user = Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "pip/pip.conf"
    if sys.platform == "win32":
        data = Path(environment.get("APPDATA") or home / "AppData/Roaming")
        paths = [
            Path(environment.get("PROGRAMDATA") or "C:/ProgramData") / "pip/pip.ini",
            home / "pip/pip.ini",
            data / "pip/pip.ini",
            Path(sys.prefix) / "pip.ini",
        ]
    elif sys.platform == "darwin":
        support = "Library/Application Support/pip"
        own = home / support
        paths = [
            Path("/") / support / "pip.conf",
            home / ".pip/pip.conf",
            own / "pip.conf" if own.is_dir() else user,
            Path(sys.prefix) / "pip.conf",
        ]
    else:
        shared = (environment.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep)
        paths = [
            *(Path(folder) / "pip/pip.conf" for folder in reversed(shared) if folder),
            Path("/etc/pip.conf"),
            home / ".pip/pip.conf",
            user,
            Path(sys.prefix) / "pip.conf",
        ]
    return [*paths, Path(chosen).expanduser()] if chosen else paths
