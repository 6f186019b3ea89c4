"""`preklic campaign`: one mail to everybody who permits its purpose."""

import asyncio
import datetime as dt
import getpass
import json
import re
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from preklic_shared.cli import Code, Json, Stop, ends_with, say, settings, show, show_json
from preklic_shared.registry import load_registry
from preklic_shared.segments import FIELDS, BadSegment, parse
from preklic_workers import looking, store
from preklic_workers.reasons import given
from preklic_workers.store import Act, Campaign, Store

ends_with(store.Unavailable, Code.AWAY, "is MongoDB running, and PREKLIC_MONGO_URL right? try: preklic doctor")

campaign = typer.Typer(
    no_args_is_help=True, help="One mail to everybody who permits its purpose.", add_completion=False
)
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}", re.ASCII)
_CAP: Final = re.compile(r"([1-9]\d{0,2})/([1-9]\d{0,2})d", re.ASCII)
_LISTED: Final = ("name", "purpose", "template", "state", "at", "walked", "published")
MOST_DATA: Final = 100_000
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
    rate: Annotated[float, typer.Option(min=0, max=100_000, help="Mails a second; 0: as fast as it goes.")] = 0,
    cap: Annotated[str | None, typer.Option(help="Leave out who got so many campaigns' mails: `2/7d`.")] = None,
    as_json: Json = False,
) -> None:
    """Begin a campaign. Repeated with the same words it is one campaign, and each person gets one mail of it.

    Example: `preklic campaign start autumn --purpose newsletter --template newsletter --data autumn.json --cap 2/7d`
    """
    made = _campaign(name, purpose, template, data, segment, at, rate, cap)

    async def work(opened: Store, _: Any) -> Campaign | None:
        facts: dict[str, str | int] = {"campaign": name, "purpose": purpose, "template": template}
        await opened.acts.record(Act("campaign", getpass.getuser(), "start", facts=facts))
        return await opened.campaigns.start(made)

    found = looking.with_store(work)
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
    told = looking.with_store(lambda opened, _: _look(opened, name, watch=watch))
    if as_json:
        show_json(told)
        return
    mails = told.pop("mails")
    show([told], (*_LISTED, "stopped"), title="Campaign", as_json=False)
    show(mails, ("variant", "state", "reason", "count"), title="Its mails", as_json=False)


async def _look(opened: Store, name: str, *, watch: bool) -> dict[str, Any]:
    found = await _known(opened, name)
    while watch and found.state == "running":
        say(f"{found.published} published of {found.walked} walked", err=True)
        await asyncio.sleep(WATCH_SECONDS)
        found = await _known(opened, name)
    counts = await opened.campaigns.counts(name)
    stopped = await opened.controls.stopped(f"campaign:{name}") is not None
    rows = [{"variant": v, "state": s, "reason": r, "count": n} for v, s, r, n in counts]
    return _row(found) | {"stopped": stopped, "mails": rows}


@campaign.command("list")
def list_all(*, as_json: Json = False) -> None:
    """Every campaign, the newest first.

    Example: `preklic campaign list --json`
    """
    rows = looking.with_store(lambda opened, _: opened.campaigns.all())
    show([_row(row) for row in rows], _LISTED, title="Campaigns", as_json=as_json)


@campaign.command()
def pause(name: Name, reason: Why = "paused") -> None:
    """Publish no more of it; what is on its queue goes out. `resume` goes on where it was.

    Example: `preklic campaign pause autumn --reason "the shop is closed"`
    """
    _move(name, "paused", reason)


@campaign.command()
def resume(name: Name, reason: Why = "resumed") -> None:
    """Go on: whoever got it gets nothing twice.

    Example: `preklic campaign resume autumn`
    """
    _move(name, "running", reason)


@campaign.command()
def stop(name: Name, reason: Why) -> None:
    """Send no more of it within a second, not even what is on its queue. `resume` lets it go on.

    Example: `preklic campaign stop autumn --reason "wrong price, case 17"`
    """
    _move(name, "stopped", reason)


def _move(name: str, to: str, reason: str) -> None:
    why = given(reason)
    if why is None:
        raise Stop(Code.USAGE, "--reason is a text of at most 500 characters without an address")

    async def work(opened: Store, _: Any) -> Campaign:
        found = await _known(opened, name)
        by, switch = getpass.getuser(), f"campaign:{name}"
        await opened.acts.record(Act("campaign", by, why, facts={"campaign": name, "state": to}))
        if to == "stopped":
            await opened.controls.stop(switch, reason=why, by=by)
            await opened.campaigns.move(name, ["running", "paused"], "stopped")
        elif to == "paused":
            await opened.campaigns.move(name, ["running"], "paused")
        elif found.state == "done":
            await opened.controls.go(switch, reason=why, by=by)
        else:
            await opened.campaigns.move(name, ["paused", "stopped"], "running")
            await opened.controls.go(switch, reason=why, by=by)
        return await _known(opened, name)

    _say(looking.with_store(work), as_json=False)


async def _known(opened: Store, name: str) -> Campaign:
    found = await opened.campaigns.get(name)
    if found is None:
        raise Stop(Code.FINDING, f"there is no campaign {name}", "preklic campaign list")
    return found


def _campaign(
    name: str,
    purpose: str,
    template: str,
    data: Path | None,
    segment: str,
    at: str | None,
    rate: float,
    cap: str | None,
) -> Campaign:
    """The campaign that the options ask for. Raises Stop with what to mend."""
    if not _NAME.fullmatch(name):
        raise Stop(Code.USAGE, "a name is up to 60 of a-z 0-9 _ -, and begins with a letter or digit")
    known = load_registry(settings().registry).for_mail(purpose, template)
    if known is None or not known.needs_known_person or template == known.confirm:
        raise Stop(Code.POLICY, f"{purpose} is no purpose of campaigns with the template {template}")
    _check_segment(segment)
    limit = _CAP.fullmatch(cap) if cap is not None else None
    if cap is not None and limit is None:
        raise Stop(Code.USAGE, "--cap is mails/days, as in 2/7d")
    most = None if limit is None else (int(limit[1]), int(limit[2]))
    return Campaign(name, purpose, template, _data(data), _moment(at), segment, rate, most)


def _check_segment(text: str) -> None:
    try:
        if text:
            parse(text)
    except BadSegment as error:
        raise Stop(Code.USAGE, str(error)) from None


def _data(file: Path | None) -> bytes:
    text = b"{}" if file is None else file.read_bytes()
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict) or len(text) > MOST_DATA:
        raise Stop(Code.USAGE, f"--data is a JSON object of at most {MOST_DATA} octets")
    return json.dumps(value, ensure_ascii=False, sort_keys=True).encode()


def _moment(text: str | None) -> dt.datetime:
    try:
        at = dt.datetime.now(dt.UTC) if text is None else dt.datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise Stop(Code.USAGE, "--at is a time with its zone, as in 2026-12-01T09:00+01:00")
    return at.astimezone(dt.UTC)


def _row(found: Campaign) -> dict[str, Any]:
    return {name: getattr(found, name) for name in _LISTED}


def _say(found: Campaign, *, as_json: bool) -> None:
    if as_json:
        show_json(_row(found))
    else:
        say(f"the campaign {found.name} is {found.state}: {found.published} published of {found.walked} walked")
