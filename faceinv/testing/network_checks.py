"""Checks that encoders and generators share: frozen, repeatable, movable, each row by itself."""

from __future__ import annotations

import copy
import pickle

import torch
from torch import Tensor, nn

from faceinv.testing.checks import CheckFailed, NotApplicable, check, require
from faceinv.testing.subjects import Subject
from faceinv.testing.watch import untouched

_BOTH = ("encoder", "generator")

#: Relative difference that float32 sums taken in another order explain; anything wrong is far larger.
TOLERANCE = 2e-3


def inputs(subject: Subject) -> Tensor:
    """Return two inputs: faces for an encoder, latents of its first space for a generator."""
    if subject.kind == "encoder":
        return subject.faces
    space = subject.spec.spaces[0]
    latents: Tensor = subject.built.sample(2, space, torch.Generator().manual_seed(0))
    return latents


def apply(subject: Subject, network: nn.Module, given: Tensor) -> Tensor:
    """Return what ``network`` makes of ``given``, without a gradient."""
    with torch.no_grad():
        made: Tensor = network(given) if subject.kind == "encoder" else network(given, subject.spec.spaces[0])
    if not isinstance(made, Tensor):
        raise CheckFailed(f"{subject} returns a {type(made).__name__} where a tensor is due.")
    return made


def reference(subject: Subject) -> Tensor:
    """Return what the object makes of :func:`inputs`, computed once."""
    return subject.once("reference", lambda: apply(subject, subject.built, inputs(subject)))


def difference(a: Tensor, b: Tensor) -> float:
    """Return the largest difference of ``a`` and ``b`` relative to the size of ``b``; infinity for NaN."""
    scale = b.double().abs().amax().clamp_min(1e-12)
    return float(((a.double() - b.double()).abs().amax() / scale).nan_to_num(nan=float("inf")))


@check(*_BOTH, fix="Return an nn.Module from the factory; wrap a function in a module.")
def is_a_module(subject: Subject) -> None:
    """The factory returns an nn.Module."""
    require(isinstance(subject.built, nn.Module), f"{subject}: the factory returns a {type(subject.built).__name__}.")


@check(*_BOTH, fix="Use no statistics of the batch: keep normalisation layers in eval mode, and mix no rows.")
def batch_of_one_equals_a_slice(subject: Subject) -> None:
    """A row alone gives what it gives in a batch."""
    alone = apply(subject, subject.built, inputs(subject)[1:2])
    off = difference(alone, reference(subject)[1:2])
    require(off < TOLERANCE, f"{subject}: a row alone differs from the same row in a batch by {off:.2g} of its size.")


@check(*_BOTH, fix="Use no statistics of the batch, and nothing that depends on a row's place in it.")
def order_of_the_batch_does_not_matter(subject: Subject) -> None:
    """Rows in another order give the same results in that order."""
    order = [1, 0]
    off = difference(apply(subject, subject.built, inputs(subject)[order]), reference(subject)[order])
    require(off < TOLERANCE, f"{subject}: in another order the rows differ by {off:.2g} of their size.")


@check(*_BOTH, fix="Draw nothing at random in forward(): no dropout, no noise, no augmentation.")
def same_input_gives_the_same_output(subject: Subject) -> None:
    """The same input gives the same output, from one object and from one built anew."""
    again = apply(subject, subject.built, inputs(subject))
    off = difference(again, reference(subject))
    require(off < 1e-5, f"{subject}: a second pass differs by {off:.2g} of the output's size.")
    off = difference(apply(subject, subject.rebuilt, inputs(subject)), reference(subject))
    require(off < 1e-5, f"{subject}: built anew, it differs by {off:.2g} of the output's size; seed initial weights.")


@check(*_BOTH, fix="Draw from a torch.Generator of your own, and set no global flag in forward().")
def running_touches_no_global_state(subject: Subject) -> None:
    """A pass leaves random states, grad mode, thread count and default dtype as they were."""
    given = inputs(subject)[:1]
    with untouched(f"Running {subject}"):
        subject.built(given) if subject.kind == "encoder" else subject.built(given, subject.spec.spaces[0])


