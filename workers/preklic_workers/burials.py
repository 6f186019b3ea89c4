"""Takes dead letters from the queue `dead` into the store: kept first, then acked."""

import asyncio
import dataclasses
import datetime as dt
from typing import Any, Final

from preklic_shared import telemetry
from preklic_shared.ids import is_id, new_id
from preklic_shared.topology import DEAD, PROBES, QUEUES
from preklic_workers.intake import Intake
from preklic_workers.store import DeadLetter, Unavailable
from preklic_workers.taker import Taker
from preklic_workers.upkeep import Upkeep, letter_of

_PREFETCH: Final = 100
_DEATHS: Final = ("rejected", "expired", "maxlen", "delivery_limit")
_PAUSE: Final = 1.0  # seconds before a store that was away is asked again

log = telemetry.logger(__name__)


class Burials(Taker):
    """Consumes `dead` until stopped. What cannot be kept stays unacked, so nothing is lost."""

    def __init__(self, url: str, upkeep: Upkeep) -> None:
        super().__init__(url, DEAD, _PREFETCH, name="preklic upkeep dead")
        self._upkeep = upkeep

    def _on_message(self, current: Intake, _queue: str, method: Any, properties: Any, body: bytes, /) -> None:
        if is_probe(properties.headers or {}):
            current.ack(method.delivery_tag)
            return
        letter = letter_from(body, properties.message_id, properties.headers or {}, properties.user_id)
        self._spawn(self._bury(letter, current, method.delivery_tag))

    async def _bury(self, letter: DeadLetter, current: Intake, tag: int) -> None:
        while True:
            try:
                await self._upkeep.bury(letter)
            except Unavailable:
                await asyncio.sleep(_PAUSE)
            else:
                break
        log.warning("job is dead", queue=letter.queue, reason=letter.reason, fingerprint=letter.fingerprint)
        current.ack(tag)


def letter_from(body: bytes, message_id: str | None, headers: dict[str, Any], user: str | None = None) -> DeadLetter:
    """The dead letter of a delivery. Its id is the job's and the moment of this death: a replayed job may die again.

    `user` is who published it, as the broker checked: the worker that buried it, or the publisher of what the broker
    buried itself.
    """
    job = message_id if message_id is not None and is_id(message_id) else new_id()
    letter = letter_of(body, job, _by_the_broker(headers, user))
    return dataclasses.replace(letter, id=f"{job}.{int(letter.at.timestamp() * 1000)}")


def is_probe(headers: dict[str, Any]) -> bool:
    """Whether the broker buried a probe, given out too often: it is no job. Its own word on it comes first."""
    return _death(headers).get("exchange") == PROBES


def _death(headers: dict[str, Any]) -> dict[str, Any]:
    """What the broker says of the last death of a job that it buried itself; empty for a dead letter of ours."""
    deaths = headers.get("x-death")
    return deaths[0] if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict) else {}


def _by_the_broker(headers: dict[str, Any], user: str | None) -> dict[str, Any]:
    """What the broker says of a job that it buried itself (expired, delivery limit), in our words.

    Such a job has its publisher's headers still, and nothing of them is believed; a dead letter of ours has no death.
    """
    if "x-death" not in headers:
        return headers
    death = _death(headers)
    reason = death.get("reason") if death.get("reason") in _DEATHS else "unknown"
    queue = death.get("queue") if death.get("queue") in QUEUES else ""
    at = death.get("time")
    moment = {"at": int(at.timestamp() * 1000)} if isinstance(at, dt.datetime) else {}
    found = {"reason": f"broker_{reason}", "queue": queue, "fingerprint": f"broker_{reason}.{queue}", "by": user}
    return found | moment
