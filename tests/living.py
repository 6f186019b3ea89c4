"""A small Preklic in this process: real workers, and settings for each role, with a broker user and keys of its own."""

import asyncio
import datetime as dt
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from preklic_producers import Producer, Proof
from preklic_shared.settings import Settings
from preklic_shared.topology import definitions
from preklic_stack.mongo import Mongo
from preklic_stack.rabbit import Rabbit
from preklic_workers import keyfiles
from preklic_workers.looking import KEYLESS
from preklic_workers.roles import Worker
from preklic_workers.store import Store, open_store, schema
from waiting import auntil

PROOF = Proof(wording="v3", source="https://lucrum.example", method="form")
SettingsOf = Callable[..., Settings]


@contextmanager
def users_of(rabbit: Rabbit, vhost: str, *roles: str) -> Iterator[dict[str, str]]:
    """The AMQP URL of each role, as a user of its own, on a vhost with the topology; the users go afterwards."""
    passwords = {f"{role}.{vhost}": secrets.token_urlsafe(9) for role in roles}
    rabbit.management.call("POST", "definitions", definitions(passwords, vhost))
    yield {user.partition(".")[0]: rabbit.amqp_url(vhost, user, word) for user, word in passwords.items()}
    for user in passwords:
        rabbit.management.delete_user(user)


def settings_of(users: dict[str, str], mongo: Mongo, database: str, root: Path, **fixed: object) -> SettingsOf:
    """`of(role, **more)` are the settings of a role, with keys made below `root` and `fixed` in all of them."""
    keyfiles.init_keys(root, dt.datetime.now(dt.UTC))

    def of(role: str, **more: object) -> Settings:
        return Settings(
            amqp_url=users[role],
            mongo_url=mongo.url,
            mongo_database=database,
            key_dir=root,
            sealing_keys=root / "producers" / "sealing.json",
            sealing_pin=(root / "producers" / "root.pub").read_text(),
            **{**fixed, **more},
        )

    return of


async def permitted(store: Store, producer: Producer, address: str, *purposes: str) -> None:
    """A grant of these purposes, recorded: a mail sent now does not wait for it in a tier."""
    grant = await asyncio.to_thread(producer.grant, address, list(purposes), proof=PROOF)

    async def recorded() -> bool:
        return (await store.messages.show(grant.job_id) or {}).get("state") == "applied"

    await auntil(recorded, 20, "the grant is recorded")


@asynccontextmanager
async def at_work(of: SettingsOf, *roles: str) -> AsyncIterator[Store]:
    """A fresh store, whose workers of these roles run."""
    store = await open_store(of(roles[0]), KEYLESS)
    await schema.apply(store.mongo)
    workers = [await Worker.open(role, of(role)) for role in roles]
    for worker in workers:
        await worker.start()
    try:
        yield store
    finally:
        await asyncio.gather(*(worker.stop() for worker in workers))
        store.close()
