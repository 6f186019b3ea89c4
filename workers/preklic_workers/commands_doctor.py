"""`preklic doctor`: is everything as it must be, why it matters, and how to mend what is not."""

import sys
from collections.abc import Sequence
from typing import Annotated, Final

import typer
from rich.console import Console

from preklic_shared.cli import Code, Json, Stop, settings, show
from preklic_shared.publication import Unavailable as BrokerAway
from preklic_shared.registry import RegistryError
from preklic_shared.sealing import SealingError
from preklic_workers import store
from preklic_workers.doctor import broker, carriers, database, keys, records
from preklic_workers.doctor.finding import Check, Finding, Patient, Seen, Unseen
from preklic_workers.doctor.resolver import Resolver
from preklic_workers.keydir import KeyDirError
from preklic_workers.management import NoManagement
from preklic_workers.tombstones import Broken

CHECKS: Final = (
    Check("registry", database.registry),
    Check("broker", broker.examine),
    Check("topology", broker.topology),
    Check("permissions", broker.permissions),
    Check("database", database.examine),
    Check("clock", database.clocks),
    Check("keys", keys.directories),
    Check("sealing", keys.sealing),
    Check("epochs", keys.epochs),
    Check("restores", database.restores),
    Check("holds", database.holds),
    Check("operators", database.operators),
    Check("relays", carriers.examine),
    Check("dns", records.examine),
)
_COLUMNS: Final = ("check", "state", "what", "why", "mend")
# What a check may raise: why it matters, and how to mend it.
_STANDALONE: Final = "start mongod with --replSet NAME, then rs.initiate(): majority writes need a replica set"
_RAISED: Final[tuple[tuple[type[Exception], str, str], ...]] = (
    (BrokerAway, "nothing is published and nothing taken", "start RabbitMQ, or set PREKLIC_AMQP_URL"),
    (store.Standalone, "no write would be certain", _STANDALONE),
    (
        store.Unavailable,
        "no mail leaves: nobody can be asked for permission",
        "start MongoDB, or set PREKLIC_MONGO_URL",
    ),
    (KeyDirError, "a role without its keys does not start", "see the message; keys are made with: preklic keys init"),
    (SealingError, "producers refuse to publish", "preklic keys publish, and copy the file to the producers"),
    (
        Broken,
        "no restore can be told from the right database",
        "restore STATE_DIR from its backup, then: preklic restore-check",
    ),
    (RegistryError, "nothing starts without the policy", "mend the registry file; the message names the key"),
)


def doctor(
    *,
    only: Annotated[str, typer.Option(help="Look at these alone, with commas between: relays,dns.")] = "",
    resolver: Annotated[str, typer.Option(help="Ask this DNS server, and no other: HOST or HOST:PORT.")] = "",
    as_json: Json = False,
) -> None:
    """Look at all that this host can see: what is wrong, why it matters, and what mends it. Ends with 1 if anything is.

    What cannot be seen from here is said, and is no fault. Mail is never begun, and nothing is changed.

    Example: `preklic doctor --only relays,dns --resolver 9.9.9.9`
    """
    patient = Patient(settings(), _resolver(resolver))
    rows = [row for check in chosen(only) for row in _watched(check, patient)]
    show(rows, _COLUMNS, title="Doctor", as_json=as_json)
    if any(row["state"] == "finding" for row in rows):
        raise typer.Exit(Code.FINDING)


def chosen(only: str) -> Sequence[Check]:
    """The checks of these names, in their own order; all of them for no name. Stop for a name that is none."""
    names = {name.strip() for name in only.split(",") if name.strip()}
    known = [check.name for check in CHECKS]
    if strange := sorted(names - set(known)):
        raise Stop(Code.USAGE, f"there is no check {', '.join(strange)}", f"checks: {', '.join(known)}")
    return [check for check in CHECKS if not names or check.name in names]


def examine(check: Check, patient: Patient) -> list[dict[str, str]]:
    """The rows of one check: `good`, or each finding, or what could not be seen."""
    seen: list[Seen] = []
    try:
        seen.extend(check.run(patient))
    except NoManagement as error:
        seen.append(Unseen(str(error), error.mend))
    except tuple(kind for kind, _, _ in _RAISED) as error:
        why, mend = next((why, mend) for kind, why, mend in _RAISED if isinstance(error, kind))
        seen.append(Finding(f"{type(error).__name__}: {error}", why, mend))
    return [_row(check.name, one) for one in seen] or [_row(check.name, None)]


def _row(check: str, seen: Seen | None) -> dict[str, str]:
    match seen:
        case None:
            return {"check": check, "state": "good", "what": "", "why": "", "mend": ""}
        case Unseen(what, mend):
            return {"check": check, "state": "unseen", "what": what, "why": "", "mend": mend}
        case Finding(what, why, mend):
            return {"check": check, "state": "finding", "what": what, "why": why, "mend": mend}


def _watched(check: Check, patient: Patient) -> list[dict[str, str]]:
    if not sys.stderr.isatty():
        return examine(check, patient)
    with Console(stderr=True).status(f"looking at {check.name}"):
        return examine(check, patient)


def _resolver(place: str) -> Resolver | None:
    if not place:
        return None
    try:
        return Resolver(place)
    except ValueError:
        raise Stop(
            Code.USAGE, f"{place} is no DNS server", "give its IP address: 9.9.9.9, 127.0.0.1:5353, [::1]:53"
        ) from None
