"""The restricted unpickler: what it lets through, and that nothing else happens."""

from __future__ import annotations

import pickle
from collections import OrderedDict

import pytest

from faceinv.errors import WeightsError
from faceinv.pickles import StandIn, read_pickle

ALLOWED = {
    "collections.OrderedDict": StandIn("OrderedDict", lambda *pairs: dict(*pairs)),
    "inert.Thing": StandIn("inert.Thing"),
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_come_through(protocol: int) -> None:
    value = {"a": [1, 2.5, None, True], "b": ("x", b"\xff"), "c": {"d": 10**30}, "e": {1, 2}}
    allowed = ALLOWED | {
        "_codecs.encode": StandIn("encode", lambda text, encoding: text.encode(encoding)),
        "builtins.set": StandIn("set", set),
        "__builtin__.set": StandIn("set", set),
    }
    assert read_pickle(pickle.dumps(value, protocol), allowed, source="x") == value


def test_a_stand_in_answers_for_its_global() -> None:
    read = read_pickle(pickle.dumps(OrderedDict(a=1)), ALLOWED, source="x")
    assert read == {"a": 1}
    assert type(read) is dict


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
        read_pickle(data, ALLOWED, source="FILE")
    assert named in str(caught.value)
    assert str(caught.value).startswith("FILE")


@pytest.mark.parametrize(
    "data",
    [
        b"cinert\nThing\n(tR.",  # calls what may only be mentioned
        b"cinert\nThing\n}S'_call'\nI1\nsb.",  # sets its state
        b"\x80\x02cinert\nThing\nN}U\x05_callK\x01s\x86b.",  # sets its slots
        b"\x80\x02cinert\nThing\n)\x81.",  # makes an instance of it
        b"\x80\x02\x82\x01.",  # an extension code
        b"\x80\x02U\x01xQ.",  # a persistent id
        b"\x80\x02}r\xff\xff\xff\x7f.",  # a memo of 16 GiB
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7fabc.",  # bytes of 8 EiB
        b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7fN.",  # a frame of 8 EiB
        b"\x80\x02]" + b"]a" * 3,  # no end
        b"\x80\xff.",
        b"",
    ],
)
def test_anything_else_ends_in_one_line(data: bytes) -> None:
    with pytest.raises(WeightsError) as caught:
        read_pickle(data, ALLOWED, source="FILE")
    assert str(caught.value).startswith("FILE cannot be read as a pickle: ")
    assert "\n" not in str(caught.value)


def test_no_file_changes_a_stand_in() -> None:
    with pytest.raises(WeightsError, match="sets an attribute"):
        read_pickle(b"\x80\x02ccollections\nOrderedDict\nN}U\x05_callK\x01s\x86b.", ALLOWED, source="x")
    assert read_pickle(pickle.dumps(OrderedDict(a=1)), ALLOWED, source="x") == {"a": 1}


def test_persistent_ids_go_to_the_caller() -> None:
    assert read_pickle(b"\x80\x02U\x01xQ.", {}, source="x", persistent=lambda pid: [pid]) == ["x"]
