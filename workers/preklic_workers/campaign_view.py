"""How a campaign stands: the one answer of the command `campaign status` and of the question over the queue `ask`."""

from typing import Any, Final

from preklic_workers.store import Campaign, Doc, Store, Unavailable
from preklic_workers.store.local_sends import LocalSends

LISTED: Final = ("name", "purpose", "template", "state", "at", "walked", "published")
NEWEST: Final = 100  # campaigns that one answer holds
ASKED: Final = 20
"""Acts that an answer tells of, the newest first."""


def row(found: Campaign) -> dict[str, Any]:
    """The campaign in a line; its wall clock has no zone. Pure."""
    wall = {} if found.wall is None else {"local_time": found.wall.replace(tzinfo=None)}
    return {name: getattr(found, name) for name in LISTED} | wall


async def look(store: Store, name: str, patience: float | None = None) -> dict[str, Any] | None:
    """All that is told of the campaign of that name; None where nothing is known. Raises Unavailable.

    `mails` is None where to count them takes longer than `patience` (seconds): there are millions.
    `state` is None where there is no campaign: a start was refused, and `asked` says why.
    """
    found = await store.campaigns.get(name)
    asked = await store.campaigns.asked(name, ASKED)
    if found is None:
        return {"name": name, "state": None, "asked": [_act(doc) for doc in asked]} if asked else None
    told = row(found) | {"stopped": await store.controls.stopped(f"campaign:{name}") is not None}
    if found.wall is not None:
        told["scheduled"] = await LocalSends(store.mongo).waiting(name)
    return told | {"mails": await _mails(store, name, patience), "asked": [_act(doc) for doc in asked]}


async def _mails(store: Store, name: str, patience: float | None) -> list[dict[str, Any]] | None:
    try:
        counts = await store.campaigns.counts(name, patience)
    except Unavailable:
        if patience is None:
            raise
        return None
    return [{"variant": v, "state": state, "reason": reason, "count": count} for v, state, reason, count in counts]


async def listing(store: Store) -> list[dict[str, Any]]:
    """The newest campaigns in a line each. Raises Unavailable."""
    return [row(found) for found in (await store.campaigns.all())[:NEWEST]]


def _act(doc: Doc) -> dict[str, Any]:
    """A job that was about it: `applied` with the act, or how else it ended and why."""
    said = {"id": doc["_id"], "by": doc["producer"], "at": doc["at"]}
    return said | {"state": doc["state"], "reason": doc.get("reason", "")}
