"""Publishes mails to known persons: jobs that name a person and hold no address, sealed to whoever sends."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from preklic_shared.jobs import ACTORS, SendJob, SendPayload
from preklic_shared.publication import Publication
from preklic_shared.publisher import Publisher
from preklic_shared.sealing import Sealer
from preklic_shared.settings import Settings, SettingsError
from preklic_shared.topology import JOBS
from preklic_shared.wire import encode

PUBLISH_SECONDS: Final = 10.0
_READ_AGAIN: Final = 10.0


@dataclass(frozen=True, slots=True)
class Mailing:
    """One mail to one person: `id` the job's, `pid` the person's; the times in milliseconds."""

    id: str
    pid: bytes
    template: str
    expires: int
    data: Mapping[str, Any]
    campaign: str | None = None
    variant: int | None = None


class Mailer:
    """Belongs to one event loop. The file of sealing keys is read again as it turns."""

    def __init__(self, settings: Settings) -> None:
        """SettingsError without SEALING_KEYS; SealingError for a file that cannot be used."""
        if settings.sealing_keys is None:
            raise SettingsError(
                "SEALING_KEYS", "the role campaign seals what it publishes: name the file of public keys"
            )
        self._path, self._pin = settings.sealing_keys, settings.sealing_pin
        self._sealer, self._read_at = self._load(), time.monotonic()
        self._producer = settings.producer
        self._publisher = Publisher(settings.amqp_url, deadline=PUBLISH_SECONDS, name="preklic campaign")

    async def publish(self, purpose: str, lane: str, mails: Sequence[Mailing]) -> list[str]:
        """The job ids that the broker confirmed; what it did not is to be published again, under the same id."""
        actor = f"send_{lane}"
        failed = await self._publisher.publish_many(self._publications(purpose, actor, mails))
        return [mail.id for place, mail in enumerate(mails) if place not in failed]

    async def publish_again(self, publications: Sequence[Publication]) -> set[int]:
        """Publish jobs that were made and sealed before; the places of those that the broker confirmed."""
        failed = await self._publisher.publish_many(publications)
        return set(range(len(publications))) - set(failed)

    async def close(self) -> None:
        """Close the connection."""
        await self._publisher.close()

    def _publications(self, purpose: str, actor: str, mails: Iterable[Mailing]) -> Iterable[Publication]:
        sealer, now = self._current(), int(time.time() * 1000)
        for mail in mails:
            job = SendJob(
                id=mail.id,
                producer=self._producer,
                at=now,
                expires=mail.expires,
                purpose=purpose,
                template=mail.template,
                person=mail.pid.hex(),
                campaign=mail.campaign,
                variant=mail.variant,
                key=sealer.key_id("send"),
                sealed="",
            )
            sealed = sealer.seal("send", job.header(), SendPayload(data=dict(mail.data)))
            body = encode(msgspec.structs.replace(job, sealed=sealed), actor)
            yield Publication(JOBS, ACTORS[actor][1], body, mail.id, actor)

    def _current(self) -> Sealer:
        if time.monotonic() - self._read_at > _READ_AGAIN:
            self._sealer, self._read_at = self._load(), time.monotonic()
        return self._sealer

    def _load(self) -> Sealer:
        return Sealer.load(self._path, None if self._pin is None else bytes.fromhex(self._pin))
