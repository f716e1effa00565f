"""Checks of encoders and generators: frozen, repeatable, movable, and independent rows."""

from __future__ import annotations

import copy
import pickle

import torch
from torch import Tensor, nn

from faceinv.testing.checks import CheckFailed, NotApplicable, check, require
from faceinv.testing.subjects import Subject
from faceinv.testing.watch import untouched

_BOTH = ("encoder", "generator")

#: Relative difference that a different order of float32 sums explains; real errors are far larger.
TOLERANCE = 2e-3


def inputs(subject: Subject) -> Tensor:
    """Return two inputs: faces for an encoder, latents of the first space for a generator."""
    if subject.kind == "encoder":
        return subject.faces
    space = subject.spec.spaces[0]
    latents: Tensor = subject.built.sample(2, space, torch.Generator().manual_seed(0))
    return latents


def apply(subject: Subject, network: nn.Module, given: Tensor) -> Tensor:
    """Return the output of ``network`` for ``given``, without gradients."""
    with torch.no_grad():
        made: Tensor = network(given) if subject.kind == "encoder" else network(given, subject.spec.spaces[0])
    if not isinstance(made, Tensor):
        raise CheckFailed(f"{subject} returns a {type(made).__name__}; expected a tensor.")
    return made


def reference(subject: Subject) -> Tensor:
    """Return the object's output for :func:`inputs`, computed once."""
    return subject.once("reference", lambda: apply(subject, subject.built, inputs(subject)))


def difference(a: Tensor, b: Tensor) -> float:
    """Return the largest difference of ``a`` and ``b`` relative to the largest value of ``b``; infinity for NaN."""
    scale = b.double().abs().amax().clamp_min(1e-12)
    return float(((a.double() - b.double()).abs().amax() / scale).nan_to_num(nan=float("inf")))


@check(*_BOTH, fix="Return an nn.Module from the factory; wrap a function in a module.")
def is_a_module(subject: Subject) -> None:
    """The factory returns an nn.Module."""
    require(isinstance(subject.built, nn.Module), f"{subject}: the factory returns a {type(subject.built).__name__}.")


@check(*_BOTH, fix="Use no batch statistics: keep normalisation layers in eval mode, and do not mix rows.")
def batch_of_one_equals_a_slice(subject: Subject) -> None:
    """A row alone has the same output as in a batch."""
    alone = apply(subject, subject.built, inputs(subject)[1:2])
    off = difference(alone, reference(subject)[1:2])
    require(off < TOLERANCE, f"{subject}: a row alone differs from the same row in a batch by {off:.2g} of its size.")


@check(*_BOTH, fix="Use no batch statistics, and nothing that depends on a row's position in the batch.")
def order_of_the_batch_does_not_matter(subject: Subject) -> None:
    """Reordering the rows reorders the outputs and does not change them."""
    order = [1, 0]
    off = difference(apply(subject, subject.built, inputs(subject)[order]), reference(subject)[order])
    require(off < TOLERANCE, f"{subject}: reordered rows differ by {off:.2g} of their size.")


@check(*_BOTH, fix="Draw nothing at random in forward(): no dropout, no noise, no augmentation.")
def same_input_gives_the_same_output(subject: Subject) -> None:
    """The same input gives the same output, also from a newly built object."""
    again = apply(subject, subject.built, inputs(subject))
    off = difference(again, reference(subject))
    require(off < 1e-5, f"{subject}: a second pass differs by {off:.2g} of the output's size.")
    off = difference(apply(subject, subject.rebuilt, inputs(subject)), reference(subject))
    require(off < 1e-5, f"{subject}: a new one differs by {off:.2g} of the output's size; seed initial weights.")


@check(*_BOTH, fix="Draw from your own torch.Generator, and set no global flag in forward().")
def running_touches_no_global_state(subject: Subject) -> None:
    """A forward pass does not change random states, grad mode, thread count or default dtype."""
    given = inputs(subject)[:1]
    with untouched(f"Running {subject}"):
        subject.built(given) if subject.kind == "encoder" else subject.built(given, subject.spec.spaces[0])


