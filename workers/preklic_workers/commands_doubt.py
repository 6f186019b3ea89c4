"""`preklic doubt`: the mails of which nobody knows whether they arrived, and what a person or a relay's log says."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from preklic_shared.cli import Code, Json, Stop, ends_with, say, settings, show, show_json
from preklic_shared.ids import is_id
from preklic_shared.registry import load_registry
from preklic_workers import answers, looking, relaylog, store
from preklic_workers.answers import Answer, Resolved
from preklic_workers.operating import operator
from preklic_workers.reasons import given

ends_with(store.Unavailable, Code.AWAY, "is MongoDB running, and PREKLIC_MONGO_URL right? try: preklic doctor")
ends_with(relaylog.UnknownFormat, Code.USAGE, "Postfix's syslog lines are read, not packed; nothing was changed")
ends_with(relaylog.TooMuch, Code.USAGE, "nothing was changed")
ends_with(relaylog.Unreadable, Code.USAGE, "nothing was changed")
ends_with(answers.TooSoon, Code.POLICY, "nothing was changed; proof (--as sent, --relay-log) may come at any time")

doubt = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Mails that may or may not have arrived: listed, and resolved."
)
Jobs = Annotated[list[str] | None, typer.Argument(metavar="JOB...", help="The mails' job ids.")]
Outcome = Annotated[
    Answer | None, typer.Option("--as", help="sent: you know that it arrived; assumed: nobody will ever know.")
]
RelayLog = Annotated[
    Path | None, typer.Option("--relay-log", help="A relay's log (Postfix) that says what became of our mails.")
]
_LISTED = ("job", "purpose", "since", "state", "policy", "relay", "reason", "known", "message_id")


@doubt.command("list")
def list_doubts(
    *,
    purpose: Annotated[str | None, typer.Option(help="Only of this purpose.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=5000)] = 100,
    as_json: Json = False,
) -> None:
    """The mails in doubt, the longest first: since when, by which relay, and what their purpose says of it.

    Example: `preklic doubt list --purpose payment`
    """
    registry = load_registry(settings().registry)
    rows = looking.with_store("read", lambda opened, _: answers.listing(opened, registry, purpose=purpose, limit=limit))
    show(rows, _LISTED, title="Mails in doubt", as_json=as_json)


@doubt.command()
def resolve(
    jobs: Jobs = None,
    *,
    outcome: Outcome = None,
    relay_log: RelayLog = None,
    reason: Annotated[str, typer.Option(help="Why; it is recorded in the mail's history. No address in it.")],
    as_json: Json = False,
) -> None:
    """End doubts by a person's word about some mails, or by what a relay's log proves. Twice is once.

    Example: `preklic doubt resolve 0193a1b2-... --as sent --reason "the customer has paid it, case 17"`
    """
    why = given(reason)
    if why is None:
        raise Stop(Code.USAGE, "--reason is a text of at most 500 characters without an address")
    if relay_log is not None and jobs is None and outcome is None:
        _tell(_by_log(relay_log, why), as_json=as_json)
    elif relay_log is None and jobs and outcome is not None:
        _by_word(jobs, outcome, why, as_json=as_json)
    else:
        raise Stop(Code.USAGE, "give job ids with --as, or --relay-log", "preklic doubt resolve --help")


def _by_word(jobs: list[str], outcome: Answer, why: str, *, as_json: bool) -> None:
    if strange := [job for job in jobs if not is_id(job)]:
        raise Stop(Code.USAGE, f"{len(strange)} of these are no job ids", "36 characters, lower case, as in doubt list")
    resolved = looking.with_store(
        "replay", lambda opened, _: answers.resolve(opened, jobs, outcome, by=operator(), why=why)
    )
    _tell(resolved, as_json=as_json)
    if not all(one.in_doubt for one in resolved):
        raise typer.Exit(Code.FINDING)


def _by_log(file: Path, why: str) -> list[Resolved]:
    """What the log resolves. It is read to its end before anything is changed."""
    proofs = answers.proofs_of(file, load_registry(settings().registry))
    return looking.with_store("replay", lambda opened, _: answers.by_log(opened, proofs, by=operator(), why=why))


def _tell(resolved: Sequence[Resolved], *, as_json: bool) -> None:
    rows = [{name: getattr(one, name) for name in one.__slots__} for one in resolved]
    if as_json:
        show_json(rows)
        return
    shown = [row | {"before": row["before"] or "not recorded", "after": row["after"] or ""} for row in rows]
    show(shown, ("job", "before", "after"), title="Doubts", as_json=False)
    if any(not one.in_doubt for one in resolved):
        say("what is not in doubt stayed as it is")
