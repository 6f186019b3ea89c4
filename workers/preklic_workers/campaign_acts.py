"""What may be done with a campaign, by the command and by jobs alike: recorded first, then done."""

import datetime as dt
from dataclasses import dataclass

from preklic_shared.campaign_jobs import Act as Deed
from preklic_shared.campaign_jobs import CampaignPayload
from preklic_shared.campaign_rules import octets
from preklic_workers.local_time import begins
from preklic_workers.moments import moment
from preklic_workers.store import Act, Campaign, Store

_STATES = {"stop": "stopped", "pause": "paused", "resume": "running"}


@dataclass(frozen=True, slots=True)
class Said:
    """Who said it, when (milliseconds), and why."""

    by: str
    at: int
    why: str


def campaign_of(name: str, purpose: str, template: str, asked: CampaignPayload, now: int) -> Campaign:
    """The campaign of a definition that `campaign_rules.check` let pass. Pure."""
    at = moment(now if asked.at is None else asked.at)
    begin, wall = (begins(at), at) if asked.local else (at, None)
    data, rate = octets(asked.data), float(asked.rate)
    return Campaign(name, purpose, template, data, begin, asked.segment, rate, asked.cap, wall=wall)


async def start(store: Store, made: Campaign, by: str, *, timed: bool) -> Campaign | None:
    """Begin it; None where another campaign has its name. `timed`: its time was named. Raises Unavailable."""
    facts: dict[str, str | int] = {"campaign": made.name, "purpose": made.purpose, "template": made.template}
    await store.acts.record(Act("campaign", by, "start", facts=facts))
    return await store.campaigns.start(made, timed=timed)


async def move(store: Store, name: str, deed: Deed, said: Said) -> bool:
    """Pause, stop or let it go on. Raises Unavailable.

    A brake always holds: False says that there is no such campaign (the switch of `stop` holds it all the same). To go
    on is refused (False) where a brake was said later, whatever arrives first.
    """
    facts = {"campaign": name, "state": _STATES[deed]}
    await store.acts.record(Act("campaign", said.by, said.why, facts=facts))
    at, switch = moment(said.at), f"campaign:{name}"
    if deed == "pause":
        return await store.campaigns.brake(name, "paused", at)
    if deed == "stop":
        there = await store.campaigns.brake(name, "stopped", at)
        await store.controls.stop(switch, reason=said.why, by=said.by)
        return there
    if not await store.campaigns.let_go(name, at):
        return False
    await store.controls.go(switch, reason=said.why, by=said.by)
    found = await store.campaigns.get(name)
    if found is not None and (found.state == "stopped" or _braked_since(found, at)):
        # A stop came between: its switch may be the one that was just let go.
        await store.controls.stop(switch, reason="stopped again meanwhile", by=said.by)
    return True


def _braked_since(found: Campaign, at: dt.datetime) -> bool:
    """Of one that is over: whether somebody stopped what is still on its queue."""
    return found.state == "done" and found.braked is not None and found.braked >= at
