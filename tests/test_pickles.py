"""The reader of pickles: the opcodes it supports, and that nothing is executed."""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from typing import Any

import pytest

from faceinv.errors import WeightsError
from faceinv.weights import Budget, ignore, interpret
from faceinv.weights.formats.pickle import Stateful, encode_latin1

BUILDERS = {
    "collections.OrderedDict": lambda *pairs: dict(*pairs),
    "inert.Thing": ignore,
}


def read(data: bytes, builders: Any = BUILDERS, **options: Any) -> Any:
    return interpret(io.BytesIO(data), builders, budget=Budget.of(len(data)), **options)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_come_through(protocol: int) -> None:
    value = {"a": [1, 2.5, None, True], "b": ("x", b"\xff"), "c": {"d": 10**30}, "e": {1, 2}, "f": [], "g": ()}
    builders = {"_codecs.encode": encode_latin1, "builtins.set": list, "__builtin__.set": list}
    # A set would hash its items, so it is read as a list.
    assert read(pickle.dumps(value, protocol), builders) == value | {"e": [1, 2]}


def test_strings_of_python_2_are_latin_1() -> None:
    assert read(b"S'a\\xe9\\n'\np0\n.") == "aé\n"
    assert read(b"\x80\x02U\x01\xe9.") == "é"


def test_a_builder_answers_for_its_global() -> None:
    found = read(pickle.dumps(OrderedDict(a=1)))
    assert found == {"a": 1}
    assert type(found) is dict


def test_a_state_is_set_only_on_stateful_objects() -> None:
    class Kept(Stateful):
        def set_state(self, state: Any) -> None:
            self.state = state

    assert read(b"\x80\x02cmine\nKept\n)RK\x07b.", {"mine.Kept": Kept}).state == 7
    assert read(b"\x80\x02}N}U\x05_callK\x01s\x86b.") == {}


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"cos\nsystem\n(S'true'\ntR.", "os.system"),
        (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.", "builtins.eval"),
        (b"cnumpy\nndarray.tofile\n.", "numpy.ndarray.tofile"),
        (b"\x80\x04\x8c\x0bcollections\x8c\x15OrderedDict.__class__\x93.", "OrderedDict.__class__"),
        (b"(S'true'\nios\nsystem\n.", "os.system"),
        (b"ccollections\nOrderedDicts\n.", "OrderedDicts"),
    ],
)
def test_other_globals_are_refused_by_name(data: bytes, named: str) -> None:
    with pytest.raises(WeightsError, match="never run") as caught:
        read(data)
    assert named in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"cinert\nThing\n}S'_call'\nI1\nsb.",  # sets the state of a global
        b"\x80\x02K\x01)R.",  # calls a number
        b"\x80\x02cinert\nThing\nK\x01R.",  # arguments that are not a tuple
        b"\x80\x02}K\x01K\x02\x86K\x03s.",  # a tuple as a key
        b"\x80\x02}\x8a\x20" + b"\x7f" * 32 + b"K\x03s.",  # a giant number as a key
        b"\x80\x02\x82\x01.",  # an extension code
        b"\x80\x02U\x01xQ.",  # a persistent id
        b"\x80\x02h\x07.",  # a memo entry that was never set
        b"\x80\x02(.",  # a mark as a value
        b"\x80\x02t.",  # a tuple without a mark
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7fabc.",  # bytes of 8 EiB
        b"\x80\x02]" + b"]a" * 3,  # no end
        b"\x80",
        b"\xff.",
        b"",
    ],
)
def test_anything_else_ends_in_one_line(data: bytes) -> None:
    with pytest.raises(WeightsError) as caught:
        read(data)
    assert "\n" not in str(caught.value)


def test_lengths_and_indices_take_no_memory() -> None:
    assert read(b"\x80\x02}r\xff\xff\xff\x7f.") == {}  # a memo of 16 GiB
    assert read(b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7fN.") is None  # a frame of 8 EiB


def test_a_large_object_is_not_passed_many_times() -> None:
    data = b"\x80\x02c_codecs\nencode\nq\x01X" + (1 << 20).to_bytes(4, "little") + b"x" * (1 << 20) + b"q\x00"
    again = b"h\x01h\x00\x85R"
    assert len(read(data + again + b".", {"_codecs.encode": encode_latin1})) == 1 << 20
    with pytest.raises(WeightsError, match="expands to more"):
        read(data + again * 3 + b".", {"_codecs.encode": encode_latin1})


def test_steps_are_counted_over_all_pickles_of_a_file() -> None:
    budget = Budget(steps=10, handed=100, read=0)
    for _ in range(3):
        interpret(io.BytesIO(b"\x80\x02N."), {}, budget=budget)
    with pytest.raises(WeightsError, match="steps"):
        interpret(io.BytesIO(b"\x80\x02N."), {}, budget=budget)


def test_persistent_ids_go_to_the_caller() -> None:
    assert read(b"\x80\x02U\x01xQ.", persistent=lambda pid: [pid]) == ["x"]
    assert read(b"Px\n.", persistent=lambda pid: [pid]) == ["x"]
