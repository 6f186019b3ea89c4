"""The engine's recorder on the store: answers of probes, and the end of what waited in vain for a newer worker."""

from typing import Final

from preklic_shared import telemetry
from preklic_shared.jobs import WebhookJob
from preklic_shared.wire import Malformed
from preklic_workers.moments import moment
from preklic_workers.outcomes import Outcome, Refused, RetryLater
from preklic_workers.probes import read
from preklic_workers.runtime import Lapsed
from preklic_workers.store import Store, Unavailable

AWAY_SECONDS: Final = 30

log = telemetry.logger(__name__)


class StoreRecorder:
    """A `recorder.Recorder` that keeps it in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def probed(self, queue: str, body: bytes) -> None:
        """Note the answer. What cannot be noted or read is dropped: the next probe says it again."""
        try:
            await self._store.ages.note_answered(queue, moment(read(body).at))
        except Unavailable:
            log.warning("probe not noted", queue=queue)
        except Malformed as error:
            log.warning("probe unreadable", queue=queue, reason=error.reason)

    async def lapsed(self, lapsed: Lapsed) -> Outcome:
        """It is expired in the account, unless a newer worker had it already: then that one's record stays."""
        kind, header = lapsed.newer.kind, lapsed.newer.header
        if kind == WebhookJob.KIND:  # in no account: its event is recorded
            return Refused("expired")
        try:
            await self._store.messages.note(
                header.id,
                kind,
                "expired",
                producer=header.producer,
                expires=moment(header.expires),
                reason="newer_version",
            )
        except Unavailable:
            return RetryLater(AWAY_SECONDS, "store_away", count=False)
        return Refused("expired")
