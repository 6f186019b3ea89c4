"""What each role does: its handlers, and what runs beside them, built from settings, registry, store and keys."""

import datetime as dt
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

from preklic_shared import telemetry
from preklic_shared.registry import Registry
from preklic_shared.settings import Settings, SettingsError
from preklic_workers import audit, campaigning, complaints, days, probes, rounds, scheduling, send
from preklic_workers.again import Again
from preklic_workers.answer import Answer
from preklic_workers.audit import Audit
from preklic_workers.burials import Burials
from preklic_workers.campaign_desk import CampaignDesk
from preklic_workers.campaigning import Depth, FanOut
from preklic_workers.complaints import Complaints
from preklic_workers.compose.composer import SHIPPED, Composer, House
from preklic_workers.compose.dkim import Signers
from preklic_workers.compose.templates import Templates
from preklic_workers.custody import Custody
from preklic_workers.days import Days
from preklic_workers.dkim_keys import DkimKey, unsigned
from preklic_workers.keyring import KeyRing
from preklic_workers.ledger import sequencing
from preklic_workers.ledger.sequencing import Sequencer, origin_of
from preklic_workers.mailing import Mailer
from preklic_workers.marks import MarksTaker
from preklic_workers.measured import Handler, observe_reply
from preklic_workers.probes import Probes
from preklic_workers.record import Record
from preklic_workers.revoke import Revoke
from preklic_workers.rounds import Rounds
from preklic_workers.scheduling import Scheduler
from preklic_workers.seats import EVERY, Seats
from preklic_workers.send_plan import SendDeps
from preklic_workers.smtp.routes import Route, bulkheads_in, open_routes
from preklic_workers.store import Store
from preklic_workers.track import Track
from preklic_workers.upkeep import Upkeep
from preklic_workers.webhooks import feed
from preklic_workers.webhooks.endpoints import Endpoint
from preklic_workers.webhooks.feed import Feed

log = telemetry.logger(__name__)

# A withdrawal may drain for half a minute: so many that the next no is not kept waiting behind those that do. It is
# what a quorum queue gives at most without an ack.
DRAINING: Final = 2000


class Part(Protocol):
    """Something that works in the background from `start` to `stop`."""

    async def start(self) -> None:
        """Begin; returns at once."""

    async def stop(self) -> None:
        """Finish what runs, and end."""


@dataclass(frozen=True, slots=True)
class Duty:
    """What one role does: handlers by actor name, those of them that take lists, and what else runs beside them.

    `places`: so many jobs of each queue at a time where the settings say fewer.
    """

    handlers: Mapping[str, Handler] = field(default_factory=dict)
    batch: frozenset[str] = frozenset()
    beside: Sequence[Part] = ()
    close: Sequence[Callable[[], Awaitable[None]]] = ()
    places: int = 1


@dataclass(frozen=True, slots=True)
class Means:
    """What a duty is built from."""

    settings: Settings
    registry: Registry
    store: Store
    ring: KeyRing


def send_duty(means: Means) -> Duty:
    """Both lanes of mail. Raises SettingsError for a relay without a processor under contract, TemplateError."""
    settings, ring = means.settings, means.ring
    assert ring.tokens is not None  # the key directory of `send` is complete, or it does not open
    house = House(settings.public_url, settings.mail_domain, hosts=frozenset(map(str.lower, settings.own_hosts)))
    templates = Templates(settings.template_dir or SHIPPED)
    composer = Composer(templates, means.registry, ring.tokens, house, signers_for(means.registry, ring.dkim))
    routes = open_routes(settings, dt.datetime.now(dt.UTC).date())
    deps = SendDeps(
        means.store,
        means.registry,
        composer,
        routes,
        ring.blind,
        observe=observe_reply,
        bulk_closes_after=settings.bulk_closes_after,
    )
    handle = partial(send.handle, deps=deps)
    seats = seats_for(means.store, routes)
    return Duty(
        {"send_now": handle, "send_bulk": handle},
        beside=[Again("seats", each.once, EVERY) for each in seats],
        close=[*(route.pool.close for route in routes), *(each.close for each in seats)],
    )


def seats_for(store: Store, routes: Sequence[Route]) -> list[Seats]:
    """This worker's part of each number that all workers share: of relays' sessions, and of mails to a provider."""
    sessions = [Seats(store.leases, one.name, one.seats, one.pool) for one in routes if one.seats is not None]
    return sessions + [Seats(store.leases, one.name, one.most, one) for one in bulkheads_in(routes)]


def signers_for(registry: Registry, keys: Sequence[DkimKey]) -> Signers:
    """What signs each sender's mail. Raises SettingsError when some senders' mail is signed and others' is not."""
    if keys and (bare := unsigned(registry.sender_domains, keys)):
        raise SettingsError("KEY_DIR", f"no DKIM key for {', '.join(bare)} (preklic keys dkim make)")
    return Signers(keys)