@check(*_BOTH, fix="Work on a copy: no in-place operation on the argument of forward().")
def input_is_left_alone(subject: Subject) -> None:
    """A forward pass does not modify its input."""
    given = inputs(subject)[:1].clone()
    apply(subject, subject.built, given)
    require(torch.equal(given, inputs(subject)[:1]), f"{subject} modifies its input.")


@check(*_BOTH, fix="Do not change training mode or running statistics in forward(); do not override train() or eval().")
def stays_frozen(subject: Subject) -> None:
    """In a run it is in eval mode, no parameter requires gradients, and a forward pass changes no buffer."""
    network = subject.rebuilt
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    apply(subject, network, inputs(subject)[:1])
    training = [name or "itself" for name, module in network.named_modules() if module.training]
    require(not training, f"{subject} has modules in training mode: {', '.join(training[:3])}.")
    requiring = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    require(not requiring, f"{subject} has parameters that require gradients: {', '.join(requiring[:3])}.")
    changed = [name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])]
    require(not changed, f"{subject}: a forward pass changes {', '.join(changed[:3])}.")


@check(
    *_BOTH,
    fix="Keep all that determines the output in parameters or buffers, and cache nothing derived from them.",
)
def state_dict_round_trip(subject: Subject) -> None:
    """The state dict holds all weights: erasing it changes the output, loading it restores the output."""
    state = {name: tensor.clone() for name, tensor in subject.built.state_dict().items()}
    if not state:
        raise NotApplicable("it has neither parameters nor buffers")
    other = copy.deepcopy(subject.built)
    with torch.no_grad():
        for tensor in other.state_dict().values():
            tensor.zero_()
    given, known = inputs(subject)[:1], reference(subject)[:1]
    erased = difference(apply(subject, other, given), known)
    require(
        erased > TOLERANCE,
        f"{subject} gives the same output with an erased state dict: its weights are elsewhere.",
    )
    other.load_state_dict(state)
    off = difference(apply(subject, other, given), known)
    require(
        off < TOLERANCE, f"{subject}: with its own state dict loaded, it differs by {off:.2g} of the output's size."
    )


@check(*_BOTH, fix="Register constant tensors with register_buffer(), and create new ones on the input's device.")
def moves_between_devices(subject: Subject) -> None:
    """It works after being moved to another device: torch's meta device, and a GPU if there is one."""
    devices = ["meta", *(["cuda"] if torch.cuda.is_available() else [])]
    for device in devices:
        network = copy.deepcopy(subject.built).to(device)
        try:
            made = apply(subject, network, inputs(subject)[:2].to(device))
        except NotImplementedError:
            continue  # an operation whose shape depends on values
        except RuntimeError as error:
            if device == "meta" and "device" not in str(error):
                continue  # the meta device lacks an operation; only errors about devices matter here
            raise CheckFailed(f"{subject} does not work on the device {device}: {error}") from error
        require(made.device.type == device, f"{subject}: moved to {device}, its output is on {made.device.type}.")


@check(*_BOTH, fix="Take the dtype from the input or the parameters instead of a literal torch.float32.")
def moves_between_dtypes(subject: Subject) -> None:
    """In float64 it works, returns float64, and agrees with float32."""
    network = copy.deepcopy(subject.built).double()
    made = apply(subject, network, inputs(subject)[:1].double())
    require(made.dtype == torch.float64, f"{subject} returns {made.dtype} when it and its input are float64.")
    off = difference(made, reference(subject)[:1])
    require(off < 10 * TOLERANCE, f"{subject}: float64 differs from float32 by {off:.2g} of the output's size.")


@check(*_BOTH, fix="Keep no lambda, open file or local class in the module; define functions at module level.")
def pickles(subject: Subject) -> None:
    """It can be pickled, and so sent to another process."""
    try:
        other = pickle.loads(pickle.dumps(subject.built))  # noqa: S301  (its own pickle)
    except Exception as error:
        raise CheckFailed(f"{subject} cannot be pickled: {error}") from error
    off = difference(apply(subject, other, inputs(subject)[:1]), reference(subject)[:1])
    require(off < TOLERANCE, f"{subject}: after unpickling it differs by {off:.2g} of the output's size.")
