"""`preklic schedule`: the mails that wait for their time, and how one of them is cancelled."""

from typing import Annotated, Any, Final

import typer

from preklic_shared.cli import Code, Json, Stop, ends_with, say, show, show_json
from preklic_shared.ids import is_id
from preklic_workers import looking, store
from preklic_workers.operating import operator
from preklic_workers.reasons import given
from preklic_workers.store import Act, Cancelling, Doc, Store

ends_with(store.Unavailable, Code.AWAY, "is MongoDB running, and PREKLIC_MONGO_URL right? try: preklic doctor")

schedule = typer.Typer(no_args_is_help=True, help="Mails that wait for their time.", add_completion=False)
ACT: Final = "schedule_cancelled"
CANCELLED: Final = "cancelled"
_LISTED: Final = ("job", "purpose", "at", "what", "by")


@schedule.command("list")
def list_(
    *,
    purpose: Annotated[str | None, typer.Option(help="Of this purpose alone.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 100,
    as_json: Json = False,
) -> None:
    """What waits, the next first. A mail that left the schedule is with its queue: `preklic why JOB`.

    Example: `preklic schedule list --purpose newsletter`
    """
    rows = looking.with_store("read", lambda opened, _: opened.timed.waiting(purpose, limit))
    show([_row(row) for row in rows], _LISTED, title="Scheduled mails", as_json=as_json)


@schedule.command()
def cancel(
    job: Annotated[str, typer.Argument(help="The job's id, as its receipt says.")],
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is recorded. No address in it.")],
    as_json: Json = False,
) -> None:
    """Cancel a mail before its time: its sealed body goes, and it never leaves. Repeated it changes nothing.

    Example: `preklic schedule cancel 0193a1b2-... --reason "the meeting was called off, case 17"`
    """
    why = given(reason)
    if why is None:
        raise Stop(Code.USAGE, "--reason is a text of at most 500 characters without an address")
    if not is_id(job):
        raise Stop(Code.USAGE, "that is no job id", "an id has 36 characters, lower case, as the receipt shows it")
    state = looking.with_store("stop", lambda opened, _: _cancel(opened, job, operator(), why))
    if as_json:
        show_json({"job": job, "state": state})
    elif state == CANCELLED:
        say(f"cancelled: {job}")
    if state is None:
        raise Stop(Code.FINDING, f"nothing is recorded of {job}", "it may still be queued: preklic queues")
    if state != CANCELLED:
        raise Stop(Code.FINDING, f"it waits no more, it is {state}", f"preklic why {job}")


async def _cancel(opened: Store, job: str, by: str, why: str) -> str | None:
    """The act is written first; what does not wait any more needs none."""
    if await opened.timed.waits(job):
        await opened.acts.record(Act(ACT, by, why, facts={"job": job}))
    return await opened.timed.cancel_one(job, Cancelling(CANCELLED, by, why))


def _row(row: Doc) -> dict[str, Any]:
    what = "confirmation" if "template" in row else "mail"
    return {"job": row["_id"], "purpose": row["purpose"], "at": row["at"], "what": what, "by": row.get("by")}
