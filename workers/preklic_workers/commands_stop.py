"""`preklic stop` and `preklic go`: the kill switches."""

from typing import Annotated, Any

import typer

from preklic_shared.cli import Code, Json, Stop, ends_with, say, settings, show, show_json
from preklic_shared.registry import load_registry
from preklic_workers import looking, store
from preklic_workers.store import ALL, MARKETING, Control, Store
from preklic_workers.switching import LISTED, For, Until, Why, ends, reason_of, rows, turn
from preklic_workers.upkeep import REVOKE

ends_with(store.Unavailable, Code.AWAY, "is MongoDB running, and PREKLIC_MONGO_URL right? try: preklic doctor")

PurposeName = Annotated[list[str] | None, typer.Option("--purpose", help="Mail of this purpose; may repeat.")]
RelayName = Annotated[list[str] | None, typer.Option("--relay", help="Mail by this relay; may repeat.")]
CampaignName = Annotated[list[str] | None, typer.Option("--campaign", help="Mail of this campaign; may repeat.")]
Marketing = Annotated[bool, typer.Option("--marketing", help="All marketing; mail by contract goes on.")]
All = Annotated[bool, typer.Option("--all", help="All mail.")]
_CAMPAIGN = "campaign:"


def stop(
    *,
    purpose: PurposeName = None,
    relay: RelayName = None,
    campaign: CampaignName = None,
    marketing: Marketing = False,
    everything: All = False,
    until: Until = None,
    span: For = None,
    reason: Why = None,
    as_json: Json = False,
) -> None:
    """Stop mail within a second; its jobs wait. Without options: what is stopped or paused, and why.

    Example: `preklic stop --purpose newsletter --reason "wrong template, case 17"`
    """
    names = _names(purpose, relay, campaign, marketing=marketing, everything=everything)
    if names:
        _switch(names, reason, stopped=True, until=until, span=span, as_json=as_json)
        return
    if until or span or reason:
        raise Stop(Code.USAGE, "say what is to stop: --purpose, --relay, --campaign, --marketing or --all")
    found = looking.with_store("read", lambda opened, _: opened.controls.all())
    show(rows(row for row in found if row.stopped), LISTED, title="Stopped", as_json=as_json)


def go(
    *,
    purpose: PurposeName = None,
    relay: RelayName = None,
    campaign: CampaignName = None,
    marketing: Marketing = False,
    everything: All = False,
    reason: Why = None,
    as_json: Json = False,
) -> None:
    """Let go again what was stopped under the same name; the jobs that waited are judged by today's permissions.

    Example: `preklic go --marketing --reason "the dead withdrawal was applied, case 17"`
    """
    names = _names(purpose, relay, campaign, marketing=marketing, everything=everything)
    if not names:
        what = "--purpose, --relay, --campaign, --marketing or --all"
        raise Stop(Code.USAGE, f"say what may go: {what}", "preklic stop shows it")
    _switch(names, reason, stopped=False, as_json=as_json)


def _names(
    purposes: list[str] | None,
    relays: list[str] | None,
    campaigns: list[str] | None,
    *,
    marketing: bool,
    everything: bool,
) -> list[str]:
    """The switches that the options name. A purpose or relay that is not configured is a slip of the pen."""
    config = settings()
    known = {f"purpose:{key}" for key, one in load_registry(config.registry).purposes.items() if one.mail}
    known |= {f"relay:{one.name}" for one in config.relays}
    names = [f"purpose:{key}" for key in purposes or ()] + [f"relay:{name}" for name in relays or ()]
    if strange := sorted(set(names) - known):
        raise Stop(Code.USAGE, f"there is no {', '.join(strange)}", f"known: {', '.join(sorted(known))}")
    names += [f"{_CAMPAIGN}{name}" for name in campaigns or ()]
    return names + [MARKETING] * marketing + [ALL] * everything


def _switch(
    names: list[str],
    reason: str | None,
    *,
    stopped: bool,
    until: str | None = None,
    span: str | None = None,
    as_json: bool,
) -> None:
    why = reason_of(reason)

    async def work(opened: Store, _: Any) -> tuple[list[Control], int]:
        await _check_campaigns(opened, names)
        await turn(opened, names, why, on=stopped, until=ends(opened, until, span))
        return await opened.controls.all(), await opened.dead.count(REVOKE)

    switches, dead = looking.with_store("stop", work)
    if as_json:
        show_json({"switches": rows(each for each in switches if each.name in names), "dead_revocations": dead})
        return
    say(f"{'stopped' if stopped else 'goes again'}: {', '.join(names)}")
    if not stopped:
        show(rows(one for one in switches if one.stopped), LISTED, title="Still stopped", as_json=False)
        if dead:
            say(f"[bold red]{dead} dead withdrawals[/] wait: preklic dead list --queue revoke")


async def _check_campaigns(opened: Store, names: list[str]) -> None:
    for name in (each.removeprefix(_CAMPAIGN) for each in names if each.startswith(_CAMPAIGN)):
        if await opened.campaigns.get(name) is None:
            raise Stop(Code.USAGE, f"there is no campaign {name}", "preklic campaign list")
