"""What a witness is asked (C2SP tlog-witness, add-checkpoint). Pure. What it answers is read in `witnessed`.

The proof that a tree grew out of an older one needs the older one's edge and the leaves since, nothing else.
"""

import base64
from collections.abc import Sequence

from preklic_workers.ledger.tree import Edge, consistency


def growth(old: int, edge: Sequence[bytes], since: Sequence[bytes]) -> list[bytes]:
    """The proof that the tree of `old` leaves with this edge is the beginning of the one with the leaves `since`, too.

    `since`: the hashes of the leaves behind the old ones. Empty for an old tree without leaves (and for the same tree).
    """
    if old == 0 or not since:
        return []
    kept, start = {}, 0
    for one, level in zip(edge, [level for level in range(63, -1, -1) if old >> level & 1], strict=True):
        kept[level, start >> level] = one
        start += 1 << level

    def whole(level: int, place: int) -> bytes:
        found = kept.get((level, place))
        if found is None:
            first, grown = (place << level) - old, Edge()
            grown.extend(since[first : first + (1 << level)])
            found = grown.root()
        return found

    return consistency(old, old + len(since), whole)


def submission(old: int, proof: Sequence[bytes], note: str) -> bytes:
    """The body of add-checkpoint."""
    lines = [f"old {old}", *(base64.b64encode(one).decode() for one in proof)]
    return ("\n".join(lines) + "\n\n" + note).encode()


def latest_size(octets: bytes) -> int | None:
    """The size of the last head that a witness knows, as its 409 says it; None when it says nothing of the kind."""
    text = octets.decode("ascii", "replace").removesuffix("\n")
    plain = text.isascii() and text.isdigit() and len(text) < 17 and str(int(text)) == text
    return int(text) if plain else None
