"""Idempotency-Key: one request, one job, and the same answer for 24 hours.

Kept in memory, for this gateway alone. What is forgotten (a restart, another gateway, a very full table) costs nothing:
the job id is made from the key, so a repeat is the same job, and the worker's claim refuses another body.
"""

import hashlib
import os
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from preklic_producers.gateway.errors import ApiError

KEPT_SECONDS: Final = 24 * 3600
KEPT_ANSWERS: Final = 100_000


@dataclass(slots=True)
class _Kept:
    body: bytes
    until: float
    answer: Any = None


class Answers:
    """The answers of the last day by token name, route and key."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._secret = os.urandom(32)
        self._kept: OrderedDict[tuple[str, str, str], _Kept] = OrderedDict()

    async def once(
        self, place: tuple[str, str, str], body: bytes, act: Callable[[], Awaitable[Any]]
    ) -> tuple[Any, bool]:
        """The answer, and whether it is a repeated one.

        Raises ApiError: 409 while the first request is under way, 422 when the body is another one.
        """
        print_ = hashlib.blake2b(body, key=self._secret, digest_size=16).digest()
        kept = self._find(place)
        if kept is not None:
            if kept.body != print_:
                raise ApiError(422, "idempotency_conflict", "this key was used with another body", "Idempotency-Key")
            if kept.answer is None:
                raise ApiError(409, "in_flight", "the first request with this key is under way", "Idempotency-Key")
            return kept.answer, True
        kept = self._kept[place] = _Kept(print_, self._clock() + KEPT_SECONDS)
        try:
            kept.answer = await act()
        except BaseException:
            # A request that failed may be tried again with the same key.
            del self._kept[place]
            raise
        return kept.answer, False

    def _find(self, place: tuple[str, str, str]) -> _Kept | None:
        while self._kept and (len(self._kept) > KEPT_ANSWERS or next(iter(self._kept.values())).until < self._clock()):
            self._kept.popitem(last=False)
        return self._kept.get(place)
