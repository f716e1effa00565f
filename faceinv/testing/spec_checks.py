"""Checks that every declared object shares: its declaration, and what building it touches."""

from __future__ import annotations

from faceinv.contracts.specs import PRESETS, LossSpec, MethodSpec, MetricSpec
from faceinv.errors import FaceinvError
from faceinv.plugins.registry import load_target
from faceinv.testing.checks import CheckFailed, check, require
from faceinv.testing.subjects import Subject

_ALL = ("encoder", "generator", "probe", "loss", "method", "metric", "dataset", "detector")


@check(*_ALL, fix="Give the spec a licence, an importable target, and names of weights that faceinv_weights declares.")
def declaration(subject: Subject) -> None:
    """The declaration can be relied on: licences are named, the target can be imported, every name exists."""
    spec = subject.spec
    require(spec.licence.strip(), f"{subject} names no licence of its code.")
    try:
        files = subject.host.weights(spec.weights)
        target = load_target(spec)
        if isinstance(spec, LossSpec) and spec.probe:
            subject.host.spec("probe", spec.probe)
    except FaceinvError as error:
        raise CheckFailed(str(error)) from error
    require(callable(target), f"{subject}: its target {spec.target} cannot be called.")
    require(not spec.weights or spec.weights_licence, f"{subject} reads weights and names no licence of them.")
    for file in files:
        require(file.licence, f"{subject}: its weights '{file.name}' name no licence.")
    presets = {
        **(spec.preset_weights if isinstance(spec, LossSpec) else {}),
        **(spec.preset_options if isinstance(spec, MethodSpec) else {}),
    }
    unknown = sorted(set(presets) - set(PRESETS))
    require(not unknown, f"{subject} names the preset '{', '.join(unknown)}'; there are {', '.join(PRESETS)}.")
    if isinstance(spec, MetricSpec):
        require(spec.unit, f"{subject} names no unit; a pure number has the unit '1'.")


@check(*_ALL, fix="Declare what has to be fetched as WeightSpec; the factory gets the files' paths.")
def building_uses_no_network(subject: Subject) -> None:
    """Building the object from its files connects to nothing."""
    asked = subject.second.asked
    require(not asked, f"Building {subject} uses the network: it asks for {', '.join(asked[:3])}.")


@check(
    *_ALL,
    fix="Draw from a torch.Generator of your own (torch.random.fork_rng for initial weights), and set no global "
    "flag, thread count or default dtype.",
)
def building_touches_no_global_state(subject: Subject) -> None:
    """Building the object leaves random states, grad mode, thread count and default dtype as they were."""
    changed = subject.second.changed
    require(not changed, f"Building {subject} changes {', '.join(changed)}.")
