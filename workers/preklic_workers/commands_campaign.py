"""`preklic campaign`: one mail to everybody who permits its purpose."""

import asyncio
import datetime as dt
import json
import re
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from preklic_shared.campaign_jobs import Act as Deed
from preklic_shared.campaign_jobs import CampaignPayload
from preklic_shared.campaign_rules import MOST_DATA, BadCampaign, check
from preklic_shared.cli import Code, Json, Stop, ends_with, say, settings, show, show_json
from preklic_shared.registry import load_registry
from preklic_shared.segments import FIELDS
from preklic_workers import campaign_acts, looking, store
from preklic_workers.campaign_acts import Said
from preklic_workers.campaign_view import LISTED, look, row
from preklic_workers.clocks import may_use
from preklic_workers.moments import millis
from preklic_workers.operating import operator
from preklic_workers.reasons import given
from preklic_workers.store import Campaign, Store

ends_with(store.Unavailable, Code.AWAY, "is MongoDB running, and PREKLIC_MONGO_URL right? try: preklic doctor")

campaign = typer.Typer(
    no_args_is_help=True, help="One mail to everybody who permits its purpose.", add_completion=False
)
_CAP: Final = re.compile(r"([1-9]\d{0,2})/([1-9]\d{0,2})d", re.ASCII)
WATCH_SECONDS: Final = 1.0

Name = Annotated[str, typer.Argument(help="The campaign's name.")]
Why = Annotated[str, typer.Option("--reason", help="Why; it is recorded. No address in it.")]
_SEGMENT: Final = (
    f"Whom of those who permit it, by: {', '.join(FIELDS)}. As in `provider = gmail and alive >= 2026-01-01`."
)


@campaign.command()
def start(
    name: Name,
    *,
    purpose: Annotated[str, typer.Option(help="The purpose, which each person must permit.")],
    template: Annotated[str, typer.Option(help="One of the purpose's templates.")],
    data: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="JSON: the template's fields.")] = None,
    segment: Annotated[str, typer.Option(help=_SEGMENT)] = "",
    at: Annotated[str | None, typer.Option(help="When, ISO 8601 with a zone; now without it.")] = None,
    local_time: Annotated[
        bool, typer.Option("--local-time", help="`--at`, without a zone, by each person's own clock.")
    ] = False,
    rate: Annotated[float, typer.Option(min=0, max=100_000, help="Mails a second; 0: as fast as it goes.")] = 0,
    cap: Annotated[str | None, typer.Option(help="Leave out who got so many campaigns' mails: `2/7d`.")] = None,
    as_json: Json = False,
) -> None:
    """Begin a campaign. Repeated with the same words it is one campaign, and each person gets one mail of it.

    Example: `preklic campaign start autumn --purpose newsletter --template newsletter --data autumn.json --cap 2/7d`
    """
    moment = None if at is None else _moment(at, local=local_time)
    asked = CampaignPayload(data=_data(data), segment=segment, at=moment, local=local_time, rate=rate, cap=_cap(cap))
    made = _campaign(name, purpose, template, asked)
    found = looking.with_store(
        "stop", lambda opened, _: campaign_acts.start(opened, made, operator(), timed=at is not None)
    )
    if found is None:
        raise Stop(Code.POLICY, f"there is another campaign {name} already", "give this one another name")
    _say(found, as_json=as_json)


@campaign.command()
def status(
    name: Name,
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Until everybody was reached, or Ctrl-C.")] = False,
    as_json: Json = False,
) -> None:
    """How far it is, and what became of its mails.

    Example: `preklic campaign status autumn --watch`
    """
    told = looking.with_store("read", lambda opened, _: _look(opened, name, watch=watch))
    if as_json:
        show_json(told)
        return
    columns = (*LISTED, "stopped", *(name for name in ("local_time", "scheduled") if name in told))
    show([told], columns, title="Campaign", as_json=False)
    show(told["mails"], ("variant", "state", "reason", "count"), title="Its mails", as_json=False)
    if told["asked"]:
        show(told["asked"], ("at", "by", "state", "reason", "id"), title="Asked over the queue", as_json=False)


