"""The database: its version and schema, the registry it was given, restores; and whether the clocks agree."""

import datetime as dt
from collections.abc import Iterator
from typing import Final

from pymongo.errors import OperationFailure

from preklic_shared.registry import load_registry
from preklic_shared.settings import Settings
from preklic_workers import looking, starting, store
from preklic_workers.doctor import broker
from preklic_workers.doctor.finding import Finding, Patient, Seen, Unseen
from preklic_workers.incarnation import Incarnation
from preklic_workers.management import NoManagement
from preklic_workers.rings import directory_of, ring_of
from preklic_workers.state_dir import state_of
from preklic_workers.store import Store
from preklic_workers.store.operators import Operators
from preklic_workers.store.schema import check
from preklic_workers.tombstones import Tombstones

OLDEST: Final = (6, 0)
SKEW: Final = dt.timedelta(seconds=2)
LONG_ASIDE: Final = dt.timedelta(minutes=15)  # each round of upkeep moves what it can
_UNAUTHORIZED: Final = 13
_CLOSED: Final = "mail stays closed until tombstones and the noes since the backup are applied again"
_BLIND: Final = "a restored backup could bring back whom it had forgotten, and mails could go out after a no"


def registry(patient: Patient) -> Iterator[Seen]:
    """The registry can be read; it raises RegistryError, which says which key is at fault."""
    load_registry(patient.config.registry)
    return iter(())


def examine(patient: Patient) -> Iterator[Seen]:
    """Version, schema, and the registry of this version."""

    async def look(opened: Store, _: Settings) -> tuple[str, list[str], str]:
        version: str = (await opened.mongo.command("buildInfo"))["version"]
        try:
            await starting.check_database(opened.mongo, load_registry(patient.config.registry))
        except starting.NotReady as error:
            return version, await check(opened.mongo), str(error)
        return version, await check(opened.mongo), ""

    version, lacking, unready = looking.with_store("open", look)
    if tuple(map(int, version.split(".")[:2])) < OLDEST:
        yield Finding(f"MongoDB {version} is older than 6.0", "this was never tested with it", "upgrade MongoDB")
    if unready:
        yield Finding(unready, "workers refuse to start", "preklic topology apply")
    for line in lacking:
        yield Finding(line, "what is wrong would be kept, or look-ups be slow", "preklic topology apply")


def clocks(patient: Patient) -> Iterator[Seen]:
    """The database's clock and the broker's, beside this host's."""
    yield from skewed("the database", looking.with_store("open", _ahead), SKEW)
    try:
        ahead = broker.ahead(patient)
    except NoManagement as error:
        yield Unseen(str(error), error.mend)
        return
    if ahead is not None:
        yield from skewed("the broker", ahead, SKEW + dt.timedelta(seconds=1))  # it says whole seconds


async def _ahead(opened: Store, _: Settings) -> dt.timedelta:
    return opened.mongo.ahead


def skewed(whose: str, ahead: dt.timedelta, most: dt.timedelta) -> Iterator[Finding]:
    """Whether that clock is further from ours than `most`. Pure."""
    if abs(ahead) > most:
        word = "ahead of" if ahead > dt.timedelta() else "behind"
        why = "which of two sayings is later is judged by time; a job from 5 minutes ahead is refused"
        what = f"the clock of {whose} is {abs(ahead).total_seconds():.0f} s {word} this host's"
        yield Finding(what, why, "let both hosts follow the same time servers: chronyc tracking")


def restores(patient: Patient) -> Iterator[Seen]:
    """Whether a backup was restored under us, and whether that would be noticed."""
    config = patient.config
    switches = looking.with_store("open", lambda opened, _: opened.controls.all())
    if any(switch.name == store.RESTORED and switch.stopped for switch in switches):
        yield Finding("a backup was restored: all mail is closed", _CLOSED, "preklic restore-check")
    if not upkeep_is_here(config):
        return
    if config.state_dir is None:
        mend = "name a directory outside MongoDB and its backups"
        yield Finding("PREKLIC_STATE_DIR is not set: no restore is noticed", _BLIND, mend)
        return
    state, ring = state_of(config), ring_of(config, "upkeep")
    tombstones = Tombstones(state, ring.blind)
    if not looking.with_store("open", lambda opened, _: Incarnation(opened.controls, state, tombstones).look()):
        yield Finding("the database is not the one of the last mark", _CLOSED, "preklic restore-check")


def holds(_: Patient) -> Iterator[Seen]:
    """Whether what erasures left to holds is under the holds' own keys."""

    async def waiting(opened: Store, _: Settings) -> int:
        return await opened.holds.keys.waiting(opened.mongo.now() - LONG_ASIDE)

    try:
        count = looking.with_store("open", waiting)
    except OperationFailure as error:
        if error.code != _UNAUTHORIZED:
            raise
        yield Unseen("keys that wait for holds: this user of MongoDB may not read keys", "run it as upkeep's user")
        return
    if count:
        minutes = LONG_ASIDE // dt.timedelta(minutes=1)
        what = f"keys of erased persons wait for their holds for more than {minutes} minutes: {count}"
        why = "what a hold keeps of them opens no more once their epoch is destroyed"
        yield Finding(what, why, "start preklic worker upkeep; if it runs, see there: preklic keys status")


def operators(patient: Patient) -> Iterator[Seen]:
    """Whether commands are for named operators, where that matters."""
    if patient.config.environment != "production":
        return
    if not looking.with_store("open", lambda opened, _: Operators(opened.mongo).named()):
        why = "whoever may use this host runs every command, in the name of the machine's user"
        yield Finding("no operator is named", why, "preklic operator add NAME --scope law --reason WHY")


def upkeep_is_here(config: Settings) -> bool:
    """Whether this host has the keys of `upkeep`."""
    return config.key_dir is not None and (directory_of(config, "upkeep") / "root.ed25519").exists()