def revoke_duty(means: Means) -> Duty:
    """Withdrawals, and the marks that say how far they have come."""
    revoke = Revoke(means.store, means.registry, means.ring.blind)
    marks = MarksTaker(means.settings.amqp_url, means.store, revoke.progress)
    return Duty({"revoke": revoke.handle}, beside=[marks], places=DRAINING)


def record_duty(means: Means) -> Duty:
    """Grants and profiles."""
    record = Record(means.store, means.registry, means.ring.blind)
    return Duty({"grant": record.grant, "enrich": record.enrich, "aside": record.aside})


def answer_duty(means: Means) -> Duty:
    """Questions of the gateway."""
    return Duty({"ask": Answer(means.store, means.registry, means.ring.blind).ask})


def track_duty(means: Means) -> Duty:
    """Opens, clicks and what relays report, in batches."""
    return Duty({"track": Track(means.store).handle}, batch=frozenset({"track"}))


def campaign_duty(means: Means) -> Duty:
    """What is due in the schedule, what is asked of campaigns, and their fan-out.

    Raises SettingsError (SEALING_KEYS), SealingError, RegistryError for a time zone that is none.
    """
    mailer = Mailer(means.settings)
    scheduler = Scheduler(means.store, means.registry, mailer)
    depth = Depth(means.settings.amqp_url)
    walk = FanOut(means.store, means.registry, mailer, depth)
    desk = CampaignDesk(means.store, means.registry)
    again = [Again("schedule", scheduler.once, scheduling.EVERY), Again("campaigns", walk.once, campaigning.EVERY)]
    return Duty({"campaign": desk.handle}, beside=again, close=[mailer.close, depth.close])


def ledger_duty(means: Means) -> Duty:
    """The ledger's sequencer, and who else vouches for its heads. Raises SettingsError (STAMPS__CA, COSIGNER__KEY)."""
    from preklic_workers.vouching import vouchers  # noqa: PLC0415 -- an HTTP client: 10 MB in every other role

    assert means.ring.ledger is not None  # the key directory of `ledger` is complete, or it does not open
    sequencer = Sequencer(means.store.ledger, means.store.mongo, origin_of(means.settings), means.ring.ledger)
    beside = vouchers(means.settings, means.store.ledger.stamps)
    return Duty(beside=[Again("ledger", sequencer.once, sequencing.EVERY), *beside])


def upkeep_duty(means: Means) -> Duty:
    """Dead letters, the reaper, gauges, statistics, keys, and what notices a restore.

    Raises KeyDirError for a bad STATE_DIR.
    """
    upkeep = Upkeep(means.store, means.registry)
    url = means.settings.amqp_url
    again = [
        Again("round", Rounds(upkeep, means.store, url).once, rounds.EVERY),
        Again("complaints", Complaints(means.store, means.registry).once, complaints.EVERY),
        Again("account", Audit(url, means.store).once, audit.EVERY, later=True),
        Again("statistics", Days(means.store).once, days.EVERY),
        *Custody(means.settings, means.store, means.ring).rounds(),
    ]
    asking = Probes(url, means.store, probes.asked_of(webhooks=bool(means.settings.webhooks_out)))
    again.append(Again("probes", asking.once, probes.EVERY))
    told = Feed(means.store, means.settings.webhooks_out, url)
    if means.settings.webhooks_out:
        again.append(Again("webhooks", told.once, feed.EVERY))
    return Duty(beside=[Burials(url, upkeep), *again], close=[told.close, asking.close])


def webhook_duty(means: Means) -> Duty:
    """Webhooks out. Raises SettingsError for no endpoint or a bad secret_file, KeyDirError if others can read it."""
    if not means.settings.webhooks_out:
        raise SettingsError("WEBHOOKS_OUT", "the role webhook needs an endpoint ([[webhooks_out]])")
    from preklic_workers.webhooks.posting import Poster  # noqa: PLC0415 -- likewise
    from preklic_workers.webhooks.telling import Telling  # noqa: PLC0415 -- likewise

    post = Poster()
    endpoints = {one.name: Endpoint(one) for one in means.settings.webhooks_out}
    return Duty({"webhook": Telling(means.store, endpoints, post).handle}, close=[post.close])


DUTIES: Final[Mapping[str, Callable[[Means], Duty]]] = {
    "send": send_duty,
    "track": track_duty,
    "revoke": revoke_duty,
    "record": record_duty,
    "answer": answer_duty,
    "campaign": campaign_duty,
    "upkeep": upkeep_duty,
    "webhook": webhook_duty,
    "ledger": ledger_duty,
}
