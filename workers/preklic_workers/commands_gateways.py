"""`preklic gateways`: which gateways are registered by their marks, and how to take one off."""

from typing import Annotated

import typer

from preklic_shared.cli import Code, Json, Stop, ends_with, say, settings, show
from preklic_workers import looking, store
from preklic_workers.operating import operator
from preklic_workers.reasons import given
from preklic_workers.store.marks import GATEWAY, Marked

ends_with(store.Unavailable, Code.AWAY, "is MongoDB running, and PREKLIC_MONGO_URL right? try: preklic doctor")
ends_with(store.Standalone, Code.USAGE, "start MongoDB with --replSet and initiate the set")

gateways = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Registered gateways, and how late their withdrawals are."
)


@gateways.command("list")
def list_gateways(*, as_json: Json = False) -> None:
    """Each gateway's last mark, and the head of the queue `revoke`. Bulk sending waits while one of them is late.

    Example: `preklic gateways list`
    """
    limit = settings().bulk_closes_after

    async def work(opened: store.Store, _config: object) -> list[dict[str, object]]:
        now = opened.mongo.now()
        return [_row(marked, (now - marked.published).total_seconds(), limit) for marked in await opened.marks.all()]

    rows = looking.with_store("read", work)
    show(rows, ("name", "kind", "state", "published", "seen", "behind"), title="Gateways", as_json=as_json)


@gateways.command()
def forget(
    name: Annotated[str, typer.Argument(help="The gateway's name, as `gateways list` shows it.")],
    *,
    reason: Annotated[str, typer.Option(help="Why; it is recorded.")] = "gone for good",
) -> None:
    """Take a gateway off that is gone for good, with its outbox: withdrawals in there will never arrive.

    Example: `preklic gateways forget web1-3f2a9c1d`
    """
    why = given(reason)
    if why is None:
        raise Stop(Code.USAGE, "--reason is a text of at most 500 characters without an address")

    async def work(opened: store.Store, _config: object) -> bool:
        await opened.acts.record(store.Act("gateway_forgotten", operator(), why, facts={"gateway": name[:64]}))
        return await opened.marks.forget(name)

    if not looking.with_store("stop", work):
        raise Stop(Code.FINDING, "no such gateway is registered", "preklic gateways list")
    say(f"forgot {name}; if it still runs, it registers again within a second")


def _row(marked: Marked, behind: float, limit: float) -> dict[str, object]:
    kind, _, name = marked.name.partition(":")
    assert f"{kind}:" == GATEWAY or kind == "queue"
    state = "left" if marked.left else "late" if behind > limit else "good"
    return {
        "name": name,
        "kind": kind,
        "state": state,
        "published": marked.published,
        "seen": marked.seen,
        "behind": round(behind, 1),
    }
