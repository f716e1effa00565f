"""Broken plugins: modules as they might be installed."""

from __future__ import annotations

from pathlib import Path

HEAD = """
from faceinv import hookimpl
from faceinv.contracts import EncoderSpec, Framing

FRAMING = Framing("toy", (16, 16), ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.4, 0.8), (0.6, 0.8)))
CALLS = []


def encoder(name):
    return EncoderSpec(
        name=name, summary="A toy", target="faceinv.testing.toy_networks:ToyEncoder", licence="MIT", dim=12,
        framing=FRAMING,
    )
"""

#: The rest of the module, after the head, of a plugin that each check must fail.
SOURCES = {
    "import_is_light": "import pandas\n\n@hookimpl\ndef faceinv_encoders():\n    return [encoder('heavy-toy')]\n",
    "import_uses_no_network": (
        "import socket\n\ntry:\n    socket.getaddrinfo('localhost', 80)\nexcept OSError:\n    pass\n\n"
        "@hookimpl\ndef faceinv_encoders():\n    return [encoder('phoning-toy')]\n"
    ),
    "declares_the_same_twice": (
        "@hookimpl\ndef faceinv_encoders():\n    CALLS.append(1)\n    return [encoder(f'toy{len(CALLS)}')]\n"
    ),
    "declares_something": "@hookimpl\ndef faceinv_encoders():\n    return []\n",
}


def write_broken(check: str, folder: Path) -> Path:
    """Write the plugin that ``check`` must fail."""
    # A stub of a heavy library, which takes no time to import.
    (folder / "pandas.py").write_text("")
    path = folder / f"broken_plugin_{check}.py"
    path.write_text(HEAD + "\n\n" + SOURCES[check])
    return path
