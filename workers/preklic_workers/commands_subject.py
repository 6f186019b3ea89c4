"""`preklic subject`: what is recorded of one person, without the address."""

import sys
from typing import Annotated, Any

import typer

from preklic_shared.addresses import BadAddress, parse
from preklic_shared.cli import Code, Json, Stop, ends_with, say, settings, show, show_json
from preklic_workers import commands_erasure, commands_export, looking, store
from preklic_workers.blind import Blind
from preklic_workers.commands_merge import merge
from preklic_workers.keydir import KeyDirError
from preklic_workers.permission import Person
from preklic_workers.rings import ring_of

ends_with(store.Unavailable, Code.AWAY, "is MongoDB running, and PREKLIC_MONGO_URL right? try: preklic doctor")
ends_with(KeyDirError, Code.FINDING)

subject = typer.Typer(no_args_is_help=True, add_completion=False, help="One person, by address or by a website's name.")
subject.command("merge")(merge)


subject.command("erase")(commands_erasure.erase)
subject.command("export")(commands_export.export)
subject.command("review")(commands_erasure.review)


@subject.callback()
def _subject() -> None:
    # With a callback Typer keeps `show` a command of its own, however many there are.
    return


@subject.command("show")
def show_subject(
    who: Annotated[str, typer.Argument(help="The address, or the website's own name; `-` reads it from stdin.")],
    *,
    as_json: Json = False,
) -> None:
    """Permissions with their history, suppressions and mails under way of one person. Needs upkeep's key directory.

    Example: `preklic subject show -`, then the address on a line of its own
    """
    given = sys.stdin.readline().strip() if who == "-" else who
    ring = ring_of(settings(), "upkeep")

    async def work(opened: store.Store, _: Any) -> tuple[Person, list[store.Doc]] | None:
        person = await _person(opened, given, ring.blind)
        return None if person is None else (person, await opened.proofs.history(person.id))

    try:
        found = looking.with_store("read", work, ring)
    except BadAddress as error:
        raise Stop(Code.USAGE, f"that is no address ({error.code})") from None
    if found is None:
        raise Stop(Code.FINDING, "nobody of that name or address is recorded")
    person, history = found
    show_json(facts(person) | {"history": history}) if as_json else _tell(person, history)


async def _person(opened: store.Store, given: str, blind: Blind) -> Person | None:
    if "@" in given:
        return await opened.persons.whole(blind.subject(parse(given)))
    known = await opened.persons.by_ref(given)
    return None if known is None else await opened.persons.whole(known.id)


def facts(person: Person) -> dict[str, Any]:
    """The person's facts as JSON values, without the address and without what is encrypted."""
    return {
        "subject": person.id,
        "seq": person.seq,
        "provider": person.provider,
        "erased": person.erased,
        "suppressed": dict(person.suppressed),
        "permissions": [
            {"purpose": key, "state": said.state, "at": said.at, "job": said.job, "seq": said.seq}
            for key, said in sorted(person.permissions.items())
        ],
        "under_way": [{"message": one.message, "purpose": one.purpose, "until": one.until} for one in person.open],
        "stale": [{"message": one.message, "purpose": one.purpose} for one in person.stale],
    }


def _tell(person: Person, history: list[store.Doc]) -> None:
    known = facts(person)
    say(f"[bold]{person.id}[/] seq {person.seq}, provider {person.provider or 'none'}")
    if person.erased:
        say("  erased")
    for kind, at in person.suppressed.items():
        say(f"  suppressed: {kind} since {at:%Y-%m-%d %H:%M}")
    show(known["permissions"], ("purpose", "state", "at", "job"), title="Permissions", as_json=False)
    rows = [row | {"purpose": row.get("purpose") or " ".join(row["purposes"])} for row in history]
    show(rows, ("at", "purpose", "action", "version", "method", "producer"), title="History", as_json=False)
    if known["under_way"]:
        show(known["under_way"], ("message", "purpose", "until"), title="Under way", as_json=False)
