"""`preklic restore-check`: after a backup was restored, all that must happen before mail goes again."""

from typing import Annotated

import msgspec
import typer

from preklic_shared.cli import Code, Json, Stop, ends_with, say, settings, show_json
from preklic_shared.publication import PublishError
from preklic_shared.publication import Unavailable as BrokerAway
from preklic_shared.registry import load_registry
from preklic_shared.settings import Settings
from preklic_workers import looking, store
from preklic_workers.durable import Locked
from preklic_workers.keydir import KeyDirError
from preklic_workers.operating import operator
from preklic_workers.reasons import given
from preklic_workers.restore import PATIENCE, Report, RestoreCheck
from preklic_workers.rings import ring_of
from preklic_workers.state_dir import state_of
from preklic_workers.store.key_copies import BadCopy
from preklic_workers.telling import told
from preklic_workers.tombstones import Broken

_CLOSED = "mail stays closed; the same command goes on from here"
ends_with(store.Unavailable, Code.AWAY, "is MongoDB running, and PREKLIC_MONGO_URL right? try: preklic doctor")
ends_with(BrokerAway, Code.AWAY, "is RabbitMQ running, and PREKLIC_AMQP_URL right? try: preklic doctor")
ends_with(PublishError, Code.AWAY, _CLOSED)
ends_with(KeyDirError, Code.FINDING)
ends_with(Broken, Code.FINDING, _CLOSED)
ends_with(BadCopy, Code.FINDING, _CLOSED)
ends_with(Locked, Code.FINDING, "wait until it has ended")


def restore_check(
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is recorded. No address in it.")] = "a restore",
    accept: Annotated[
        bool, typer.Option("--accept", help="Open although the log was cut or tombstones are lost; needs --reason.")
    ] = False,
    patience: Annotated[float, typer.Option(min=1, help="Seconds for revocations to be applied again.")] = PATIENCE,
    as_json: Json = False,
) -> None:
    """Erase again, apply again every revocation since, doubt every mail since; only then mail goes. Repeatable.

    Needs the keys of upkeep, PREKLIC_STATE_DIR, and a running worker of the role revoke. Ends with 1 while anything is
    left, and mail stays closed. Without a restore there is nothing to do.

    Example: `preklic restore-check --reason "dump of 26 November, case 17"`
    """
    why = given(reason)
    if why is None or (accept and reason == "a restore"):
        raise Stop(Code.USAGE, "--reason is a text of at most 500 characters without an address")
    report = _run(why, patience, accept=accept)
    show_json(msgspec.structs.asdict(report)) if as_json else _tell(report)
    if report.left:
        raise typer.Exit(Code.FINDING)


def _run(why: str, patience: float, *, accept: bool) -> Report:
    config = settings()
    ring, state, registry = ring_of(config, "upkeep"), state_of(config), load_registry(config.registry)
    with told() as tell:

        async def work(opened: store.Store, _: Settings) -> Report:
            by = operator()
            check = RestoreCheck(
                opened, config.amqp_url, registry, ring, state, by, why, tell=tell, patience=patience, accept=accept
            )
            return await check.run()

        return looking.with_store("law", work, ring)


def _tell(report: Report) -> None:
    if not report.restored:
        say("the database is the one of the last mark: nothing to do")
        return
    say(f"the copy's last mark is of {report.since:%Y-%m-%d %H:%M:%S}" if report.since else "the copy has no mark")
    say(f"  {report.keys} wrapped keys from the backup; {report.erased} of {report.tombstones} erasures done again")
    say(f"  {report.revocations} revocations applied again; {report.doubts} mails put in doubt: preklic doubt list")
    for line in report.left:
        say(f"  [bold red]left:[/] {line}")
    if report.left:
        say(f"all mail stays closed: {_CLOSED}")
        return
    say("[bold green]mail goes again[/]; grants since then are lost to this copy:")
    since = f"{report.since:%Y-%m-%dT%H:%M:%S}" if report.since else "TIME"
    say(f"  preklic replay plan --queue record --from {since}")
