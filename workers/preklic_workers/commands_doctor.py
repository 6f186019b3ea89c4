"""`preklic doctor`: is everything as it must be, and how to mend what is not."""

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import typer

from preklic_shared import topology_apply
from preklic_shared.cli import Code, Json, settings, show
from preklic_shared.publication import Unavailable as BrokerAway
from preklic_shared.registry import RegistryError, load_registry
from preklic_shared.sealing import Sealer, SealingError
from preklic_shared.settings import Settings
from preklic_workers import keyfiles, looking, store
from preklic_workers.commands_setup import database_drift, hidden
from preklic_workers.incarnation import Incarnation
from preklic_workers.keydir import ROLES, KeyDirError, check
from preklic_workers.rings import directory_of, ring_of
from preklic_workers.smtp.routes import contracted, days_left
from preklic_workers.state_dir import state_of
from preklic_workers.tombstones import Broken, Tombstones

LATE_DAYS = 33
WARN_DAYS = 30
_RENEW = "renew it, and set valid_to in [[processors]]"
# What a check may raise, and how to mend it.
_MENDS: tuple[tuple[type[Exception], str], ...] = (
    (BrokerAway, "start RabbitMQ, or set PREKLIC_AMQP_URL"),
    (store.Standalone, "start mongod with --replSet NAME, then rs.initiate(): majority writes need a replica set"),
    (store.Unavailable, "start MongoDB, or set PREKLIC_MONGO_URL"),
    (KeyDirError, "see the message; keys are made with: preklic keys init"),
    (SealingError, "preklic keys publish, and copy the file to the producers"),
    (Broken, "restore STATE_DIR from its own backup, then: preklic restore-check"),
    (RegistryError, "mend the registry file; the message names the key"),
)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be so. `run` yields problems, each with how to mend it."""

    name: str
    run: Callable[[Settings], Iterator[tuple[str, str]]]


def doctor(*, as_json: Json = False) -> None:
    """Check registry, broker, topology, database, keys and relays. Ends with 1 when something is wrong.

    Example: `preklic doctor --json`
    """
    rows = [row for check in CHECKS for row in examine(check, settings())]
    show(rows, ("check", "result", "mend"), title="Doctor", as_json=as_json)
    if any(row["result"] != "good" for row in rows):
        raise typer.Exit(Code.FINDING)


def examine(check: Check, config: Settings) -> list[dict[str, str]]:
    """The rows of one check: `good`, or a problem each with how to mend it."""
    try:
        problems = list(check.run(config))
    except tuple(kind for kind, _ in _MENDS) as error:
        mend = next(text for kind, text in _MENDS if isinstance(error, kind))
        problems = [(f"{type(error).__name__}: {error}", mend)]
    found = [{"check": check.name, "result": problem, "mend": mend} for problem, mend in problems]
    return found or [{"check": check.name, "result": "good", "mend": ""}]


def _registry(config: Settings) -> Iterator[tuple[str, str]]:
    load_registry(config.registry)
    return iter(())


def _broker(config: Settings) -> Iterator[tuple[str, str]]:
    for finding in topology_apply.check(config.amqp_url):
        if not hidden(finding):  # it is there; comparing more is for `topology check`
            yield f"{finding.kind} {finding.name} {finding.problem}", _mend_topology(finding.problem)


def _database(config: Settings) -> Iterator[tuple[str, str]]:
    for line in database_drift(config):
        yield line, "preklic topology apply"


def _keys(config: Settings) -> Iterator[tuple[str, str]]:
    if config.key_dir is None:
        yield "PREKLIC_KEY_DIR is not set", "name the root of the roles' key directories (preklic keys init)"
        return
    held = {role: config.key_dir / role for role in ROLES if (config.key_dir / role).is_dir()}
    if config.key_dir.name in ROLES:
        held[config.key_dir.name] = config.key_dir
    if not held:
        yield f"{config.key_dir} holds no role's directory", "preklic keys init"
    for role, directory in held.items():
        check(directory, role)


def _sealing(config: Settings) -> Iterator[tuple[str, str]]:
    if config.sealing_keys is None:
        yield "PREKLIC_SEALING_KEYS is not set", "name the file that `preklic keys publish` writes"
        return
    pin = None if config.sealing_pin is None else bytes.fromhex(config.sealing_pin)
    left = Sealer.load(config.sealing_keys, pin).expires / 1000 - dt.datetime.now(dt.UTC).timestamp()
    if left < dt.timedelta(days=1).total_seconds():
        yield f"the sealing keys expire in {max(left, 0) / 3600:.0f} h", "preklic keys publish"
    if pin is None:
        yield "PREKLIC_SEALING_PIN is not set", "pin the signer: the line that `preklic keys publish` prints"


def _restores(config: Settings) -> Iterator[tuple[str, str]]:
    switches = looking.with_store(lambda opened, _: opened.controls.all())
    if any(switch.name == store.RESTORED and switch.stopped for switch in switches):
        yield "a backup was restored: all mail is closed", "preklic restore-check"
    if not upkeep_is_here(config):
        return
    if config.state_dir is None:
        yield "PREKLIC_STATE_DIR is not set: no restore is noticed", "name a directory outside MongoDB and its backups"
        return
    state, ring = state_of(config), ring_of(config, "upkeep")
    tombstones = Tombstones(state, ring.blind)
    if not looking.with_store(lambda opened, _: Incarnation(opened.controls, state, tombstones).look()):
        yield "the database is not the one of the last mark", "preklic restore-check"


def _epochs(config: Settings) -> Iterator[tuple[str, str]]:
    if config.key_dir is None or not keyfiles.is_root(config.key_dir):
        return
    days = keyfiles.epoch_age(config.key_dir, dt.datetime.now(dt.UTC)) / dt.timedelta(days=1)
    if days > LATE_DAYS:
        yield f"the epoch keys are {days:.0f} days old: erasure is final within 35", "preklic keys epoch turn"


def upkeep_is_here(config: Settings) -> bool:
    """Whether this host has the keys of `upkeep`."""
    return config.key_dir is not None and (directory_of(config, "upkeep") / "root.ed25519").exists()


def _relays(config: Settings) -> Iterator[tuple[str, str]]:
    if not config.relays:
        yield "there is no relay", "name one in [[relays]], and its company in [[processors]]"
    companies = {processor.name: processor for processor in config.processors}
    today = dt.datetime.now(dt.UTC).date()
    for relay in config.relays:
        company = companies.get(relay.processor)
        if company is None or not contracted(company, today):
            yield f"the relay {relay.name} has no processor under contract today", "mend [[processors]] (clause U8)"
        elif (left := days_left(company, today)) < WARN_DAYS:
            yield f"the contract with {company.name} ends in {left} days; then {relay.name} sends nothing", _RENEW


def _mend_topology(problem: str) -> str:
    if problem == "missing":
        return "preklic topology apply"
    return "its arguments are for ever: move its jobs, delete it, then preklic topology apply"


CHECKS = (
    Check("registry", _registry),
    Check("broker and topology", _broker),
    Check("database", _database),
    Check("key directories", _keys),
    Check("sealing keys", _sealing),
    Check("epoch keys", _epochs),
    Check("restores", _restores),
    Check("relays and processors", _relays),
)
