"""`preklic stop` and `preklic go`: the kill switches."""

import getpass
from typing import Annotated, Any

import typer

from preklic_shared.cli import Code, Json, Stop, ends_with, say, settings, show, show_json
from preklic_shared.registry import load_registry
from preklic_workers import looking, store
from preklic_workers.reasons import given
from preklic_workers.store import ALL, MARKETING, Control, Store
from preklic_workers.upkeep import REVOKE

ends_with(store.Unavailable, Code.AWAY, "is MongoDB running, and PREKLIC_MONGO_URL right? try: preklic doctor")

PurposeName = Annotated[list[str] | None, typer.Option("--purpose", help="Mail of this purpose; may repeat.")]
RelayName = Annotated[list[str] | None, typer.Option("--relay", help="Mail by this relay; may repeat.")]
Marketing = Annotated[bool, typer.Option("--marketing", help="All marketing; mail by contract goes on.")]
All = Annotated[bool, typer.Option("--all", help="All mail.")]
Why = Annotated[str | None, typer.Option("--reason", help="Why; it is recorded. No address in it.")]
_LISTED = ("switch", "stopped", "reason", "by", "at")


def stop(
    *,
    purpose: PurposeName = None,
    relay: RelayName = None,
    marketing: Marketing = False,
    everything: All = False,
    reason: Why = None,
    as_json: Json = False,
) -> None:
    """Stop mail within a second; its jobs wait. Without options: what is stopped, and why.

    Example: `preklic stop --purpose newsletter --reason "wrong template, case 17"`
    """
    names = _names(purpose, relay, marketing=marketing, everything=everything)
    if names:
        _switch(names, reason, stopped=True, as_json=as_json)
        return
    rows = looking.with_store(lambda opened, _: opened.controls.all())
    show([_row(row) for row in rows if row.stopped], _LISTED, title="Stopped", as_json=as_json)


def go(
    *,
    purpose: PurposeName = None,
    relay: RelayName = None,
    marketing: Marketing = False,
    everything: All = False,
    reason: Why = None,
    as_json: Json = False,
) -> None:
    """Let go again what was stopped under the same name; the jobs that waited are judged by today's permissions.

    Example: `preklic go --marketing --reason "the dead withdrawal was applied, case 17"`
    """
    names = _names(purpose, relay, marketing=marketing, everything=everything)
    if not names:
        raise Stop(Code.USAGE, "say what may go: --purpose, --relay, --marketing or --all", "preklic stop shows it")
    _switch(names, reason, stopped=False, as_json=as_json)


def _names(purposes: list[str] | None, relays: list[str] | None, *, marketing: bool, everything: bool) -> list[str]:
    """The switches that the options name. A purpose or relay that is not configured is a slip of the pen."""
    config = settings()
    known = {f"purpose:{key}" for key, one in load_registry(config.registry).purposes.items() if one.mail}
    known |= {f"relay:{one.name}" for one in config.relays}
    names = [f"purpose:{key}" for key in purposes or ()] + [f"relay:{name}" for name in relays or ()]
    if strange := sorted(set(names) - known):
        raise Stop(Code.USAGE, f"there is no {', '.join(strange)}", f"known: {', '.join(sorted(known))}")
    return names + [MARKETING] * marketing + [ALL] * everything


def _switch(names: list[str], reason: str | None, *, stopped: bool, as_json: bool) -> None:
    why = given(reason or "")
    if why is None:
        raise Stop(Code.USAGE, "--reason is a text of at most 500 characters without an address")
    by = getpass.getuser()

    async def work(opened: Store, _: Any) -> tuple[list[Control], int]:
        for name in names:
            await (opened.controls.stop if stopped else opened.controls.go)(name, reason=why, by=by)
        return await opened.controls.all(), await opened.dead.count(REVOKE)

    switches, dead = looking.with_store(work)
    rows = [_row(switch) for switch in switches]
    if as_json:
        show_json({"switches": [row for row in rows if row["switch"] in names], "dead_revocations": dead})
        return
    say(f"{'stopped' if stopped else 'goes again'}: {', '.join(names)}")
    if not stopped:
        show([row for row in rows if row["stopped"]], _LISTED, title="Still stopped", as_json=False)
        if dead:
            say(f"[bold red]{dead} dead withdrawals[/] wait: preklic dead list --queue revoke")


def _row(switch: Control) -> dict[str, Any]:
    return {
        "switch": switch.name,
        "stopped": switch.stopped,
        "reason": switch.reason,
        "by": switch.by,
        "at": switch.at,
    }
