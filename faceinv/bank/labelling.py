"""Which probe labels photographs, where an attribute has one that is made for them."""

from __future__ import annotations

from faceinv.contracts.specs import ProbeSpec
from faceinv.plugins.host import Host


def labelling(host: Host, name: str) -> ProbeSpec:
    """Return the probe that labels photographs with the attribute of the probe ``name``."""
    spec: ProbeSpec = host.spec("probe", name)
    if spec.on_photographs and host.knows("probe", spec.on_photographs):
        better: ProbeSpec = host.spec("probe", spec.on_photographs)
        return better
    return spec
