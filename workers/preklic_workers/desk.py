"""What the commands of law have in common: the officer's key, whom they mean, and the words that are recorded."""

import datetime as dt
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer

from preklic_shared.addresses import BadAddress
from preklic_shared.cli import Code, Stop, ends_with, settings
from preklic_shared.ids import is_id
from preklic_shared.registry import load_registry
from preklic_shared.settings import Right, Settings
from preklic_workers import looking, store
from preklic_workers.envelope import GROUPS, Altered, NoKey
from preklic_workers.keydir import KeyDirError
from preklic_workers.law import Attempt, Law, NotFound, attempting
from preklic_workers.officers import Denied, Signer, load_key, signer_of
from preklic_workers.operating import check_officer, operator
from preklic_workers.pseudonyms import subject_of
from preklic_workers.reasons import given
from preklic_workers.rings import ring_of

ends_with(store.Unavailable, Code.AWAY, "is MongoDB running, and PREKLIC_MONGO_URL right? try: preklic doctor")
ends_with(KeyDirError, Code.FINDING)
ends_with(NotFound, Code.FINDING, "the listing shows what there is")
ends_with(Denied, Code.POLICY, "the refusal is recorded")
ends_with(Altered, Code.FINDING, "data at rest were moved, edited or cut: raise the alarm")
ends_with(NoKey, Code.FINDING, "the key is gone, or the key directory of upkeep is not here (PREKLIC_KEY_DIR)")

_WHAT: Final[dict[Right, str]] = {"hold": "hold", "disclose": "disclosure", "breakglass": "breakglass"}
T = TypeVar("T")
OfficerKey = Annotated[
    Path | None, typer.Option("--officer-key", help="Your private key file; default: PREKLIC_OFFICER_KEY.")
]
RequestId = Annotated[str, typer.Argument(metavar="ID", help="As the listing shows it.")]
Who = Annotated[
    str, typer.Argument(help="The address, a website's name for the person, or the pseudonym; `-` reads it from stdin.")
]


def sits(
    work: Callable[[Law, Signer], Awaitable[T]], officer_key: Path | None, right: Right, *, opens: bool = False
) -> T:
    """Run `work` for the officer of this key. `opens`: with the keys of upkeep. A key that may not is recorded."""
    config = settings()
    place = officer_key or config.officer_key
    if place is None:
        raise Stop(Code.USAGE, "no officer's key is named", "give --officer-key, or set PREKLIC_OFFICER_KEY")
    key = load_key(place)

    async def seated(opened: store.Store, _: Settings) -> T:
        law = Law(opened, load_registry(config.registry), config.officers)
        async with attempting(law, _WHAT[right], Attempt(operator())):
            signer = signer_of(key, right, config.officers)
            check_officer(signer.name)
        return await work(law, signer)

    return looking.with_store("law", seated, ring_of(config, "upkeep") if opens else looking.KEYLESS)


def listed(listing: Callable[[Law], Awaitable[T]]) -> T:
    """A listing, which needs no key."""
    config = settings()
    return looking.with_store(
        "law", lambda opened, _: listing(Law(opened, load_registry(config.registry), config.officers))
    )


async def person_of(law: Law, who: str) -> str:
    """The person's pseudonym. Raises Stop when nobody, or more than one, is recorded under that name."""
    try:
        person = await subject_of(law.store, ring_of(settings(), "upkeep").blind, who)
    except BadAddress as error:
        raise Stop(Code.USAGE, f"that is no address ({error.code})") from None
    if person is None:
        raise Stop(Code.FINDING, "nobody of that name is recorded, or more than one", "name the address")
    return person


def asked(who: str) -> str:
    """`who` as it was typed, or the first line of stdin: an address on a command line is seen by others."""
    return sys.stdin.readline().strip() if who == "-" else who


def request_id(text: str) -> str:
    """A request's or hold's id."""
    if not is_id(text):
        raise Stop(Code.USAGE, "that is no id", "36 characters, lower case, as the listing shows it")
    return text


def words(name: str, text: str) -> str:
    """A text that is recorded; empty stays empty, for whoever needs it says so."""
    if text.strip() and given(text) is None:
        raise Stop(Code.USAGE, f"--{name} is a text of at most 500 characters without an address")
    return text.strip()


def groups_of(text: str) -> tuple[str, ...]:
    """Field groups as they are given, by comma."""
    groups = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if strange := [group for group in groups if group not in GROUPS]:
        raise Stop(Code.USAGE, f"there is no group {', '.join(strange)}", f"known: {', '.join(GROUPS)}")
    return groups


def end_of(day: dt.datetime) -> dt.datetime:
    """The end of a day (UTC)."""
    return day.replace(tzinfo=dt.UTC) + dt.timedelta(days=1)