async def _look(opened: Store, name: str, *, watch: bool) -> dict[str, Any]:
    found = await _known(opened, name)
    while watch and found.state == "running":
        say(f"{found.published} published of {found.walked} walked", err=True)
        await asyncio.sleep(WATCH_SECONDS)
        found = await _known(opened, name)
    return await look(opened, name) or {}


@campaign.command("list")
def list_all(*, as_json: Json = False) -> None:
    """Every campaign, the newest first.

    Example: `preklic campaign list --json`
    """
    rows = looking.with_store("read", lambda opened, _: opened.campaigns.all())
    show([row(found) for found in rows], LISTED, title="Campaigns", as_json=as_json)


@campaign.command()
def pause(name: Name, reason: Why = "paused") -> None:
    """Publish no more of it; what is on its queue goes out. `resume` goes on where it was.

    Example: `preklic campaign pause autumn --reason "the shop is closed"`
    """
    _move(name, "pause", reason)


@campaign.command()
def resume(name: Name, reason: Why = "resumed") -> None:
    """Go on: whoever got it gets nothing twice.

    Example: `preklic campaign resume autumn`
    """
    _move(name, "resume", reason)


@campaign.command()
def stop(name: Name, reason: Why) -> None:
    """Send no more of it within a second, not even what is on its queue. `resume` lets it go on.

    Example: `preklic campaign stop autumn --reason "wrong price, case 17"`
    """
    _move(name, "stop", reason)


def _move(name: str, deed: Deed, reason: str) -> None:
    why = given(reason)
    if why is None:
        raise Stop(Code.USAGE, "--reason is a text of at most 500 characters without an address")

    async def work(opened: Store, _: Any) -> Campaign:
        await _known(opened, name)
        said = Said(operator(), millis(opened.mongo.now()), why)
        await campaign_acts.move(opened, name, deed, said)
        return await _known(opened, name)

    _say(looking.with_store("stop", work), as_json=False)


async def _known(opened: Store, name: str) -> Campaign:
    found = await opened.campaigns.get(name)
    if found is None:
        raise Stop(Code.FINDING, f"there is no campaign {name}", "preklic campaign list")
    return found


def _campaign(name: str, purpose: str, template: str, asked: CampaignPayload) -> Campaign:
    """The campaign that the options ask for. Raises Stop with what to mend."""
    now = int(time.time() * 1000)
    try:
        known = check(load_registry(settings().registry), name, purpose, template, asked, now)
    except BadCampaign as bad:
        code = Code.POLICY if bad.field == "purpose" else Code.USAGE
        raise Stop(code, str(bad) if bad.field == "segment" else f"the {bad.field} {bad}") from None
    if asked.local and not may_use(known):
        say(f"the registry lets mail of {purpose} know nobody's time zone: all get it by the company's clock", err=True)
    return campaign_acts.campaign_of(name, purpose, template, asked, now)


def _cap(text: str | None) -> tuple[int, int] | None:
    limit = _CAP.fullmatch(text) if text is not None else None
    if text is not None and limit is None:
        raise Stop(Code.USAGE, "--cap is mails/days, as in 2/7d")
    return None if limit is None else (int(limit[1]), int(limit[2]))


def _data(file: Path | None) -> dict[str, Any]:
    text = b"{}" if file is None else file.read_bytes()
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict) or len(text) > MOST_DATA:
        raise Stop(Code.USAGE, f"--data is a JSON object of at most {MOST_DATA} octets")
    return value


def _moment(text: str, *, local: bool) -> int:
    """Milliseconds; by local time those of the wall clock as if it stood in UTC."""
    try:
        at = dt.datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or (at.tzinfo is None) is not local:
        how = "without a zone, as in 2026-12-01T09:00" if local else "with its zone, as in 2026-12-01T09:00+01:00"
        raise Stop(Code.USAGE, f"--at is a time {how}")
    return millis(at.replace(tzinfo=dt.UTC) if local else at)


def _say(found: Campaign, *, as_json: bool) -> None:
    if as_json:
        show_json(row(found))
    else:
        say(f"the campaign {found.name} is {found.state}: {found.published} published of {found.walked} walked")
