"""`preklic dead`: the jobs that died, for incident responders."""

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any

import typer
from rich.markup import escape

from preklic_shared.cli import Code, Json, Stop, ends_with, say, show, show_json
from preklic_shared.jobs import ACTORS
from preklic_shared.telemetry import plain
from preklic_shared.wire import Malformed, strict_json
from preklic_workers import commands_discard, looking, store
from preklic_workers.dead_options import (
    Fingerprint,
    Person,
    Question,
    Queue,
    State,
    Watch,
    Where,
    cursor_of,
    place_of,
    question_of,
)
from preklic_workers.reasons import meaning
from preklic_workers.store.dead import MOST_GROUPS
from preklic_workers.watching import Rows
from preklic_workers.watching import watch as watched

ends_with(store.Unavailable, Code.AWAY, "is MongoDB running, and PREKLIC_MONGO_URL right? try: preklic doctor")

dead = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Jobs that died: listed, grouped by cause, shown, discarded. To run them again: preklic replay plan --dead.",
)
dead.command("discard")(commands_discard.discard)
dead.command("undiscard")(commands_discard.undiscard)

_HEADER = frozenset(name for kind, _ in ACTORS.values() for name in kind.__struct_fields__) - {"sealed"}
_LETTERS = ("Dead letters", ("job", "queue", "reason", "field", "purpose", "attempts", "last"))
_GROUPS = ("Dead letters by cause", ("fingerprint", "queue", "reason", "field", "count", "first", "last", "meaning"))


@dead.command("list")
def list_dead(
    *,
    where: Where = None,
    fingerprint: Fingerprint = None,
    queue: Queue = None,
    person: Person = None,
    state: State = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Letters of a page.")] = 100,
    after: Annotated[str | None, typer.Option(help="The page after this cursor, as the page before showed it.")] = None,
    watch: Watch = False,
    as_json: Json = False,
) -> None:
    """Dead letters, the newest first, page by page. What dies meanwhile shifts no page.

    Example: `preklic dead list --where "purpose=payment,age<2h"`
    """
    question, place = question_of(where, person, state, fingerprint=fingerprint, queue=queue), place_of(after)

    async def read(opened: store.Store) -> Rows:
        condition = await question.condition(opened)
        found = await opened.dead.find(state=question.state, where=condition, after=place, limit=limit)
        return [letter | {"cursor": cursor_of(letter)} for letter in found]

    if len(rows := _listed(question, read, _LETTERS, watch=watch, as_json=as_json)) == limit:
        say(f"there may be more: --after {rows[-1]['cursor']}", err=True)


@dead.command()
def groups(
    *,
    where: Where = None,
    person: Person = None,
    state: State = None,
    limit: Annotated[int, typer.Option(min=1, max=MOST_GROUPS, help="So many of the largest groups.")] = 100,
    watch: Watch = False,
    as_json: Json = False,
) -> None:
    """Dead letters by cause, the largest group first.

    Example: `preklic dead groups --where "age<1h" --watch`
    """
    question = question_of(where, person, state)

    async def read(opened: store.Store) -> Rows:
        condition = await question.condition(opened)
        found = await opened.dead.groups(state=question.state, where=condition, limit=limit)
        rows = [{name: getattr(group, name) for name in group.__slots__} for group in found]
        return [row | {"meaning": meaning(row["reason"])} for row in rows]

    _listed(question, read, _GROUPS, watch=watch, as_json=as_json)


@dead.command("show")
def show_dead(
    letter: Annotated[str, typer.Argument(help="The dead letter's id, or its job's.")], *, as_json: Json = False
) -> None:
    """One dead letter: why it died, who decided what of it, and its clear header; what is sealed stays sealed.

    Example: `preklic dead show 0193a1b2-...`
    """
    found = looking.with_store("read", lambda opened, _: opened.dead.show(letter))
    if found is None:
        raise Stop(Code.FINDING, "there is no such dead letter", "preklic dead list shows those there are")
    body = found.pop("body")
    found |= {"octets": len(body), "header": clear_header(bytes(body))}
    if as_json:
        show_json(found)
        return
    say(f"[bold]{found['_id']}[/] {found['reason']}: {meaning(found['reason'])}")
    say(escape(json.dumps(found, indent=2, default=str)))


def clear_header(body: bytes) -> dict[str, Any]:
    """The header fields of a job's body that a kind of job has, without its sealed text; empty when it is no job.

    Who publishes unsealed may have put anything anywhere: what could be an address is withheld (P1).
    """
    try:
        job = strict_json(body)["kwargs"]["job"]
    except (Malformed, KeyError, TypeError):
        return {}
    if not isinstance(job, dict):
        return {}
    return {name: _shown(job[name]) for name in sorted(_HEADER & job.keys()) if job[name] is not None}


def _shown(value: Any) -> Any:
    return [plain(item) for item in value] if isinstance(value, list) else plain(value)


def _listed(
    question: Question,
    read: Callable[[store.Store], Awaitable[Rows]],
    listing: tuple[str, Sequence[str]],
    *,
    watch: bool,
    as_json: bool,
) -> Rows:
    """Show what `read` answers: once, or again and again."""
    title, columns = listing

    async def work(opened: store.Store, _: Any) -> Rows:
        if watch:
            await watched(lambda: read(opened), columns, title=title, as_json=as_json)
        return await read(opened)

    rows = looking.with_store("read", work, question.ring)
    show(rows, columns, title=title, as_json=as_json)
    return rows
