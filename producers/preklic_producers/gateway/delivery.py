"""Hands jobs over without leaving the event loop: to the broker, or in groups into the outbox when it is away."""

import asyncio
from collections.abc import Iterable
from typing import Final, Literal

from preklic_producers.carrier import Carrier, publication
from preklic_producers.courier import Unavailable
from preklic_producers.outbox import Outbox, OutboxFailed, OutboxFull, Parcel
from preklic_shared.metrics import OUTBOX_AGE, OUTBOX_JOBS, TRACK_DROPPED
from preklic_shared.publication import Publication, PublishError
from preklic_shared.publisher import Publisher

# Opens and clicks may fill half of the box; the rest is for withdrawals.
TRACK_SHARE: Final = 0.5

_Waiting = tuple[Parcel, asyncio.Future[None]]


class Delivery:
    """The gateway's way to the broker. To be made on the running loop that uses it."""

    def __init__(self, publisher: Publisher, box: Outbox) -> None:
        self._publisher = publisher
        self._box = box
        self._loop = asyncio.get_running_loop()
        self._shelves = {share: Shelf(box, share) for share in (1.0, TRACK_SHARE)}
        self._carrier = Carrier(box, self._publish_many)
        self._carrier.start()

    async def hand_over(self, parcel: Parcel, *, share: float = 1.0) -> Literal["queued", "stored"]:
        """Confirmed by the broker, or fsynced here; Unavailable when neither was possible.

        While older jobs wait in the outbox, new ones go behind them at once, without asking the broker.
        """
        if not self._carrier.behind:
            try:
                await self._publisher.publish(publication(parcel))
            except PublishError:
                pass
            else:
                return "queued"
        try:
            await self._shelves[share].put(parcel)
        except (OutboxFull, OutboxFailed) as error:
            raise Unavailable(f"the outbox takes nothing ({type(error).__name__})") from error
        self._carrier.wake()
        return "stored"

    async def hand_over_event(self, parcel: Parcel) -> None:
        """An open or click: dropped and counted when the broker is away and the outbox half full."""
        try:
            await self.hand_over(parcel, share=TRACK_SHARE)
        except Unavailable:
            TRACK_DROPPED.inc()

    async def measure(self) -> None:
        """Set the metrics of the outbox; OutboxFailed when the disk is away."""
        age, count = await asyncio.to_thread(lambda: (self._box.age(), len(self._box)))
        OUTBOX_AGE.set(age)
        OUTBOX_JOBS.set(count)

    async def close(self) -> None:
        """Stop carrying; what waits stays in the box for the next start."""
        await asyncio.to_thread(self._carrier.end)

    def _publish_many(self, publications: Iterable[Publication]) -> dict[int, PublishError]:
        call = self._publisher.publish_many(publications)
        return asyncio.run_coroutine_threadsafe(call, self._loop).result()


class Shelf:
    """Puts that wait at the same time become one transaction with one fsync: no timers, one group at a time."""

    def __init__(self, box: Outbox, share: float) -> None:
        self._box = box
        self._share = share
        self._next: list[_Waiting] = []
        self._worker: asyncio.Task[None] | None = None

    async def put(self, parcel: Parcel) -> None:
        """Return when the parcel is on disk; OutboxFull or OutboxFailed."""
        stored = asyncio.get_running_loop().create_future()
        self._next.append((parcel, stored))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        await stored

    async def _work(self) -> None:
        while self._next:
            group, self._next = self._next, []
            error = await asyncio.to_thread(self._stored, [parcel for parcel, _ in group])
            for parcel, stored in group:
                if len(group) > 1 and error is not None:
                    # What does not fit as a group may fit one by one.
                    error_alone = await asyncio.to_thread(self._stored, [parcel])
                else:
                    error_alone = error
                if stored.cancelled():
                    continue
                if error_alone is None:
                    stored.set_result(None)
                else:
                    stored.set_exception(error_alone)
        self._worker = None

    def _stored(self, parcels: list[Parcel]) -> OutboxFull | OutboxFailed | None:
        try:
            self._box.put(parcels, share=self._share)
        except (OutboxFull, OutboxFailed) as error:
            return error
        return None
