"""Statistics that cannot be narrowed down to few people (clause U15): what is counted, and how cells are packed. Pure.

Each mail, and each withdrawal, is one fact and lies in exactly one cell. Cells of fewer than `GROUP` people are packed
together by a fixed order: the provider becomes `other`, then the template `-`, and what is left waits for a later day.
That is done once, when a day is closed; every answer is a sum of packed cells, so whatever answers are added or taken
from each other, a union of packed cells comes out: nobody, or `GROUP` people and more. Each cell's count is rounded to
tens, once and at random: two days whose people differ by one cannot be told apart by their counts.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Final, NamedTuple

GROUP: Final = 10
"""The fewest people that any number speaks of, and what every number is a multiple of."""

OTHER: Final = "other"  # the provider class of all that are too small to count by name
GONE: Final = "gone"  # the provider of somebody who was erased: nobody knows it any more
ANY: Final = "-"  # no template has such a name
MOST_WAITING: Final = 5000  # facts that wait for their group to grow; the oldest are dropped
WAITING_DAYS: Final = 90


class Key(NamedTuple):
    """What one cell counts. `reads` holds the words clicked, complained and opened (by people) that are true of it."""

    purpose: str
    template: str
    provider: str
    state: str
    reason: str = ""
    reads: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """One mail, or one withdrawal, of one person (the suppression hash); `provider` in `key` may yet be empty."""

    id: str
    person: str
    day: dt.date
    key: Key


@dataclass(slots=True)
class Tally:
    """What is known of one key: all its facts counted, up to `GROUP` people, and the facts themselves until then."""

    count: int = 0
    people: set[str] = field(default_factory=set)
    facts: list[Fact] = field(default_factory=list)

    def add(self, fact: Fact) -> None:
        """One more; memory stays small however many there are."""
        self.count += 1
        if len(self.people) < GROUP:
            self.people.add(fact.person)
            self.facts.append(fact)
        if enough(self.people):
            self.facts.clear()


def enough(people: AbstractSet[str]) -> bool:
    """Whether a number may speak of these people."""
    return len(people) >= GROUP


def tally(tallies: dict[Key, Tally], facts: Iterable[Fact]) -> None:
    """Add facts to the tallies of their keys."""
    for fact in facts:
        tallies.setdefault(fact.key, Tally()).add(fact)


def as_it_is(key: Key) -> Key:
    """The cell of its own."""
    return key


def any_provider(key: Key) -> Key:
    """The cell of all providers that are too small."""
    return key._replace(provider=OTHER)


def any_template(key: Key) -> Key:
    """The cell of all templates that are too small."""
    return key._replace(template=ANY, provider=OTHER)


COARSER: Final[Sequence[Callable[[Key], Key]]] = (as_it_is, any_provider, any_template)


def pack(people: Mapping[Key, AbstractSet[str]]) -> dict[Key, Key]:
    """The packed cell that each key goes into; a key that is left out waits.

    >>> nine, ten = {str(n) for n in range(9)}, {str(n) for n in range(10)}
    >>> news = Key("newsletter", "newsletter", "gmail", "sent")
    >>> pack({news: nine})
    {}
    >>> pack({news: nine, any_provider(news): ten})[news].provider
    'other'
    """
    placed: dict[Key, Key] = {}
    for coarser in COARSER:
        together: dict[Key, list[Key]] = {}
        for key in people:
            if key not in placed:
                together.setdefault(coarser(key), []).append(key)
        published = set(placed.values())
        for cell, keys in together.items():
            if cell in published or enough(set().union(*(people[key] for key in keys))):
                placed.update(dict.fromkeys(keys, cell))
    return placed


def cells_of(tallies: Mapping[Key, Tally], draw: Callable[[int], int]) -> dict[Key, int]:
    """The packed cells with their rounded counts. `draw(n)` is a random whole number below n."""
    counts: dict[Key, int] = {}
    for key, cell in pack({key: one.people for key, one in tallies.items()}).items():
        counts[cell] = counts.get(cell, 0) + tallies[key].count
    return {cell: rounded(count, draw) for cell, count in counts.items()}


def waiting(tallies: Mapping[Key, Tally], day: dt.date) -> list[Fact]:
    """The facts that are in no cell yet, for the next day's packing; those that waited too long are dropped."""
    placed = pack({key: one.people for key, one in tallies.items()})
    left = [fact for key, one in tallies.items() if key not in placed for fact in one.facts]
    young = [fact for fact in left if (day - fact.day).days < WAITING_DAYS]
    return sorted(young, key=lambda fact: (fact.day, fact.id))[-MOST_WAITING:]


def rounded(count: int, draw: Callable[[int], int]) -> int:
    """A neighbouring multiple of `GROUP`, the nearer one more often, so that sums are right on average.

    >>> rounded(17, lambda _: 6), rounded(17, lambda _: 7), rounded(20, lambda _: 0)
    (20, 10, 20)
    """
    below, rest = count // GROUP * GROUP, count % GROUP
    return below + GROUP if draw(GROUP) < rest else below


def packed_persons(by_provider: Mapping[str, int], draw: Callable[[int], int]) -> dict[str, int]:
    """People by mail provider: the small ones are `other`, and where that is small too it is left out."""
    small = [name for name, count in by_provider.items() if count < GROUP and name != OTHER]
    counts = {name: count for name, count in by_provider.items() if name not in small}
    counts[OTHER] = counts.get(OTHER, 0) + sum(by_provider[name] for name in small)
    return {name: rounded(count, draw) for name, count in sorted(counts.items()) if count >= GROUP}
