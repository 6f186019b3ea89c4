"""The Merkle tree of RFC 9162, section 2.1, as it grows: its head, and proofs out of stored hashes. Pure.

A hash that is asked for is that of a *whole* subtree: `Hashes(level, place)` covers the leaves
`[place * 2**level, (place + 1) * 2**level)`. All other hashes follow from those.
"""

from collections.abc import Callable, Iterable
from hashlib import sha256
from operator import add
from typing import Final

from preklic_workers.ledger.verify import node_hash

Hashes = Callable[[int, int], bytes]
"""Gives the hash (32 octets) of the whole subtree of this height at this place."""
EMPTY: Final = sha256(b"").digest()
"""The head of a tree without leaves."""


class Edge:
    """The right edge of a growing tree: the whole subtrees that its leaves fall into, the largest first.

    That is all that a next leaf and the head need: at most 64 hashes.
    """

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        self.size = size
        self._stack = list(hashes)
        if len(self._stack) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} hashes at its edge")

    @classmethod
    def of(cls, size: int, hashes: Hashes) -> "Edge":
        """The edge of a tree that is stored."""
        return cls(size, [hashes(level, place) for level, place in _whole(0, size)])

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """The subtrees, the largest first."""
        return tuple(self._stack)

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Put the hashes of the next leaves on, level by level."""
        row, left = list(leaves), self.size
        self.size += len(row)
        alone: list[bytes] = []  # those of each level that wait for a neighbour, the smallest first
        while row:
            if left & 1:
                row.insert(0, self._stack.pop())
            if len(row) & 1:
                alone.append(row.pop())
            row = hashed(b"\x01", map(add, row[::2], row[1::2]))  # `node_hash` of each pair
            left >>= 1
        self._stack += reversed(alone)

    def root(self) -> bytes:
        """The head of the tree as it is now."""
        if not self._stack:
            return EMPTY
        *above, head = self._stack
        for left in reversed(above):
            head = node_hash(left, head)
        return head


def hashed(begin: bytes, parts: Iterable[bytes]) -> list[bytes]:
    """SHA-256 (32 octets) of each of these behind the same beginning: copying a begun hash is cheaper."""
    begun, found = sha256(begin), []
    for part in parts:
        one = begun.copy()
        one.update(part)
        found.append(one.digest())
    return found


def inclusion(place: int, size: int, hashes: Hashes) -> list[bytes]:
    """The proof that the leaf at `place` is in the tree of `size` leaves, from its neighbour up (RFC 9162, 2.1.3.1)."""
    if not 0 <= place < size:
        raise ValueError(f"a tree of {size} leaves has no place {place}")
    proof, start, end = [], 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if place < middle:
            proof.append(_head(middle, end, hashes))
            end = middle
        else:
            proof.append(_head(start, middle, hashes))
            start = middle
    return proof[::-1]


def consistency(old: int, size: int, hashes: Hashes) -> list[bytes]:
    """The proof that the tree of `old` leaves is the beginning of the one of `size` (RFC 9162, 2.1.4.1)."""
    if not 0 < old <= size:
        raise ValueError(f"no tree of {size} leaves grew out of one of {old}")
    proof, start, end, known = [], 0, size, True
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            proof.append(_head(middle, end, hashes))
            end = middle
        else:
            proof.append(_head(start, middle, hashes))
            start, known = middle, False
    return ([] if known else [_head(start, end, hashes)]) + proof[::-1]


def _head(start: int, end: int, hashes: Hashes) -> bytes:
    """The hash over the leaves `[start, end)`, a node of the tree."""
    *above, head = [hashes(level, place) for level, place in _whole(start, end)]
    for left in reversed(above):
        head = node_hash(left, head)
    return head


def _whole(start: int, end: int) -> list[tuple[int, int]]:
    """The whole subtrees that `[start, end)` falls into, the largest first; `start` is a multiple of the first."""
    found = []
    while start < end:
        level = (end - start).bit_length() - 1
        found.append((level, start >> level))
        start += 1 << level
    return found


def _split(count: int) -> int:
    """The largest power of two below `count`."""
    return 1 << ((count - 1).bit_length() - 1)
