"""`preklic hold`: what must be kept for a proceeding, and until when (U13)."""

import datetime as dt
from typing import Annotated, Any

import typer

from preklic_shared.cli import Code, Json, Stop, say, show, show_json
from preklic_workers import holds
from preklic_workers.desk import OfficerKey, Who, asked, end_of, groups_of, listed, person_of, request_id, sits, words
from preklic_workers.law import Law
from preklic_workers.officers import Signer
from preklic_workers.store import Hold

hold = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Legal holds: what an erasure must leave for a case."
)
_LISTED = ("hold", "person", "case", "groups", "mails", "octets", "from", "until", "by", "state")
_DAY = ["%Y-%m-%d"]
Octets = Annotated[bool, typer.Option("--octets", help="From now on keep each mail to them as it leaves.")]


@hold.command()
def add(
    who: Who,
    *,
    case: Annotated[str, typer.Option(help="The proceeding's number.")],
    groups: Annotated[str, typer.Option(help="Field groups, by comma: contact,evidence.")],
    until: Annotated[dt.datetime, typer.Option(formats=_DAY, help="Its last day (UTC).")],
    reason: Annotated[str, typer.Option(help="Why; it is recorded. No address in it.")],
    message: Annotated[list[str] | None, typer.Option(help="Keep the record of this mail; may repeat.")] = None,
    mails_from: Annotated[
        dt.datetime | None, typer.Option(formats=_DAY, help="Keep those of mails since then.")
    ] = None,
    mails_to: Annotated[dt.datetime | None, typer.Option(formats=_DAY, help="And up to this day.")] = None,
    octets: Octets = False,
    officer_key: OfficerKey = None,
    as_json: Json = False,
) -> None:
    """Keep what is recorded of one person from erasure. No mail ever goes out because of it.

    Example: `preklic hold add - --case "II P 12/2026" --groups contact,evidence --until 2027-06-30 --reason "lawsuit"`
    """
    typed, chosen = asked(who), groups_of(groups)
    ids = tuple(request_id(one) for one in message or ())

    async def work(law: Law, signer: Signer) -> tuple[str, Hold]:
        person = await person_of(law, typed)
        mails = ids + await _between(law, person, mails_from, mails_to)
        wanted = holds.Wanted(words("case", case), chosen, end_of(until), words("reason", reason), mails, octets)
        return person, await holds.add(law, signer, person, wanted)

    person, made = sits(work, officer_key, "hold", opens=True)
    if as_json:
        show_json(_row(person, made))
        return
    say(f"hold {made.id} on {person}: {', '.join(made.groups)}, {made.mails} mails, until {until:%Y-%m-%d}")


@hold.command("list")
def list_holds(*, as_json: Json = False) -> None:
    """The holds that stand, those that end first in front; `state` says when one is not as it was signed.

    Example: `preklic hold list`
    """

    async def rows(law: Law) -> list[dict[str, Any]]:
        found = await law.store.holds.all()
        return [_row(person, one) | {"state": await holds.state_of(law, person, one)} for person, one in found]

    show(listed(rows), _LISTED, title="Holds", as_json=as_json)


@hold.command()
def release(
    hold_id: Annotated[str, typer.Argument(metavar="ID", help="As `hold list` shows it.")],
    *,
    reason: Annotated[str, typer.Option(help="Why; it is recorded. No address in it.")],
    officer_key: OfficerKey = None,
    as_json: Json = False,
) -> None:
    """End a hold; an erasure that waited for it is completed at once. The same once more changes nothing.

    Example: `preklic hold release 0193a1b2-... --reason "the judgment is final"`
    """
    chosen, why = request_id(hold_id), words("reason", reason)
    if not why:
        raise Stop(Code.USAGE, "--reason says why")
    person, gone = sits(lambda law, signer: holds.release_signed(law, signer, chosen, why), officer_key, "hold")
    if as_json:
        show_json({"hold": chosen, "person": person, "erased": sorted(gone)})
        return
    say(f"released {chosen}" + (f"; erased what had waited: {', '.join(sorted(gone))}" if gone else ""))


async def _between(law: Law, person: str, since: dt.datetime | None, until: dt.datetime | None) -> tuple[str, ...]:
    """Mails that are there already: a hold claims nothing that is still to come."""
    if since is None and until is None:
        return ()
    if since is None or until is None:
        raise Stop(Code.USAGE, "a period has --mails-from and --mails-to")
    return tuple(await law.store.holds.mails_between(person, since.replace(tzinfo=dt.UTC), end_of(until)))


def _row(person: str, one: Hold) -> dict[str, Any]:
    row = {"hold": one.id, "person": person, "case": one.case, "groups": ",".join(one.groups), "mails": one.mails}
    return row | {"octets": one.octets, "from": one.since, "until": one.until, "by": one.signed.officer}
