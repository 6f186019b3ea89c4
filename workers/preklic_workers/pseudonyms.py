"""Whom an officer means: an address, a website's own name for a person, or a pseudonym; the answer is a pseudonym."""

import re
from typing import Final

from preklic_shared.addresses import parse
from preklic_shared.ids import is_id
from preklic_workers.blind import Blind
from preklic_workers.store import Store

PSEUDONYM: Final = re.compile(r"[A-Za-z0-9_-]{43}")


async def subject_of(store: Store, blind: Blind, who: str) -> str | None:
    """The suppression hash of the person, None when nobody is recorded or a website's name means several.

    Raises BadAddress.
    """
    if "@" in who:
        found = await store.persons.whole(blind.subject(parse(who)))
        return found.id if found else None
    known = await store.persons.whole(who) if PSEUDONYM.fullmatch(who) else None
    if known is not None:
        return known.id
    named = await store.persons.all_by_ref(who)
    return named[0] if len(named) == 1 else None


async def by_pseudonym(store: Store, who: str) -> str | None:
    """The suppression hash behind a pseudonym: that hash itself, or the id of a mail to the person."""
    if is_id(who):
        person: str | None = (await store.messages.show(who) or {}).get("person")
        return person
    known = await store.persons.whole(who) if PSEUDONYM.fullmatch(who) else None
    return known.id if known else None