@check(*_BOTH, fix="Work on a copy: no in-place operation on what forward() was given.")
def input_is_left_alone(subject: Subject) -> None:
    """A pass does not change the tensor that it was given."""
    given = inputs(subject)[:1].clone()
    apply(subject, subject.built, given)
    require(torch.equal(given, inputs(subject)[:1]), f"{subject} writes into the tensor that it is given.")


@check(
    *_BOTH, fix="Leave training mode and running statistics alone in forward(); override neither train() nor eval()."
)
def stays_frozen(subject: Subject) -> None:
    """In a run it is in eval mode, no parameter asks for a gradient, and a pass changes no buffer."""
    network = subject.rebuilt
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    apply(subject, network, inputs(subject)[:1])
    training = [name or "itself" for name, module in network.named_modules() if module.training]
    require(not training, f"{subject} has modules in training mode: {', '.join(training[:3])}.")
    asking = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    require(not asking, f"{subject} has parameters that ask for gradients: {', '.join(asking[:3])}.")
    changed = [name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])]
    require(not changed, f"{subject}: a pass changes {', '.join(changed[:3])}.")


@check(
    *_BOTH, fix="Keep every number that decides the output in a parameter or buffer, and cache nothing made of them."
)
def state_dict_round_trip(subject: Subject) -> None:
    """The state dict holds all that was learned: erased, the output is another; loaded again, it is back."""
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
        erased > TOLERANCE, f"{subject} gives the same output with an erased state dict: its weights are elsewhere."
    )
    other.load_state_dict(state)
    off = difference(apply(subject, other, given), known)
    require(
        off < TOLERANCE, f"{subject}: with its own state dict loaded, it differs by {off:.2g} of the output's size."
    )


@check(*_BOTH, fix="Register constant tensors with register_buffer(), and make new ones on the input's device.")
def moves_between_devices(subject: Subject) -> None:
    """Moved to another device, it works there: torch's meta device always, a GPU where there is one."""
    devices = ["meta", *(["cuda"] if torch.cuda.is_available() else [])]
    for device in devices:
        network = copy.deepcopy(subject.built).to(device)
        try:
            made = apply(subject, network, inputs(subject)[:2].to(device))
        except NotImplementedError:
            continue  # an operation that has no shapes without values
        except RuntimeError as error:
            if device == "meta" and "device" not in str(error):
                continue  # the meta device lacks something; what it is asked here is where tensors are
            raise CheckFailed(f"{subject} does not work on the device {device}: {error}") from error
        require(made.device.type == device, f"{subject}: moved to {device}, its output is on {made.device.type}.")


@check(*_BOTH, fix="Take the dtype from the input or the parameters, not from a literal torch.float32.")
def moves_between_dtypes(subject: Subject) -> None:
    """In float64 it works, answers in float64, and says what it says in float32."""
    network = copy.deepcopy(subject.built).double()
    made = apply(subject, network, inputs(subject)[:1].double())
    require(made.dtype == torch.float64, f"{subject} answers in {made.dtype} when it and its input are float64.")
    off = difference(made, reference(subject)[:1])
    require(off < 10 * TOLERANCE, f"{subject}: float64 differs from float32 by {off:.2g} of the output's size.")


@check(*_BOTH, fix="Keep no lambda, open file or local class in the module; define functions at module level.")
def pickles(subject: Subject) -> None:
    """It can be sent to another process."""
    try:
        other = pickle.loads(pickle.dumps(subject.built))  # noqa: S301  (its own pickle, made a moment ago)
    except Exception as error:
        raise CheckFailed(f"{subject} cannot be pickled: {error}") from error
    off = difference(apply(subject, other, inputs(subject)[:1]), reference(subject)[:1])
    require(off < TOLERANCE, f"{subject}: unpickled, it differs by {off:.2g} of the output's size.")
