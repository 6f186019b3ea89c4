"""The ledger's tree beside an implementation of RFC 9162 that is not ours, and what `verify` finds."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from preklic_workers.ledger import verify
from preklic_workers.ledger.chart import Chart
from preklic_workers.ledger.tree import EMPTY, Edge, consistency, inclusion
from preklic_workers.ledger.verify import Altered, Head, leaf_hash

MOST = 300


class Grown:
    """A tree of `count` leaves, its whole subtrees by level and place, and each head on the way."""

    def __init__(self, count: int) -> None:
        self.leaves = [f"leaf {number}".encode() for number in range(count)]
        self.subtrees: dict[tuple[int, int], bytes] = {}
        self.roots = [EMPTY]
        edge = Edge()
        for leaf in self.leaves:
            edge.extend([leaf_hash(leaf)])
            self.roots.append(edge.root())

    def hashes(self, level: int, place: int) -> bytes:
        if (level, place) not in self.subtrees:
            edge = Edge()
            edge.extend(map(leaf_hash, self.leaves[place << level : place + 1 << level]))
            assert edge.size == 1 << level  # whole ones alone are asked for
            self.subtrees[level, place] = edge.root()
        return self.subtrees[level, place]


TREE = Grown(MOST)


@pytest.fixture(scope="module")
def other():
    """The same tree by somebody else."""
    tree = InmemoryTree(algorithm="sha256")
    tree.append_entries(TREE.leaves)
    return tree


def test_each_head_is_the_one_of_another_implementation(other):
    assert TREE.roots[0] == hashlib.sha256(b"").digest()
    assert [other.get_root(size) for size in range(1, MOST + 1)] == TREE.roots[1:]


@given(st.data())
def test_inclusion_is_proved_alike_and_verifies(other, data):
    size = data.draw(st.integers(1, MOST))
    place = data.draw(st.integers(0, size - 1))
    proof = inclusion(place, size, TREE.hashes)
    base = leaf_hash(TREE.leaves[place])
    theirs = other.prove_inclusion(place + 1, size)
    assert proof == theirs.path[1:]
    assert theirs.path[0] == base
    assert verify.root_by_inclusion(base, place, size, proof) == TREE.roots[size]


@given(st.data())
def test_growth_is_proved_and_verifies(other, data):
    size = data.draw(st.integers(1, MOST))
    old = data.draw(st.integers(1, size))
    proof = consistency(old, size, TREE.hashes)
    verify.check_consistency(Head("x", old, TREE.roots[old]), Head("x", size, TREE.roots[size]), proof)


@given(st.data())
def test_an_altered_proof_leaf_or_place_is_found(data):
    size = data.draw(st.integers(2, MOST))
    place = data.draw(st.integers(0, size - 1))
    proof = inclusion(place, size, TREE.hashes)
    number, bit = data.draw(st.integers(0, len(proof) - 1)), data.draw(st.integers(0, 255))
    flipped = (int.from_bytes(proof[number], "big") ^ 1 << bit).to_bytes(32, "big")
    altered = [*proof[:number], flipped, *proof[number + 1 :]]
    base = leaf_hash(TREE.leaves[place])
    for leaf, where, those in [(base, place, altered), (leaf_hash(b"x"), place, proof), (base, place ^ 1, proof)]:
        try:
            assert verify.root_by_inclusion(leaf, where, size, those) != TREE.roots[size]
        except Altered:
            assert where >= size or len(those) == len(proof)


@given(st.data())
def test_a_fork_is_found(data):
    size = data.draw(st.integers(2, MOST))
    old = data.draw(st.integers(1, size))
    proof = consistency(old, size, TREE.hashes)
    here, there = Head("x", old, TREE.roots[old]), Head("x", size, TREE.roots[size])
    wrong = leaf_hash(b"another")
    for one, two, those in [
        (here._replace(root=wrong), there, proof),
        (here, there._replace(root=wrong), proof),
        (here, there, [*proof, wrong]),
        (there, here, proof) if old < size else (here._replace(root=wrong), there, proof),
    ]:
        with pytest.raises(Altered, match="checkpoints of"):
            verify.check_consistency(one, two, those)


@given(st.integers(0, MOST))
def test_an_edge_goes_on_where_it_was_stored(size):
    edge = Edge.of(size, TREE.hashes)
    assert edge.root() == TREE.roots[size]
    edge.extend(map(leaf_hash, TREE.leaves[size : size + 9]))
    assert edge.root() == TREE.roots[min(MOST, size + 9)]


@given(st.lists(st.integers(0, 70), max_size=8))
def test_leaves_put_on_by_runs_of_any_length_give_the_same_tree(runs):
    edge = Edge()
    for count in runs:
        edge.extend(map(leaf_hash, TREE.leaves[edge.size : edge.size + count]))
        assert edge.root() == TREE.roots[edge.size]
        assert edge.hashes == Edge.of(edge.size, TREE.hashes).hashes


def test_places_that_are_not_there_are_refused():
    with pytest.raises(ValueError, match="no place"):
        inclusion(5, 5, TREE.hashes)
    with pytest.raises(ValueError, match="grew out of"):
        consistency(6, 5, TREE.hashes)
    with pytest.raises(ValueError, match="at its edge"):
        Edge(3, [EMPTY])
    with pytest.raises(Altered, match="no such place"):
        verify.root_by_inclusion(EMPTY, 5, 5, [])


@given(st.data())
def test_one_reading_gives_the_proofs_under_two_heads_and_that_one_grew_into_the_other(data):
    first = data.draw(st.integers(1, MOST))
    last, place = data.draw(st.integers(first, MOST)), data.draw(st.integers(0, first - 1))
    chart = Chart(last, (place, first, last))
    chart.read(map(leaf_hash, TREE.leaves))
    for size in (first, last):
        assert chart.proof(place, size) == inclusion(place, size, TREE.hashes)
    assert chart.growth(first) == consistency(first, last, TREE.hashes)
