"""Checks of every declared object: its declaration, and the side effects of building it."""

from __future__ import annotations

from faceinv.contracts.specs import PRESETS, LossSpec, MethodSpec, MetricSpec
from faceinv.errors import FaceinvError
from faceinv.plugins.registry import load_target
from faceinv.testing.checks import CheckFailed, check, require
from faceinv.testing.subjects import Subject

_ALL = ("encoder", "generator", "probe", "loss", "method", "metric", "dataset", "detector", "protection", "reporter")


@check(*_ALL, fix="Give the spec a licence, an importable target, and only weights that faceinv_weights declares.")
def declaration(subject: Subject) -> None:
    """The declaration is complete: licences are given, the target can be imported, every name exists."""
    spec = subject.spec
    require(spec.licence.strip(), f"{subject} declares no licence for its code.")
    try:
        files = subject.host.weights(spec.weights)
        target = load_target(spec)
        if isinstance(spec, LossSpec) and spec.probe:
            subject.host.spec("probe", spec.probe)
    except FaceinvError as error:
        raise CheckFailed(str(error)) from error
    require(callable(target), f"{subject}: its target {spec.target} is not callable.")
    require(not spec.weights or spec.weights_licence, f"{subject} reads weights, but declares no licence for them.")
    for file in files:
        require(file.licence, f"{subject}: its weights '{file.name}' declare no licence.")
    presets = {
        **(spec.preset_weights if isinstance(spec, LossSpec) else {}),
        **(spec.preset_options if isinstance(spec, MethodSpec) else {}),
    }
    unknown = sorted(set(presets) - set(PRESETS))
    require(not unknown, f"{subject} uses the unknown preset '{', '.join(unknown)}'. Known: {', '.join(PRESETS)}.")
    if isinstance(spec, MetricSpec):
        require(spec.unit, f"{subject} declares no unit; the unit of a pure number is '1'.")


@check(*_ALL, fix="Declare files to fetch as WeightSpec; the factory gets their paths.")
def building_uses_no_network(subject: Subject) -> None:
    """Building the object from its files makes no network connection."""
    connections = subject.second.connections
    require(not connections, f"Building {subject} uses the network: it connects to {', '.join(connections[:3])}.")


@check(
    *_ALL,
    fix="Draw from your own torch.Generator (or in torch.random.fork_rng for initial weights), and set no global "
    "flag, thread count or default dtype.",
)
def building_touches_no_global_state(subject: Subject) -> None:
    """Building the object does not change random states, grad mode, thread count or default dtype."""
    changed = subject.second.changed
    require(not changed, f"Building {subject} changes {', '.join(changed)}.")
