"""`preklic pause` and `preklic resume`: whether jobs are taken off a queue."""

from typing import Annotated, Any

import typer

from preklic_shared.cli import Code, Json, Stop, ends_with, say, show_json
from preklic_workers import looking, store
from preklic_workers.pausing import NEVER, PAUSABLE
from preklic_workers.store import Store
from preklic_workers.store.controls import pause_of
from preklic_workers.switching import For, Until, Why, ends, reason_of, rows, turn

ends_with(store.Unavailable, Code.AWAY, "is MongoDB running, and PREKLIC_MONGO_URL right? try: preklic doctor")

Queue = Annotated[str, typer.Argument(help=f"One of: {', '.join(PAUSABLE)}.")]


def pause(queue: Queue, *, reason: Why = None, until: Until = None, span: For = None, as_json: Json = False) -> None:
    """Take no more jobs off a queue, within a second and on all workers; what runs is finished, the others wait.

    Jobs that wait may expire. Mails are stopped by `preklic stop`; withdrawals are never paused.

    Example: `preklic pause send.bulk --for 30m --reason "the relay is being moved, case 17"`
    """
    _check(queue)
    why = reason_of(reason)

    async def work(opened: Store, _: Any) -> list[dict[str, Any]]:
        await turn(opened, [pause_of(queue)], why, on=True, until=ends(opened, until, span))
        return rows(each for each in await opened.controls.all() if each.queue == queue)

    [row] = looking.with_store("stop", work)
    if as_json:
        show_json(row)
    else:
        end = f"until {row['until']:%Y-%m-%d %H:%M:%S} UTC" if row["until"] else "until: preklic resume"
        say(f"paused: {queue}, {end}")


def resume(queue: Queue, *, reason: Why = None, as_json: Json = False) -> None:
    """Take jobs off a paused queue again; each is judged by today's permissions and its own expiry.

    Example: `preklic resume send.bulk --reason "the relay answers, case 17"`
    """
    _check(queue)
    why = reason_of(reason)

    async def work(opened: Store, _: Any) -> list[dict[str, Any]]:
        await turn(opened, [pause_of(queue)], why, on=False)
        return rows(each for each in await opened.controls.all() if each.queue == queue)

    [row] = looking.with_store("stop", work)
    show_json(row) if as_json else say(f"goes again: {queue}")


def _check(queue: str) -> None:
    if queue in NEVER:
        raise Stop(
            Code.POLICY,
            f"{queue} is never paused: it brings withdrawals, and no mail leaves after a no",
            "to stop mail: preklic stop --all",
        )
    if queue not in PAUSABLE:
        raise Stop(Code.USAGE, f"there is no queue {queue}", f"queues: {', '.join(PAUSABLE)}")
