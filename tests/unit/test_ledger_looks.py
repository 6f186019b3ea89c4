"""Leaves that are looked at all at once are judged as those that are looked at one by one."""

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from preklic_workers.ledger import auditing
from preklic_workers.ledger.auditing import State
from preklic_workers.ledger.runs import Run
from preklic_workers.ledger.tree import hashed
from preklic_workers.ledger.verify import canonical, leaf_hash, node_hash

NOW = dt.datetime(2026, 11, 28, tzinfo=dt.UTC)
START = 7


def leaf(at: int, kind: str) -> bytes:
    return canonical({"at": at, "commitment": "A" * 43 + "=", "id": "0f" * 16, "kind": kind, "v": 1})


ATS = st.sampled_from([0, 1, 5, 10, 100, 10**14, 10**15, 2**53 - 1])
GOOD = st.builds(leaf, ATS, st.sampled_from(["message.sent", "grant", "_"]))
FORMS = st.sampled_from([b"\n", b" ", b'"', b"{", b"}\n{", b"0", b"A", b"\x00", b""])


@st.composite
def bent(draw):
    """A leaf with something put in, or with an octet taken out."""
    octets = draw(GOOD)
    place = draw(st.integers(0, len(octets)))
    return octets[:place] + draw(FORMS) + octets[place + draw(st.integers(0, 1)) :]


def judged(state: State) -> tuple[int, str | None]:
    return state.at, state.suspect


@given(st.one_of(st.lists(GOOD, min_size=1), st.lists(st.one_of(GOOD, bent()), min_size=1)), ATS)
def test_all_at_once_and_one_by_one_find_the_same(leaves, at):
    once, each = State(at=at), State(at=at)
    auditing._look_at_all(once, Run(START, leaves, (), (), NOW, (), (), ()))
    for place, octets in enumerate(leaves, START):
        auditing._look(each, octets, place)
    assert judged(once) == judged(each)


@given(ATS, st.integers(1, 5), bent(), st.integers(0, 5))
def test_one_that_is_bent_is_found_among_those_that_are_alike(at, count, odd, place):
    leaves = [leaf(at, "grant")] * count
    leaves.insert(place, odd)
    once, each = State(), State()
    auditing._look_at_all(once, Run(START, leaves, (), (), NOW, (), (), ()))
    for number, octets in enumerate(leaves, START):
        auditing._look(each, octets, number)
    assert judged(once) == judged(each)


@given(st.lists(st.binary(max_size=300)))
def test_many_hashes_are_those_that_a_bundle_is_verified_by(parts):
    assert hashed(b"\x00", parts) == [leaf_hash(part) for part in parts]
    assert hashed(b"\x01", (part + part for part in parts)) == [node_hash(part, part) for part in parts]
