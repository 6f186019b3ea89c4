"""What proofs are made of: one reading of the leaves' hashes, of which little stays in memory. Pure."""

from collections.abc import Collection, Iterable
from typing import Final

from preklic_workers.ledger.tree import Edge, consistency, inclusion
from preklic_workers.ledger.verify import node_hash

_LEVEL: Final = 8  # whole subtrees of 256 leaves stay as one hash


class Chart:
    """The hashes that the proofs of some leaves need: 32 octets for 256 leaves, and those leaves' own blocks."""

    def __init__(self, size: int, places: Collection[int]) -> None:
        self.size = size
        self._wanted = {place >> _LEVEL for place in (*places, size)}
        self._blocks: dict[int, list[bytes]] = {}
        self._whole: list[bytes] = []
        self._block: list[bytes] = []

    def read(self, hashes: Iterable[bytes]) -> None:
        """The next leaves' hashes, in order; what is behind `size` does not count."""
        for one in hashes:
            if len(self._whole) << _LEVEL | len(self._block) >= self.size:
                return
            self._block.append(one)
            if len(self._block) == 1 << _LEVEL:
                self._close()

    def proof(self, place: int, size: int) -> list[bytes]:
        """The proof that the leaf is in the tree of `size` leaves: this one, or one of the places; all must be read."""
        self._end()
        return inclusion(place, size, self._hash)

    def growth(self, old: int) -> list[bytes]:
        """The proof that the tree of `old` leaves, one of the places, is the beginning of this one."""
        self._end()
        return consistency(old, self.size, self._hash)

    def _end(self) -> None:
        if self._block:
            self._blocks[len(self._whole)] = self._block

    def _close(self) -> None:
        number, edge = len(self._whole), Edge()
        edge.extend(self._block)
        self._whole.append(edge.root())
        if number in self._wanted:
            self._blocks[number] = self._block
        self._block = []

    def _hash(self, level: int, place: int) -> bytes:
        if level == _LEVEL:
            return self._whole[place]
        if level > _LEVEL:
            return node_hash(self._hash(level - 1, place * 2), self._hash(level - 1, place * 2 + 1))
        start, edge = place << level, Edge()
        first = start & ((1 << _LEVEL) - 1)
        edge.extend(self._blocks[start >> _LEVEL][first : first + (1 << level)])
        return edge.root()
