"""`preklic breakglass`: a responder sees what a pseudonym stands for, for a case, with a second person (U14)."""

from typing import Annotated

import typer

from preklic_shared.cli import Code, Json, Stop, say, show, show_json
from preklic_workers import breakglass as glass
from preklic_workers.approving import Request
from preklic_workers.desk import OfficerKey, RequestId, groups_of, listed, request_id, sits, words
from preklic_workers.law import Law
from preklic_workers.officers import Signer
from preklic_workers.pseudonyms import by_pseudonym

breakglass = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="See a person's fields for minutes: with a case and a second person.",
)
_LISTED = ("request", "state", "case", "person", "groups", "minutes", "by", "approved", "at")


@breakglass.command("open")
def ask(
    *,
    case: Annotated[str, typer.Option(help="The incident's number.")] = "",
    who: Annotated[str, typer.Option(help="The pseudonym: a subject, or the job id of a mail.")] = "",
    groups: Annotated[str, typer.Option(help="Field groups, by comma.")] = "contact",
    minutes: Annotated[int, typer.Option(help="How long it is open after the approval.")] = 30,
    reason: Annotated[str, typer.Option(help="Why; it is recorded. No address in it.")] = "",
    officer_key: OfficerKey = None,
    as_json: Json = False,
) -> None:
    """Ask to see one person's fields. Nothing is open before another officer approves it.

    Example: `preklic breakglass open --case INC-7 --who 0193a1b2-... --minutes 30 --reason "mail to a wrong person"`
    """
    if "@" in who:
        raise Stop(Code.USAGE, "responders work on pseudonyms, not on addresses", "a subject, or the job id of a mail")
    chosen, number, why = groups_of(groups), words("case", case), words("reason", reason)

    async def work(law: Law, signer: Signer) -> Request:
        person = await by_pseudonym(law.store, who) if who else ""
        if person is None:
            raise Stop(Code.FINDING, "nobody is recorded under that pseudonym")
        wanted = glass.Wanted(case=number, reason=why, person=person, groups=chosen, minutes=minutes)
        return await glass.ask(law, signer, wanted)

    made = sits(work, officer_key, "breakglass")
    if as_json:
        show_json({"request": made.id, "state": "pending"})
        return
    say(f"asked: {made.id}; another officer says: preklic breakglass approve {made.id}")


@breakglass.command()
def approve(request: RequestId, *, officer_key: OfficerKey = None, as_json: Json = False) -> None:
    """Approve another officer's request; its minutes begin now.

    Example: `preklic breakglass approve 0193a1b2-... --officer-key mojca.ed25519`
    """
    chosen = request_id(request)
    until = sits(lambda law, signer: glass.approve(law, signer, chosen), officer_key, "breakglass")
    show_json({"request": chosen, "until": until}) if as_json else say(f"open until {until:%Y-%m-%d %H:%M:%S} UTC")


@breakglass.command()
def read(request: RequestId, *, officer_key: OfficerKey = None) -> None:
    """Show the fields as JSON, as long as the request is open; each look is recorded first.

    Example: `preklic breakglass read 0193a1b2-... --officer-key boris.ed25519`
    """
    chosen = request_id(request)
    show_json(sits(lambda law, signer: glass.look(law, signer, chosen), officer_key, "breakglass", opens=True))


@breakglass.command("list")
def list_requests(*, limit: Annotated[int, typer.Option(min=1, max=1000)] = 100, as_json: Json = False) -> None:
    """Requests with their state, the newest first.

    Example: `preklic breakglass list`
    """
    rows = listed(lambda law: glass.listing(law, limit))
    show(rows, _LISTED, title="Break-glass", as_json=as_json)


@breakglass.command()
def close(request: RequestId, *, officer_key: OfficerKey = None) -> None:
    """End a request before its time. The same once more changes nothing.

    Example: `preklic breakglass close 0193a1b2-... --officer-key boris.ed25519`
    """
    chosen = request_id(request)
    sits(lambda law, signer: glass.close(law, signer, chosen), officer_key, "breakglass")
    say(f"closed {chosen}")
