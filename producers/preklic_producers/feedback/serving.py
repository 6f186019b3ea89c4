"""Opens what the feedback listener needs and runs it until SIGTERM."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from preklic_producers.drafts import Drafter
from preklic_producers.feedback.listener import Listener, Taker
from preklic_producers.feedback.ours import Ours
from preklic_producers.gateway.delivery import Delivery
from preklic_producers.outbox import Outbox
from preklic_producers.own_files import files_of
from preklic_producers.seals import Seals
from preklic_shared import telemetry
from preklic_shared.health import Health
from preklic_shared.publisher import Publisher
from preklic_shared.registry import load_registry
from preklic_shared.settings import Settings
from preklic_shared.token_keys import load_token_keys

PUBLISH_SECONDS: Final = 5.0

log = telemetry.logger(__name__)


async def serve(settings: Settings, host: str, port: int, *, lmtp: bool = False) -> None:
    """Listen until SIGTERM or SIGINT. SettingsError (KEY_DIR, SEALING_KEYS, OUTBOX) before anything is served."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with listening(settings, host, port, lmtp=lmtp) as (at, publisher):
        health = None
        if settings.metrics_port is not None:
            health = Health(settings.metrics_port, lambda: {"broker": publisher.connected}, settings.metrics_host)
        log.info("feedback listener started", port=at)
        await stopping.wait()
        if health is not None:
            health.close()
    log.info("feedback listener stopped")


@asynccontextmanager
async def listening(settings: Settings, host: str, port: int, *, lmtp: bool) -> AsyncIterator[tuple[int, Publisher]]:
    """A listener at work: its port, and what it publishes with. What waits in the outbox goes out at the next start."""
    key_dir, sealing_keys, outbox = files_of(settings, "feedback")
    keys = load_token_keys(key_dir)
    seals = Seals(sealing_keys, None if settings.sealing_pin is None else bytes.fromhex(settings.sealing_pin))
    drafts = Drafter(settings.producer, load_registry(settings.registry), seals)
    ours = Ours(settings.mail_domain, keys)
    box = Outbox(outbox)
    publisher = Publisher(settings.amqp_url, deadline=PUBLISH_SECONDS, name="preklic feedback")
    publisher.connect()  # ready is who could publish, before the first report comes
    delivery = Delivery(publisher, box)
    listener = Listener(Taker(ours, drafts, delivery), settings.mail_domain, lmtp)
    try:
        yield await listener.start(host, port), publisher
    finally:
        await listener.close()
        await delivery.close()
        await publisher.close()
