"""A policy's text as its clauses, and whether a registry says the same: clause by clause, letter by letter. Pure.

A clause is a bullet, or a sentence of any other paragraph. A paragraph that ends in a colon introduces what follows and
is no clause. Only blanks and line ends may differ between a policy and its registry; everything else is compared by
SHA-256.
"""

import difflib
import hashlib
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

# Clauses that open a door for purposes to come (GDPR 6(4), 6(1)(f)): each such purpose has an entry in its own words.
UMBRELLAS: Final = frozenset({"U16", "U17"})
_BULLET: Final = re.compile(r"\s*(?:[-\u2013\u2014\u2022*\u00b7]|\d{1,3}[.)]|[a-z]\))\s+")
_STOP: Final = re.compile(r"(?<=[.!?])\s+")
# A single letter and a full stop, as in d.o.o., end no sentence.
_ABBREVIATED: Final = re.compile(r"(?:^|[^\w])\w\.$")
_SHOWN: Final = 60  # characters of a clause in an error


@dataclass(frozen=True, slots=True)
class Entry:
    """What a registry says of one clause: the `key` of its text in the file, the clause's id, the policy's words."""

    key: str
    clause: str
    text: str


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Where registry and policy part: the `key` at fault in the registry (or `policy`), and what is wrong."""

    key: str
    problem: str


def clauses_of(policy: str) -> list[str]:
    r"""The clauses of a policy in its order, each on one line.

    >>> clauses_of("Varujemo. Ne prodajamo (d.o.o. ne).\n\nNameni:\n- novice;\n- plačila.")
    ['Varujemo.', 'Ne prodajamo (d.o.o. ne).', 'novice;', 'plačila.']
    """
    return [clause for block, bullet in _blocks(policy) for clause in ([block] if bullet else _sentences(block))]


def digest(text: str) -> str:
    """SHA-256 of a clause in hexadecimal, whatever its blanks and line ends."""
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()


def mismatch(policy: str, entries: Sequence[Entry]) -> Mismatch | None:
    """The first place where they do not map one to one: a clause missing, invented, changed, or there twice."""
    texts = clauses_of(policy)
    clauses = {digest(text): text for text in texts}
    if len(clauses) != len(texts):
        return Mismatch("policy", "says the same clause twice")
    taken: dict[str, Entry] = {}
    strange = []
    for entry in entries:
        name = digest(entry.text)
        if name in taken:
            return Mismatch(entry.key, f"{entry.clause} has the words of {taken[name].clause} already")
        if name in clauses:
            taken[name] = entry
        else:
            strange.append(entry)
    left = [text for name, text in clauses.items() if name not in taken]
    mapped = {entry.clause for entry in taken.values()}
    for entry in strange:
        if entry.clause not in UMBRELLAS & mapped:
            return _invented(entry, left)
    if left:
        return Mismatch("policy", f"no entry has the words of its clause “{_cut(left[0])}”")
    return None


def _invented(entry: Entry, left: Sequence[str]) -> Mismatch:
    nearest = difflib.get_close_matches(entry.text, left, n=1, cutoff=0.5)
    if not nearest:
        return Mismatch(entry.key, f"{entry.clause} is not in the policy: “{_cut(entry.text)}”")
    here, there = " ".join(entry.text.split()), nearest[0]
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(here, there, strict=False))
    begin = max(0, sum(1 for _ in same) - 20)
    said = f"“{_cut(here[begin:])}” here, “{_cut(there[begin:])}” there"
    return Mismatch(entry.key, f"{entry.clause} differs from the policy: {said}")


def _blocks(policy: str) -> Iterator[tuple[str, bool]]:
    """Each paragraph or bullet on one line, and whether it is a bullet; what only introduces is left out."""
    for paragraph in re.split(r"\n\s*\n", policy):
        lines: list[str] = []
        for line in paragraph.splitlines():
            if _BULLET.match(line):
                yield from _block(lines)
                lines = []
            lines.append(line)
        yield from _block(lines)


def _block(lines: Sequence[str]) -> Iterator[tuple[str, bool]]:
    text = " ".join(" ".join(lines).split())
    bullet = _BULLET.match(text)
    if bullet:
        yield text[bullet.end() :], True
    elif text and not text.endswith(":"):
        yield text, False


def _sentences(block: str) -> Iterator[str]:
    begun = ""
    for part in _STOP.split(block):
        begun = f"{begun} {part}" if begun else part
        if not _ABBREVIATED.search(begun):
            yield begun
            begun = ""
    if begun:
        yield begun


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
