"""Hands jobs over: straight to the broker when it answers, into the outbox when it does not."""

import os
import threading
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple
from uuid import UUID

from preklic_producers.carrier import Carrier, PublishMany, publication
from preklic_producers.outbox import Outbox, OutboxFailed, OutboxFull, Parcel
from preklic_shared.publication import Publication, Refused
from preklic_shared.topology import JOBS, VOID

_FRESH: Final = 7


class Unavailable(Exception):
    """The job is neither with the broker (in time) nor in an outbox.

    It may still arrive: send it again with the same idempotency key. `receipts` holds, for `send_many`, a receipt
    for each mail that was taken and None for each that was not.
    """

    def __init__(self, why: str, receipts: "Sequence[Receipt | None]" = ()) -> None:
        super().__init__(why)
        self.receipts = tuple(receipts)


class Receipt(NamedTuple):
    """The job's id, and where it is: `queued` (the broker confirmed it) or `stored` (fsynced in the outbox)."""

    job_id: str
    status: Literal["queued", "stored"]


class Courier:
    """Publishes parcels, or stores them where there is an outbox. Safe in threads and after a fork."""

    def __init__(self, publish_many: PublishMany, box: Outbox | None) -> None:
        self._publish_many = publish_many
        self._box = box
        self._lock = threading.Lock()
        self._carrier: Carrier | None = None
        self._living()

    def hand_over(self, parcels: Sequence[Parcel]) -> list[Receipt]:
        """A receipt for each parcel, in order; Unavailable when one is neither confirmed nor stored.

        Straight to the broker, unless older jobs still wait in the outbox: then behind them.
        """
        carrier = self._living()
        if carrier is not None and carrier.behind:
            return self._stored(parcels, [None] * len(parcels))
        failures = self._publish_many(map(publication, parcels))
        receipts = [
            None if index in failures else Receipt(parcel.job, "queued") for index, parcel in enumerate(parcels)
        ]
        if not failures:
            return [receipt for receipt in receipts if receipt is not None]
        if carrier is None:
            self._void([parcels[index] for index, error in failures.items() if isinstance(error, Refused)])
            raise Unavailable(str(next(iter(failures.values()))), receipts)
        return self._stored(parcels, receipts)

    def close(self) -> None:
        """Stop carrying and close the outbox; what waits in it stays for the next start."""
        with self._lock:
            carrier, self._carrier = self._carrier, None
        if carrier is not None and carrier.pid == os.getpid():
            carrier.end()
        if self._box is not None:
            self._box.close()

    def _void(self, refused: Sequence[Parcel]) -> None:
        # The log may hold what a full queue refused: a void takes it back there. A job whose id comes from an
        # idempotency key (UUIDv5) may be published again and is left alone.
        fresh = [parcel.job for parcel in refused if UUID(parcel.job).version == _FRESH]
        if fresh:
            self._publish_many(Publication(JOBS, VOID, b"{}", job, VOID) for job in fresh)

    def _stored(self, parcels: Sequence[Parcel], receipts: Sequence[Receipt | None]) -> list[Receipt]:
        assert self._box is not None
        rest = [parcel for parcel, receipt in zip(parcels, receipts, strict=True) if receipt is None]
        try:
            self._box.put(rest)
        except (OutboxFull, OutboxFailed) as error:
            raise Unavailable(f"the outbox takes nothing ({type(error).__name__})", receipts) from error
        carrier = self._living()
        assert carrier is not None
        carrier.wake()
        return [receipt or Receipt(parcel.job, "stored") for parcel, receipt in zip(parcels, receipts, strict=True)]

    def _living(self) -> Carrier | None:
        # A fork does not copy threads: the child starts a carrier of its own.
        if self._box is None:
            return None
        with self._lock:
            if self._carrier is None or self._carrier.pid != os.getpid():
                self._carrier = Carrier(self._box, self._publish_many)
                self._carrier.start()
            return self._carrier
