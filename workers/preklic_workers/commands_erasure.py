"""`preklic subject erase` and `preklic subject review`: storage ends, by a person's wish or by long silence (U7)."""

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from preklic_shared.cli import Code, Json, Stop, ends_with, say, settings, show, show_json
from preklic_shared.publication import PublishError
from preklic_shared.publication import Unavailable as BrokerAway
from preklic_shared.registry import load_registry
from preklic_shared.settings import Settings
from preklic_workers import erasing, looking, reviewing
from preklic_workers.erasing import Answered
from preklic_workers.operating import operator
from preklic_workers.reasons import given as reason_given
from preklic_workers.rings import ring_of
from preklic_workers.store import Store
from preklic_workers.whom import Who, given, subjects

ends_with(BrokerAway, Code.AWAY, "is RabbitMQ running, and PREKLIC_AMQP_URL right? try: preklic doctor")
ends_with(PublishError, Code.AWAY, "the broker refused the erasure: nothing was erased; run it again")

Why = Annotated[str, typer.Option("--reason", help="Why; it is recorded. No address in it.")]
Wait = Annotated[float, typer.Option("--wait", min=0, help="Seconds to wait for the worker of `revoke`.")]
_REVIEWED = ("subject", "last")


def erase(who: Who, *, reason: Why, wait: Wait = 120, as_json: Json = False) -> None:
    """Erase a person: all purposes end, and what no open contract or hold keeps is deleted. Prints the receipt.

    Somebody who is erased already stays so, and the first receipt is shown again. Needs the key directory of upkeep.

    Example: `preklic subject erase - --reason "asked by letter, case 17"`, then the address on a line of its own
    """
    why, person, ring = checked(reason), given(who), ring_of(settings(), "upkeep")

    async def work(store: Store, config: Settings) -> list[dict[str, Any]]:
        meant = await subjects(store, ring.blind, person)
        before = {subject: await erasing.earlier(store, subject) for subject in meant}
        left = [subject for subject in meant if before[subject] is None]
        told = [erasing.receipt(subject, None, old) for subject, old in before.items() if old is not None]
        return told + [receipt_of(one) for one in await _erase(store, config, left, why, wait)]

    receipts = looking.with_store("law", work, ring)
    if as_json:
        show_json(receipts)
    else:
        for each in receipts:
            _tell(each)
    end(receipts)


def review(
    *,
    erased: Annotated[bool, typer.Option("--erase", help="Erase those that are listed; needs --reason.")] = False,
    reason: Annotated[str | None, typer.Option("--reason", help="Why they are erased; it is recorded.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000)] = 1000,
    wait: Wait = 120,
    as_json: Json = False,
) -> None:
    """Persons of whom nothing was heard for as long as the registry keeps an address: no yes, mail or click.

    Whoever has an open contract is not among them. Nobody is erased by silence alone: `--erase` does it, with a reason.

    Example: `preklic subject review --json`
    """
    why = checked(reason or "") if erased else ""
    registry = load_registry(settings().registry)

    async def work(store: Store, config: Settings) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        found = await reviewing.silent(store, registry, limit)
        rows = [{"subject": one.subject, "last": one.last} for one in found]
        ended = await _erase(store, config, [one.subject for one in found], why, wait) if erased else []
        return rows, [receipt_of(one) for one in ended]

    rows, receipts = looking.with_store("law" if erased else "read", work)
    _tell_review(rows, receipts, as_json=as_json)
    end(receipts)
    if rows and not erased:
        raise typer.Exit(Code.FINDING)


def checked(reason: str) -> str:
    """The reason as it may be recorded; Stop when it may not."""
    why = reason_given(reason)
    if why is None:
        raise Stop(Code.USAGE, "--reason is a text of at most 500 characters without an address")
    return why


def receipt_of(one: Answered) -> dict[str, Any]:
    """A receipt as it is shown."""
    return erasing.receipt(one.asked.subject, one.asked.job, one.erased) | {"state": one.state or "not yet applied"}


def end(receipts: list[dict[str, Any]]) -> None:
    """A finding when something is not applied yet: it is on the queue, and will be."""
    if late := [each["receipt"] for each in receipts if each.get("state", "applied") != "applied"]:
        raise Stop(
            Code.FINDING, f"not applied yet: {', '.join(late[:3])}", "is a worker of revoke running? preklic why"
        )


async def _erase(store: Store, config: Settings, meant: list[str], why: str, wait: float) -> list[Answered]:
    asked = await erasing.ask(store, config, meant, by=operator(), why=why)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("erasing", total=len(asked))
        return await erasing.all_answered(store, asked, wait, lambda done: progress.update(task, completed=done))


def _tell_review(rows: list[dict[str, Any]], receipts: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        show_json({"silent": rows, "erased": receipts})
    else:
        show(rows, _REVIEWED, title="Silent for too long", as_json=False)
        say(f"{len(receipts)} of {len(rows)} erased")


def _tell(known: dict[str, Any]) -> None:
    when = f"{known['erased_at']:%Y-%m-%d %H:%M:%S} UTC" if known["erased_at"] else "not"
    say(f"[bold]receipt {known['receipt']}[/] erased: {when}")
    say(f"  was there: {', '.join(known['groups']) or 'nothing'}; {known['events']} events, {known['proofs']} proofs, "
        f"{known['dead_letters']} dead letters, {known['scheduled_mails']} scheduled mails")  # fmt: skip
    if known["kept"]:
        say(f"  kept for an open contract or a hold: {', '.join(known['kept'])}")
    for line in known["stays"]:
        say(f"  stays: {line}")
