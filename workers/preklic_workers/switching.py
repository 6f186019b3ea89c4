"""What the commands of switches share: the reason, the end, the act that is recorded first, and the listing."""

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final

import typer

from preklic_shared.cli import Code, Stop
from preklic_workers.lasting import end_of
from preklic_workers.operating import operator
from preklic_workers.reasons import given
from preklic_workers.store import Act, Control, Store

Why = Annotated[str | None, typer.Option("--reason", help="Why; it is recorded. No address in it.")]
Until = Annotated[str | None, typer.Option(help="It ends by itself then: ISO 8601 with a zone.")]
For = Annotated[str | None, typer.Option("--for", help="It ends by itself after this: 90s, 30m, 4h, 2d.")]
ACT: Final = "control"
LISTED: Final = ("switch", "stopped", "reason", "by", "at", "until")


def reason_of(text: str | None) -> str:
    """The reason. Stop without one that may be recorded."""
    why = given(text or "")
    if why is None:
        raise Stop(Code.USAGE, "--reason is a text of at most 500 characters without an address")
    return why


def ends(opened: Store, until: str | None, span: str | None) -> dt.datetime | None:
    """When it ends by itself, by the database's clock. Stop for a time that is none."""
    try:
        return end_of(until, span, opened.mongo.now())
    except ValueError as error:
        raise Stop(Code.USAGE, str(error)) from None


async def turn(opened: Store, names: Sequence[str], why: str, *, on: bool, until: dt.datetime | None = None) -> None:
    """Turn these switches on or off, each recorded before it is done. Stop where one is on for longer already."""
    by = operator()
    for name in names:
        facts: dict[str, str | int | dt.datetime] = {"switch": name, "to": "stopped" if on else "goes"}
        await opened.acts.record(Act(ACT, by, why, facts=facts | ({"until": until} if until else {})))
        if not on:
            await opened.controls.go(name, reason=why, by=by)
        elif not await opened.controls.stop(name, reason=why, by=by, until=until):
            raise Stop(Code.POLICY, f"{name} is stopped for longer already, and stays so", "preklic stop says by whom")


def rows(switches: Iterable[Control]) -> list[dict[str, Any]]:
    """Switches as they are listed; `until` is empty where nothing but a person ends it."""
    return [
        {
            "switch": switch.name,
            "stopped": switch.stopped,
            "reason": switch.reason,
            "by": switch.by,
            "at": switch.at,
            "until": switch.until if switch.stopped else None,
        }
        for switch in switches
    ]
