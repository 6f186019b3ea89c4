"""Carries jobs from an outbox to the broker, in a thread of its own."""

import os
import threading
from collections.abc import Callable, Iterable
from typing import Final

from preklic_producers.outbox import BATCH, Outbox, OutboxFailed, Parcel
from preklic_shared.jobs import ACTORS
from preklic_shared.publication import Publication, PublishError, Unavailable
from preklic_shared.telemetry import logger
from preklic_shared.topology import JOBS

PublishMany = Callable[[Iterable[Publication]], dict[int, PublishError]]

_SHORTEST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0
_log = logger(__name__)


def publication(parcel: Parcel) -> Publication:
    """The publication that puts a parcel on its queue."""
    return Publication(JOBS, ACTORS[parcel.actor][1], parcel.body, parcel.job, parcel.actor)


class Carrier(threading.Thread):
    """Publishes what waits in an outbox, oldest first, until the box is empty; then sleeps until it is woken."""

    def __init__(self, box: Outbox, publish_many: PublishMany) -> None:
        super().__init__(name="preklic outbox", daemon=True)
        self._box = box
        self._publish_many = publish_many
        self._news = threading.Event()
        self._over = threading.Event()
        self.pid = os.getpid()
        # Until the box has been seen empty, new jobs go behind what waits in it.
        self.behind = True

    def wake(self) -> None:
        """Something was put into the box."""
        self.behind = True
        self._news.set()

    def end(self) -> None:
        """Stop after the publish under way; what waits stays in the box."""
        self._over.set()
        self._news.set()
        self.join()

    def run(self) -> None:
        """The thread's life: drain, pause longer after each failure, sleep when there is nothing."""
        pause = _SHORTEST_PAUSE
        while not self._over.is_set():
            self._news.clear()
            if self._drained():
                pause = _SHORTEST_PAUSE
                self._news.wait(_LONGEST_PAUSE)
            else:
                self._over.wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)

    def _drained(self) -> bool:
        try:
            with self._box.turn() as mine:
                return mine and drain(self._box, self._publish_many, self._seen_empty)
        except (OutboxFailed, PublishError) as error:
            _log.warning("outbox stuck", error=type(error).__name__)
            return False

    def _seen_empty(self) -> None:
        if not self._news.is_set():
            self.behind = False


def drain(box: Outbox, publish_many: PublishMany, empty: Callable[[], None] = lambda: None) -> bool:
    """Publish page after page; whether the box is empty now. What the broker refuses stays, and blocks nobody."""
    after, left = 0, 0
    while parcels := box.waiting(BATCH, after=after):
        failures = publish_many([publication(parcel) for parcel in parcels])
        box.forget([parcel for index, parcel in enumerate(parcels) if index not in failures])
        if len(failures) == len(parcels) and any(isinstance(error, Unavailable) for error in failures.values()):
            return False
        left += len(failures)
        after = parcels[-1].seq
    if left == 0:
        empty()
    return left == 0
