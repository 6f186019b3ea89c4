"""`preklic queues`, `account`, and `why`: what stands where, and why."""

import datetime as dt
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from preklic_shared.cli import Code, Json, ends_with, say, settings, show, show_json
from preklic_shared.publication import Unavailable as BrokerAway
from preklic_shared.registry import load_registry
from preklic_workers import answers, joblog, judging, looking, paused, queue_ages, relaylog, store
from preklic_workers.accounting import Account, Compared
from preklic_workers.commands_why import why
from preklic_workers.store.accounts import Accounts

__all__ = ["account", "queues", "why"]

ends_with(BrokerAway, Code.AWAY, "is RabbitMQ running, and PREKLIC_AMQP_URL right? try: preklic doctor")
ends_with(store.Unavailable, Code.AWAY, "is MongoDB running, and PREKLIC_MONGO_URL right? try: preklic doctor")
ends_with(relaylog.UnknownFormat, Code.USAGE, "Postfix's syslog lines are read, not packed")
ends_with(relaylog.TooMuch, Code.USAGE)
ends_with(relaylog.Unreadable, Code.USAGE)
ends_with(store.Standalone, Code.USAGE, "start MongoDB with --replSet and initiate the set")

Hours = Annotated[float | None, typer.Option(help="Look back so many hours; without it, all of the log.")]
Patience = Annotated[float, typer.Option(min=0, help="Seconds to look again at what a worker may be about to record.")]
RelayLog = Annotated[
    Path | None, typer.Option("--relay-log", help="Compare with a relay's log (Postfix) of the same time, too.")
]

_EVERY = 2.0
_NAMED = 20


def queues(
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Show again every 2 seconds until Ctrl-C.")] = False,
    as_json: Json = False,
) -> None:
    """How many jobs wait in each queue, retry tier and among the dead letters, for how long, and what is paused.

    Example: `preklic queues --watch`
    """
    if watch and not as_json:
        _watch()
    rows = _queue_rows()
    show(rows if as_json else queue_ages.told(rows), queue_ages.COLUMNS, title="Queues", as_json=as_json)


def account(
    *,
    hours: Hours = None,
    patience: Patience = 5,
    relay_log: RelayLog = None,
    closed: Annotated[bool, typer.Option("--closed", help="List the hours that were closed instead.")] = False,
    as_json: Json = False,
) -> None:
    """Compare the log with what is recorded, by job id: every job is in exactly one state, or this ends with 1.

    Example: `preklic account --hours 24`
    """
    if closed:
        _closed_hours(hours, as_json=as_json)
        return
    since = None if hours is None else dt.datetime.now(dt.UTC) - dt.timedelta(hours=hours)
    proofs = None if relay_log is None else answers.proofs_of(relay_log, load_registry(settings().registry))
    result, compared = looking.with_store(
        "read", lambda opened, config: judging.whole(opened, config.amqp_url, since, patience, proofs)
    )
    _tell_account(result, compared, as_json=as_json)
    if result.unaccounted or (compared is not None and not compared.agrees):
        raise typer.Exit(Code.FINDING)


def _closed_hours(hours: float | None, *, as_json: bool) -> None:
    limit = 0 if hours is None else max(1, round(hours))
    rows = looking.with_store("read", lambda opened, _: Accounts(opened.mongo).recent(limit))
    columns = ("_id", "logged", "void", "waiting", "unaccounted", "lost", "settled", "states")
    show(rows, columns, title="Closed hours of the log", as_json=as_json)
    if any(row["unaccounted"] or row.get("lost") for row in rows):
        raise typer.Exit(Code.FINDING)


def _tell_account(result: Account, compared: Compared | None, *, as_json: bool) -> None:
    if as_json:
        figures = {name: getattr(result, name) for name in result.__slots__} | {"unaccounted": result.unaccounted}
        show_json(figures | ({"relay_log": compared} if compared else {}))
        return
    Console().print(account_table(result))
    _name("nowhere, by the oldest of their queue", result.missing)
    _name("in a state that no rule knows", result.strange)
    if compared is not None:
        say(f"the relay's log proves something of {compared.lines} mails")
        _name("sent, but not in the relay's log", compared.sent_without_line)
        _name("in the relay's log, but not sent", compared.line_without_sent)


def _name(what: str, jobs: Sequence[str]) -> None:
    if jobs:
        say(f"[bold red]{len(jobs)}[/] {what}" + (f" (the first {_NAMED}; all with --json):" if jobs[_NAMED:] else ":"))
        for job in jobs[:_NAMED]:
            say(f"  {job}")


def account_table(result: Account) -> Table:
    """The closing table: each state with its number of jobs, and what is unaccounted."""
    table = Table("state", "jobs", title="Account by job id", title_justify="left")
    for state, count in result.states.items():
        table.add_row(state, str(count))
    if result.unrecorded:
        table.add_row("queued, or in a tier", str(len(result.unrecorded) - len(result.missing)))
    table.add_section()
    table.add_row("in the log", str(result.logged))
    table.add_row("void", str(result.void))
    colour = "green" if result.unaccounted == 0 else "bold red"
    table.add_row("unaccounted", f"[{colour}]{result.unaccounted}[/]")
    return table


def _watch() -> None:
    with Live(_queue_table()) as live:
        while True:
            time.sleep(_EVERY)
            live.update(_queue_table())


def _queue_table() -> Table:
    table = Table(*queue_ages.COLUMNS, title="Queues", title_justify="left")
    for row in queue_ages.told(_queue_rows()):
        table.add_row(*map(escape, row.values()))
    return table


def _queue_rows() -> list[dict[str, Any]]:
    """What the broker says, and beside it what the store knows; a store that is away hides that alone."""
    depths = joblog.depths(settings().amqp_url)

    async def look(opened: store.Store, _: Any) -> list[dict[str, Any]]:
        return paused.beside(await queue_ages.look(opened, depths), await opened.controls.all())

    try:
        return looking.with_store("read", look)
    except store.Unavailable:
        return paused.beside(queue_ages.rows(depths, {}, dt.datetime.now(dt.UTC)), None)
