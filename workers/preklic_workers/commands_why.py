"""`preklic why`: the whole story of a job, or of a person, from what is recorded."""

import datetime as dt
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.markup import escape

from preklic_shared.addresses import BadAddress, parse
from preklic_shared.cli import Code, Json, Stop, ends_with, say, settings, show_json
from preklic_shared.topology import LOG_DAYS
from preklic_workers import looking, store, stories
from preklic_workers.keydir import KeyDirError
from preklic_workers.operating import operator
from preklic_workers.private_files import NotWritten, private_file
from preklic_workers.reasons import meaning
from preklic_workers.rings import ring_of
from preklic_workers.seeking import Sought, seek
from preklic_workers.store import Act, Store
from preklic_workers.store.stories import Life, Stories
from preklic_workers.switching import reason_of

ends_with(store.Unavailable, Code.AWAY, "is MongoDB running, and PREKLIC_MONGO_URL right? try: preklic doctor")
ends_with(KeyDirError, Code.FINDING, "the hash of an address needs the key directory of upkeep (PREKLIC_KEY_DIR)")
ends_with(NotWritten, Code.USAGE, "take a new name in a directory of yours; nothing is ever replaced")

ACT = "story_read"
What = Annotated[str | None, typer.Argument(metavar="JOB", help="A job's id, a Message-ID, or an idempotency key.")]
Producer = Annotated[list[str] | None, typer.Option("--producer", help="Whose idempotency key it is; may repeat.")]
Subject = Annotated[str | None, typer.Option("--subject", help="`-`: a person's story, by the address on stdin.")]
Why = Annotated[str | None, typer.Option("--reason", help="Why you read a person's story; it is recorded first.")]
Days = Annotated[int, typer.Option(min=1, max=395, help="How far back a person's story goes.")]
Log = Annotated[bool, typer.Option("--log", help="Read the log as well, though something is recorded.")]
Export = Annotated[
    Path | None, typer.Option("--export", help="Write it to a new file for a ticket; JSON if it ends so.")
]


def why(
    job: What = None,
    *,
    producer: Producer = None,
    subject: Subject = None,
    reason: Why = None,
    days: Days = 30,
    log: Log = False,
    export: Export = None,
    as_json: Json = False,
) -> None:
    """What became of one job, step by step, with each reason in words; or of one person's mails.

    Example: `preklic why 0193a1b2-... --export case-17.txt`, or `preklic why --subject - --reason "case 17"`
    """
    if (job is None) == (subject is None):
        raise Stop(Code.USAGE, "name a job, or a person by --subject", "preklic why --help")
    if export is not None and export.exists():
        raise NotWritten(export, FileExistsError())  # before the long part
    if job is not None:
        _tell_job(_found(job, producer or (), log=log or export is not None), export, as_json=as_json)
    else:
        _tell_person(_life(subject or "", reason_of(reason), days), days, export, as_json=as_json)


def _found(name: str, producers: Sequence[str], *, log: bool) -> Sought:
    sought = looking.with_store("read", lambda opened, config: seek(opened, config, name, producers, log=log))
    if sought is None:
        raise Stop(Code.USAGE, "that is no job id, no Message-ID and no idempotency key")
    return sought


def _tell_job(sought: Sought, export: Path | None, *, as_json: bool) -> None:
    lines, whole = sought.lines(), {"job": sought.job, **_parts(sought), "looked": sought.looked()}
    whole["story"] = [stories.row(line) for line in lines]
    if not lines:
        if as_json:
            show_json(whole)
        raise Stop(Code.FINDING, f"nothing is known of {sought.name}: {'; '.join(sought.looked())}", _MAY_BE)
    head = _head(sought)
    _put(export, whole, [head, *map(stories.text, lines)], as_json=as_json)


_MAY_BE = (
    f"it may wait in a producer's outbox, be older than the log ({LOG_DAYS} days) and its claim (13 months), or be "
    "another producer's key (--producer)"
)


def _parts(sought: Sought) -> dict[str, Any]:
    """What is recorded, as it stands."""
    found = sought.records
    receipt = found.receipt and found.receipt | looking.spans(found.receipt)
    parts = {"message": found.message, "withdrawal": receipt, "dead": list(found.dead)}
    return {name: part for name, part in parts.items() if part}


def _head(sought: Sought) -> str:
    message: Mapping[str, Any] = sought.records.message or {}
    if not message:
        return f"{sought.job}: {sought.standing()}"
    reason, due = message.get("reason"), message.get("send_at")
    at = f", scheduled for {due:%Y-%m-%d %H:%M:%S} UTC" if due else ""
    return f"{sought.job}: {message['state']}{at}" + (f", {reason}: {meaning(reason)}" if reason else "")


def _life(subject: str, why_read: str, days: int) -> Life:
    if subject != "-":
        raise Stop(
            Code.USAGE, "an address on a command line is seen by others", "--subject -, and the address on stdin"
        )
    ring = ring_of(settings(), "upkeep")
    try:
        person = ring.blind.subject(parse(sys.stdin.readline(2000).strip()))
    except BadAddress as error:
        raise Stop(Code.USAGE, f"that is no address ({error.code})") from None

    async def work(opened: Store, _: Any) -> Life:
        await opened.acts.record(Act(ACT, operator(), why_read, person, {"days": days}))
        return await Stories(opened.mongo).of_person(person, opened.mongo.now() - dt.timedelta(days=days))

    return looking.with_store("read", work, ring)


def _tell_person(life: Life, days: int, export: Path | None, *, as_json: bool) -> None:
    lines = stories.of_person(life)
    whole: dict[str, Any] = {"days": days, "cut": life.cut, "story": [stories.row(line) for line in lines]}
    if not lines:
        if as_json:
            show_json(whole)
        raise Stop(
            Code.FINDING, f"nothing is recorded of that person in the last {days} days", "--days looks further back"
        )
    cut = ", the newest of each kind (there are more: --days less)" if life.cut else ""
    _put(export, whole, [f"the last {days} days{cut}", *map(stories.text, lines)], as_json=as_json)


def _put(export: Path | None, whole: Mapping[str, Any], lines: Sequence[str], *, as_json: bool) -> None:
    if export is not None:
        # The last look of all, whatever a field held: a ticket is read by many.
        body = json.dumps(_clean(msgspec.to_builtins(whole)), indent=2, ensure_ascii=False)
        plain = "\n".join(map(stories.safe, lines))
        with private_file(export) as file:
            file.write(((body if export.suffix == ".json" else plain) + "\n").encode())
        say(f"wrote {export}: {len(whole['story'])} steps", err=as_json)
    if as_json:
        show_json(whole)
    elif export is None:
        say(f"[bold]{escape(lines[0])}[/]")
        for line in lines[1:]:
            say(f"  {escape(line)}")


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _clean(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_clean(each) for each in value]
    return stories.safe(value) if isinstance(value, str) else value
