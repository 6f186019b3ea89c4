"""A real store for tests, and short words for what they do with it."""

import datetime as dt
import os
from types import SimpleNamespace

from preklic_shared.addresses import parse
from preklic_shared.ids import new_id
from preklic_shared.registry import load_registry
from preklic_workers.blind import Blind
from preklic_workers.envelope import EPOCH_GROUPS, Epochs
from preklic_workers.keyring import KeyRing
from preklic_workers.store import Claim, Grant, Handover, Store, Withdraw, open_store, schema
from preklic_workers.store.person_docs import fresh, place

REGISTRY = load_registry()
NEWS = REGISTRY.get("newsletter")
OFFERS = REGISTRY.get("offers")
PAYMENT = REGISTRY.get("payment")
RING = KeyRing(
    role="record",
    blind=Blind(suppress=b"s" * 32, lookup=b"l" * 32),
    epochs=Epochs({group: {1: os.urandom(32)} for group in EPOCH_GROUPS}),
)
MINUTE = dt.timedelta(minutes=1)
HOUR = dt.timedelta(hours=1)


def now() -> dt.datetime:
    """Now, as MongoDB keeps it."""
    moment = dt.datetime.now(dt.UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


async def open_test_store(url: str, database: str, *, validators: bool = True, ring: KeyRing = RING) -> Store:
    store = await open_store(SimpleNamespace(mongo_url=url, mongo_database=database), ring)
    if validators:
        await schema.apply(store.mongo)
    return store


def subject(address: str) -> str:
    return RING.blind.subject(parse(address))


def claim_of(message, person, purpose=NEWS, *, body=b"b" * 32, expires=None):
    return Claim(message, purpose.key, purpose.templates[0], person, "website", body, now(), expires or now() + HOUR)


async def claimed(store, person, purpose=NEWS) -> str:
    """A message of `person` that epoch 1 holds."""
    message = new_id()
    await store.messages.claim(claim_of(message, person, purpose))
    return message


async def gated(store, person, message, epoch=1, purpose=NEWS, **more):
    """What the gate says."""
    return await store.gate.pass_through(Handover(person, message, epoch, purpose, now() + HOUR, **more))


async def sent(store, address, message, epoch=1):
    """The relay took it: settled, then pulled (law 1d)."""
    await store.messages.settle(message, epoch, "sent")
    await store.gate.pull(subject(address), message, epoch)


async def lease_passes(store, message):
    past = now() - HOUR
    await store.mongo["messages"].change({"_id": message}, {"$set": {"lease": past}}, {"_id": 1})


async def grant(store, address, *purposes, at=None, job=None, confirmed=True, **more):
    """Grant; what became of each purpose."""
    return await store.grants.grant(
        Grant(
            job or new_id(),
            subject(address),
            purposes or [NEWS],
            at or now(),
            {"wording": "w", "source": "s", "method": "form"},
            parse(address),
            confirmed=confirmed,
            **more,
        )
    )


async def withdraw(store, address, *purposes, at=None, job=None, **more):
    keys = [purpose.key for purpose in purposes or [NEWS]]
    return await store.withdrawals.withdraw(
        Withdraw(job or new_id(), subject(address), keys, "one_click", at or now(), **more)
    )


async def put_persons(store, subjects, permissions, suppressed=(), *, erased=False):
    """Person documents with these permission states, written as they are."""
    said = {"at": now() - HOUR, "job": new_id(), "seq": 0}
    docs = []
    for name in subjects:
        doc = fresh(name, os.urandom(16)) | {"erased": erased}
        doc["permissions"] = {place(key): said | {"state": state} for key, state in permissions.items()}
        doc["suppressed"] = dict.fromkeys(suppressed, now() - HOUR)
        docs.append(doc)
    await store.mongo["persons"].insert_many(docs)


async def state(store, message):
    return (await store.messages.show(message))["state"]
