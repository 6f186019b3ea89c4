"""`preklic webhooks`: the endpoints that are told of events, a test for one, and the turn of its secrets."""

import asyncio
import datetime as dt
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from preklic_shared.cli import Code, Json, Stop, ends_with, say, settings, show, show_json
from preklic_shared.ids import new_id
from preklic_shared.webhooks_out import WebhookOut
from preklic_workers import looking, store
from preklic_workers.durable import replace
from preklic_workers.keydir import KeyDirError
from preklic_workers.operating import operator
from preklic_workers.reasons import given
from preklic_workers.store import Act, Store
from preklic_workers.store.feeds import Feeds
from preklic_workers.store.hooks import Hooks
from preklic_workers.webhooks.endpoints import secrets_in
from preklic_workers.webhooks.events import Event, body_of, job_of
from preklic_workers.webhooks.feed import FEED
from preklic_workers.webhooks.posting import Poster
from preklic_workers.webhooks.signing import headers_for, key_of, new_secret
from preklic_workers.webhooks.telling import switch_of

ends_with(KeyDirError, Code.FINDING)
ends_with(store.Unavailable, Code.AWAY, "is MongoDB running, and PREKLIC_MONGO_URL right? try: preklic doctor")

webhooks = typer.Typer(no_args_is_help=True, help="Outgoing webhooks: who is told of events, and whether it arrives.")
Name = Annotated[str, typer.Argument(help="The endpoint's name in [[webhooks_out]].")]
Why = Annotated[str, typer.Option("--reason", help="Why; it is recorded. No address in it.")]
_COLUMNS: Final = ("name", "url", "stopped", "waiting", "delivered", "failed", "reason")


@webhooks.command("list")
def list_(*, as_json: Json = False) -> None:
    """Show each endpoint: when it last took one, when it last failed and why, and how many wait for another attempt.

    Example: `preklic webhooks list --json`
    """
    show(looking.with_store("read", lambda opened, config: _rows(opened, config.webhooks_out)), _COLUMNS,
         title="Webhooks", as_json=as_json)  # fmt: skip


@webhooks.command("test")
def try_(name: Name, *, as_json: Json = False) -> None:
    """Send one signed `webhook.test`, from here and at once; exit 1 unless the endpoint takes it.

    Example: `preklic webhooks test shop`
    """
    out = _endpoint(name)
    keys = [key_of(secret) for secret in secrets_in(out.secret_file, name)]
    now = dt.datetime.now(dt.UTC)
    job = job_of(Event("webhook.test", new_id(), now, {}), name, now)
    body, began = body_of(job), time.perf_counter()
    answer = asyncio.run(_posted(out.url, body, headers_for(keys, job.id, int(now.timestamp()), body)))
    taken = isinstance(answer, int) and 200 <= answer < 300
    row = {"endpoint": name, "id": job.id, "answer": answer, "seconds": round(time.perf_counter() - began, 3)}
    if as_json:
        show_json(row | {"taken": taken})
    else:
        say(f"{name}: {answer} after {row['seconds']} s, webhook-id {job.id}")
    if not taken:
        raise Stop(Code.FINDING, f"{name} did not take it ({answer})", "it must answer 2xx within 10 seconds")


@webhooks.command()
def secret(
    name: Name,
    *,
    retire: Annotated[bool, typer.Option("--retire", help="Drop the older secrets; the newest stays.")] = False,
) -> None:
    """Make a new secret and show it, once: give it to the receiver. The older ones go on signing until --retire.

    Running workers read the file again by themselves. Example: `preklic webhooks secret shop`
    """
    path = _endpoint(name).secret_file
    old = secrets_in(path, name) if path.exists() else []
    if retire:
        if not old:
            raise Stop(Code.FINDING, f"{name} has no secret yet", f"preklic webhooks secret {name}")
        _write(path, old[:1])
        say(f"{name}: {len(old) - 1} older secrets are retired")
        return
    made = new_secret()
    _write(path, [made, *old])
    say(made)


@webhooks.command()
def stop(name: Name, *, reason: Why) -> None:
    """Stop an endpoint within a second; its webhooks wait, for a day at most.

    Example: `preklic webhooks stop shop --reason "the shop moves, case 17"`
    """
    _switch(name, reason, stopped=True)


@webhooks.command()
def go(name: Name, *, reason: Why) -> None:
    """Let an endpoint go again, also one that answered 410 Gone. What died meanwhile: preklic replay.

    Example: `preklic webhooks go shop --reason "the shop is back, case 17"`
    """
    _switch(name, reason, stopped=False)


def _endpoint(name: str) -> WebhookOut:
    there = {one.name: one for one in settings().webhooks_out}
    if name not in there:
        known = ", ".join(sorted(there)) or "none"
        raise Stop(Code.USAGE, f"there is no endpoint {name}", f"endpoints in [[webhooks_out]]: {known}")
    return there[name]


async def _rows(opened: Store, outs: tuple[WebhookOut, ...]) -> list[dict[str, Any]]:
    told = await Hooks(opened.mongo).all()
    stopped = {switch.name for switch in await opened.controls.all() if switch.stopped}
    place = await Feeds(opened.mongo).place(FEED)
    return [
        {
            "name": one.name,
            "url": one.url.partition("?")[0],
            "events": one.events,
            "stopped": switch_of(one.name) in stopped,
            "waiting": known.waiting if (known := told.get(one.name)) else 0,
            "delivered": (known and known.delivered) or "never",
            "failed": (known and known.failed) or "never",
            "reason": (known and known.reason) or "",
            "read_up_to": (place and place.at) or "never",
        }
        for one in outs
    ]


async def _posted(url: str, body: bytes, headers: Any) -> int | str:
    post = Poster()
    try:
        return await post(url, body, headers)
    finally:
        await post.close()


def _write(path: Path, secrets: list[str]) -> None:
    replace(path, "".join(f"{secret}\n" for secret in secrets).encode("ascii"))


def _switch(name: str, reason: str, *, stopped: bool) -> None:
    switch, why = switch_of(_endpoint(name).name), given(reason)
    if why is None:
        raise Stop(Code.USAGE, "--reason is a text of at most 500 characters without an address")

    async def work(opened: Store, _: Any) -> None:
        by, kind = operator(), "webhook_stopped" if stopped else "webhook_let_go"
        await opened.acts.record(Act(kind, by, why, facts={"endpoint": name}))
        await (opened.controls.stop if stopped else opened.controls.go)(switch, reason=why, by=by)

    looking.with_store("stop", work)
    say(f"{'stopped' if stopped else 'goes again'}: {name}")
