"""The options that choose dead letters, in the words of the command line."""

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer

from preklic_shared.cli import Code, Stop, settings
from preklic_shared.settings import SettingsError
from preklic_shared.topology import QUEUES
from preklic_workers import looking, sifting
from preklic_workers.keydir import KeyDirError
from preklic_workers.keyring import KeyRing
from preklic_workers.looking import KEYLESS
from preklic_workers.reasons import MEANINGS
from preklic_workers.rings import ring_of
from preklic_workers.sifting import KEYS, STATES, Sieve
from preklic_workers.store import Doc, Store, millis, moment
from preklic_workers.store.dead import Place
from preklic_workers.whom import given, subjects

_CURSOR: Final = re.compile(r"([0-9]{1,14})_([A-Za-z0-9.-]{1,100})", re.ASCII)
_VALUES: Final[Mapping[str, tuple[str, ...]]] = {
    "queue": tuple(QUEUES), "reason": tuple(MEANINGS), "state": STATES, "age": ("15m", "2h", "1d"),
}  # fmt: skip


def complete_where(incomplete: str) -> list[str]:
    """The keys of the last term, or its values where they are few."""
    before, comma, term = incomplete.rpartition(",")
    key, equals, value = term.partition("=")
    if equals:
        return [f"{before}{comma}{key}={one}" for one in _VALUES.get(key, ()) if one.startswith(value)]
    return [f"{before}{comma}{name}=" for name in KEYS if name.startswith(term)]


def complete_fingerprint(incomplete: str) -> list[str]:
    """The fingerprints of the largest groups; none when the store cannot be asked."""
    with contextlib.suppress(Exception):
        found = looking.with_store("read", lambda opened, _: opened.dead.groups(limit=50))
        return [one.fingerprint for one in found if one.fingerprint.startswith(incomplete)]
    return []


Fingerprint = Annotated[str | None, typer.Option(help="Only this group.", autocompletion=complete_fingerprint)]
Queue = Annotated[str | None, typer.Option(help="Only from this queue.", autocompletion=lambda: list(QUEUES))]
Where = Annotated[
    str | None,
    typer.Option(
        "--where",
        metavar="FILTER",
        help="Only those that pass: `purpose=payment,age<2h,code=4.7.*`. Keys: " + ", ".join(KEYS) + ".",
        autocompletion=complete_where,
    ),
]
Person = Annotated[
    str | None,
    typer.Option("--person", help="Only this person's: an address or a website's own name; `-` reads it from stdin."),
]
State = Annotated[
    str | None,
    typer.Option(help="dead (if nothing else is said), replayed or discarded.", autocompletion=lambda: list(STATES)),
]
Watch = Annotated[bool, typer.Option("--watch", help="Show again every 2 seconds until Ctrl-C.")]


@dataclass(frozen=True, slots=True)
class Question:
    """Which letters: those that pass the sieve, with exactly these values, of this person (None: all).

    In this state; None where the sieve says it.
    """

    sieve: Sieve
    exactly: Mapping[str, str]
    state: str | None
    person: str | None
    ring: KeyRing

    async def condition(self, store: Store) -> Doc:
        """The condition on the collection; ages count back from now. Stop for an address that is none."""
        terms = [*self.sieve.query(store.mongo.now()).get("$and", ())]
        terms += [{name: {"$eq": value}} for name, value in self.exactly.items()]
        if self.person is not None:
            terms.append({"person": {"$in": await subjects(store, self.ring.blind, self.person)}})
        return {"$and": terms} if terms else {}


def sieve_of(where: str | None) -> Sieve:
    """The sieve that the option describes. Stop where it is none."""
    try:
        return sifting.parse(where or "")
    except ValueError as error:
        raise Stop(Code.USAGE, f"--where: {error}") from None


def question_of(where: str | None, person: str | None, state: str | None, **exactly: str | None) -> Question:
    """What these options ask for; an address is read from stdin for `-`. Stop where one of them is wrong."""
    sieve = sieve_of(where)
    if state is not None and state not in STATES:
        raise Stop(Code.USAGE, f"there is no such state; states: {', '.join(STATES)}")
    said = state or (None if "state" in sieve.keys else "dead")
    named = {name: value for name, value in exactly.items() if value is not None}
    return Question(sieve, named, said, None if person is None else given(person), _ring_for(person))


def _ring_for(person: str | None) -> KeyRing:
    """The keys that the question needs: none, unless a person is named, whose hash one role alone can make."""
    if person is None:
        return KEYLESS
    try:
        return ring_of(settings(), "upkeep")
    except (SettingsError, KeyDirError) as error:
        hint = "run it where upkeep's key directory is, or ask by pseudonym: --where person=..."
        raise Stop(Code.USAGE, f"an address is hashed with upkeep's key: {error}", hint) from None


def cursor_of(letter: Mapping[str, Any]) -> str:
    """What `--after` takes to go on behind this letter."""
    return f"{millis(letter['last'])}_{letter['_id']}"


def place_of(cursor: str | None) -> Place | None:
    """The place that a cursor names. Stop for what is none."""
    if cursor is None:
        return None
    matched = _CURSOR.fullmatch(cursor)
    if matched is None:
        raise Stop(Code.USAGE, "--after takes a cursor, as the page before showed it", "preklic dead list --json")
    return moment(int(matched[1])), matched[2]
