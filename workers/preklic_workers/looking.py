"""What the commands that look read from the store; they need no key, for they show ids, states and codes only."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeVar

from preklic_shared.settings import Settings, load_settings
from preklic_workers.blind import Blind
from preklic_workers.envelope import Epochs
from preklic_workers.keyring import KeyRing
from preklic_workers.operating import admit
from preklic_workers.operators import Scope
from preklic_workers.permission import Person
from preklic_workers.store import Store, open_store
from preklic_workers.store.person_docs import FACTS, person_of

T = TypeVar("T")
# `open` is for what shows nobody's data and changes nothing: the doctor.
Needs = Scope | Literal["open"]
_PAGE: Final = 1000

KEYLESS: Final = KeyRing("look", Blind(b"", b""), Epochs({}))


def with_store(needs: Needs, work: Callable[[Store, Settings], Awaitable[T]], ring: KeyRing = KEYLESS) -> T:
    """Run `work` on an open store with the settings of this process, for an operator who has the scope it `needs`.

    Raises Stop where the operator may not, SettingsError, store.Unavailable.
    """
    settings = load_settings(os.environ)

    async def opened() -> T:
        store = await open_store(settings, ring)
        try:
            if needs != "open":
                await admit(store, settings.operator_token, needs)
            return await work(store, settings)
        finally:
            store.close()

    return asyncio.run(opened())


async def states(store: Store, jobs: Sequence[str]) -> Mapping[str, str]:
    """The state of each of these jobs that is recorded at all, by id."""
    found: dict[str, str] = {}
    for start in range(0, len(jobs), _PAGE):
        page = jobs[start : start + _PAGE]
        docs = await store.mongo["messages"].find({"_id": {"$in": list(page)}}, {"state": 1})
        dead = await store.mongo["dead"].find({"job": {"$in": list(page)}}, {"job": 1, "state": 1})
        # A job that died before anything was claimed is recorded among the dead letters alone.
        found |= {doc["job"]: doc["state"] for doc in dead if doc["state"] != "replayed"}
        found |= {doc["_id"]: doc["state"] for doc in docs}
    return found


async def persons(store: Store, jobs: Sequence[str]) -> Mapping[str, Person]:
    """The persons of those of these mails that were claimed once, by job id, with today's permissions."""
    where = {"_id": {"$in": list(jobs)}, "person": {"$exists": True}}
    subjects = {doc["_id"]: doc["person"] for doc in await store.mongo["messages"].find(where, {"person": 1})}
    docs = await store.mongo["persons"].find({"_id": {"$in": list(set(subjects.values()))}}, FACTS)
    known = {doc["_id"]: person_of(doc) for doc in docs}
    return {job: known[subject] for job, subject in subjects.items() if subject in known}


def spans(receipt: Mapping[str, Any]) -> dict[str, float]:
    """How long a withdrawal took, in seconds after it was accepted: `closed_after`, and `applied_after` when it is."""
    accepted = receipt["accepted"]
    done = {name: receipt[name] - accepted for name in ("closed", "applied") if name in receipt}
    # Its acceptance is told by the producer's clock, the rest by the database's.
    return {f"{name}_after": max(0.0, span.total_seconds()) for name, span in done.items()}
