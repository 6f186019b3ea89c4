"""Opening: the one way to a person's fields for a stated purpose. What the registry does not allow stays closed (P2).

What a hold kept from an erasure is opened for the purposes of law alone: no mail ever rests on it (U13).
"""

from typing import Any, Final

from preklic_shared.registry import Registry
from preklic_workers.store import Store

DISCLOSURE: Final = "disclosure"
EVIDENCE: Final = "evidence"
INCIDENTS: Final = "incidents"
LAW: Final = frozenset({DISCLOSURE, EVIDENCE, INCIDENTS})


class Forbidden(Exception):
    """The registry allows no such purpose, or not this field group for it."""


def check_may(registry: Registry, group: str, purpose: str) -> None:
    """Forbidden unless the registry's purpose may open this group."""
    if not registry.may_open(group, purpose):
        raise Forbidden(f"the registry does not open {group} for {purpose}")


async def open_fields(store: Store, registry: Registry, person: str, group: str, purpose: str) -> dict[str, Any]:
    """The person's fields of one group: name -> value; of `contact` it is `address`. Empty when nothing is there.

    Raises Forbidden before anything is read; NoKey when this process may not open the group, Altered.
    """
    check_may(registry, group, purpose)
    held = await store.holds.fields(person, group) if purpose in LAW else {}
    if group != "contact":
        return held | await store.persons.fields(person, group)
    address = await store.persons.address_of(person)
    return held | ({} if address is None else {"address": address})
