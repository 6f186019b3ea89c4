"""Many documents changed by few statements: what the members of a group have in common is said once.

A statement for each document costs MongoDB half as much again, and the driver several times as much. Each document is
still changed by itself, atomically, under the statement's condition: a statement is no transaction.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple, TypeVar

from preklic_workers.store.mongo import Bulk, Collection, Op

T = TypeVar("T")


class Alike(NamedTuple):
    """Members with the same `shared` may stand in one statement, where each of them changes another `document`."""

    shared: Hashable
    document: str


async def write_together(
    collection: Collection,
    members: Sequence[T],
    alike: Callable[[T], Alike],
    statements: Callable[[list[T]], Sequence[Op]],
) -> Bulk:
    """Write the `statements` of members that are alike; `failed` is by the place of the member. Raises `Unavailable`.

    A document that refuses its change (a validator) ends its statement, and others may be left undone: those members
    are written once more, each alone. So a statement must change nothing where it is repeated.
    """
    result = await _write(collection, members, parted(members, alike), statements)
    if not result.failed:
        return result
    alone = await _write(collection, members, [[place] for place in sorted(result.failed)], statements)
    return Bulk(alone.failed, sure=result.sure and alone.sure)


async def _write(
    collection: Collection, members: Sequence[T], parts: list[list[int]], statements: Callable[[list[T]], Sequence[Op]]
) -> Bulk:
    ops = [(part, op) for part in parts for op in statements([members[place] for place in part])]
    result = await collection.bulk([op for _, op in ops])
    return Bulk({place: code for number, code in result.failed.items() for place in ops[number][0]}, result.sure)


def parted(members: Sequence[T], alike: Callable[[T], Alike]) -> list[list[int]]:
    """The places of the members by statement.

    >>> parted("abca", lambda letter: Alike("same", letter))
    [[0, 1, 2], [3]]
    """
    parts: dict[tuple[Hashable, int], list[int]] = {}
    turns: Counter[str] = Counter()
    for place, member in enumerate(members):
        shared, document = alike(member)
        parts.setdefault((shared, turns[document]), []).append(place)
        turns[document] += 1
    return list(parts.values())
