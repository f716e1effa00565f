"""The package indexes that this machine is configured to use, by environment variables or pip's configuration."""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: The default index.
PYPI = "https://pypi.org/simple"


@dataclass(frozen=True)
class PipSettings:
    """The indexes that packages come from.

    Args:
        indexes: Web addresses of simple indexes, the main one first.
        certificate: File with the certificate authorities to accept, or an empty string.
    """

    indexes: tuple[str, ...]
    certificate: str = ""


def read_pip_settings(environment: Mapping[str, str] | None = None, files: Sequence[Path] | None = None) -> PipSettings:
    """Return the settings that pip (and, for the indexes, uv) would use here.

    The environment takes precedence over the configuration files, as with pip. Local folders (``file:``) are left
    out, because they do not serve the simple API.

    Args:
        environment: Environment variables; this process's by default.
        files: Configuration files, later ones overriding earlier ones; by default those that pip reads.
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
    """Remove uv's prefix ``NAME=`` from an index."""
    head, equals, rest = index.partition("=")
    return rest if equals and ":" not in head else index


def _from_files(files: Sequence[Path]) -> dict[str, str]:
    """Return the settings in pip's configuration files, later ones overriding earlier ones."""
    found: dict[str, str] = {}
    for path in files:
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue  # pip refuses such a file, but the default index can still be used.
        for section in ("global", "install"):
            if parser.has_section(section):
                found |= {key.replace("_", "-"): value.strip() for key, value in parser.items(section)}
    return found


def configuration_files(environment: Mapping[str, str]) -> list[Path]:
    """Return pip's configuration files: the machine's, the user's, this environment's, and ``PIP_CONFIG_FILE``."""
    chosen = environment.get("PIP_CONFIG_FILE", "")
    if chosen == os.devnull:
        return []  # To pip this means: no configuration files.
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
