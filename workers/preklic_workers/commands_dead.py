"""`preklic dead`: the jobs that died, for incident responders."""

import json
from typing import Annotated, Any

import typer

from preklic_shared.cli import Code, Json, Stop, ends_with, say, show, show_json
from preklic_shared.jobs import ACTORS
from preklic_shared.telemetry import plain
from preklic_shared.wire import Malformed, strict_json
from preklic_workers import looking, store
from preklic_workers.reasons import meaning

ends_with(store.Unavailable, Code.AWAY, "is MongoDB running, and PREKLIC_MONGO_URL right? try: preklic doctor")

dead = typer.Typer(no_args_is_help=True, add_completion=False, help="Jobs that died: listed, grouped by cause, shown.")

Fingerprint = Annotated[str | None, typer.Option(help="Only this group.")]
Queue = Annotated[str | None, typer.Option(help="Only from this queue.")]
_HEADER = frozenset(name for kind, _ in ACTORS.values() for name in kind.__struct_fields__) - {"sealed"}
_LISTED = ("job", "queue", "reason", "field", "attempts", "last")


@dead.command("list")
def list_dead(
    *,
    fingerprint: Fingerprint = None,
    queue: Queue = None,
    state: Annotated[str, typer.Option(help="dead, replayed or discarded.")] = "dead",
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100,
    as_json: Json = False,
) -> None:
    """Dead letters, the newest first.

    Example: `preklic dead list --queue send.bulk`
    """
    rows = looking.with_store(
        lambda opened, _: opened.dead.find(state=state, fingerprint=fingerprint, queue=queue, limit=limit)
    )
    show(rows, _LISTED, title="Dead letters", as_json=as_json)


@dead.command()
def groups(*, as_json: Json = False) -> None:
    """Dead letters by cause, the largest group first.

    Example: `preklic dead groups`
    """
    found = looking.with_store(lambda opened, _: opened.dead.groups())
    rows = [{name: getattr(group, name) for name in group.__slots__} for group in found]
    explained = [row | {"meaning": meaning(row["reason"])} for row in rows]
    columns = ("fingerprint", "queue", "reason", "count", "first", "last", "meaning")
    show(explained, columns, title="Dead letters by cause", as_json=as_json)


@dead.command("show")
def show_dead(
    letter: Annotated[str, typer.Argument(help="The dead letter's id, or its job's.")], *, as_json: Json = False
) -> None:
    """One dead letter: why it died, and its clear header; what is sealed stays sealed.

    Example: `preklic dead show 0193a1b2-...`
    """
    found = looking.with_store(lambda opened, _: opened.dead.show(letter))
    if found is None:
        raise Stop(Code.FINDING, "there is no such dead letter")
    body = found.pop("body")
    found |= {"octets": len(body), "header": clear_header(bytes(body))}
    if as_json:
        show_json(found)
        return
    say(f"[bold]{found['_id']}[/] {found['reason']}: {meaning(found['reason'])}")
    say(json.dumps(found, indent=2, default=str))


def clear_header(body: bytes) -> dict[str, Any]:
    """The header fields of a job's body that a kind of job has, without its sealed text; empty when it is no job.

    Who publishes unsealed may have put anything anywhere: what could be an address is withheld (P1).
    """
    try:
        job = strict_json(body)["kwargs"]["job"]
    except (Malformed, KeyError, TypeError):
        return {}
    return {name: _shown(job[name]) for name in sorted(_HEADER & job.keys())} if isinstance(job, dict) else {}


def _shown(value: Any) -> Any:
    return [plain(item) for item in value] if isinstance(value, list) else plain(value)
