"""The words that people agreed to: known by id, version and language, kept whole, and found again by their hash.

A proof names its wording as `id@version`, or holds free text. What looks like such a name must be a known one: a
permission whose words nobody can show is no proof (GDPR 7(1)).
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from preklic_shared.purposes import Wording

_REFERENCE: Final = re.compile(r"(?P<id>[a-z][a-z0-9_-]{0,63})@(?P<version>[A-Za-z0-9][A-Za-z0-9.-]{0,31})")

Place = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Words:
    """One text as it was shown. `hash` is the SHA-256 of its file, 64 hex digits."""

    id: str
    version: str
    language: str
    text: str
    hash: str

    @property
    def reference(self) -> str:
        """How a proof names it: `newsletter@1`."""
        return f"{self.id}@{self.version}"


def words_of(entry: Wording, octets: bytes) -> Words:
    """The words of one registry entry whose file holds `octets`. UnicodeDecodeError when it is no UTF-8."""
    return Words(entry.id, entry.version, entry.language, octets.decode(), hashlib.sha256(octets).hexdigest())


def by_place(all_words: Iterable[Words]) -> Mapping[Place, Words]:
    """The words by id, version and language."""
    return {(words.id, words.version, words.language): words for words in all_words}


def is_reference(text: str) -> bool:
    """Whether `text` names a wording instead of being one.

    >>> is_reference("newsletter@1"), is_reference("newsletter v3"), is_reference("I agree @ home")
    (True, False, False)
    """
    return _REFERENCE.fullmatch(text) is not None


def find(known: Mapping[Place, Words], text: str, language: str) -> Words | None:
    """The wording that `text` names, in that language; None when there is none, or it names none."""
    named = _REFERENCE.fullmatch(text)
    return None if named is None else known.get((named["id"], named["version"], language))


def is_unknown(known: Mapping[Place, Words], text: str, language: str) -> bool:
    """Whether `text` names a wording that is not among the known ones in that language."""
    return is_reference(text) and find(known, text, language) is None
