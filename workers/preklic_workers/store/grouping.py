"""Grouping: calls that run at the same time become one round trip.

One group of a kind is under way at a time and what arrives meanwhile is the next; there are no timers, so a lone call
waits for nobody and a busy store makes larger groups by itself.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

MAX_GROUP: Final = 500

T = TypeVar("T")
R = TypeVar("R")


class Grouper(Generic[T, R]):
    """Turns `run`, which takes a list, into a call that takes one item.

    `run` answers in order, one result or one exception for each item; when it raises, every member of that group gets
    the exception. A caller that is cancelled leaves its group: the work is done all the same, and its answer dropped;
    with `forsake` work that has not begun by then is not done.
    """

    def __init__(
        self,
        run: Callable[[list[T]], Awaitable[Sequence[R | Exception]]],
        limit: int = MAX_GROUP,
        *,
        forsake: bool = False,
    ) -> None:
        self._run = run
        self._limit = limit
        self._forsake = forsake
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, item: T) -> R:
        """The item's own answer; raises what `run` said about it."""
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        if self._task is None:
            self._task = asyncio.create_task(self._groups())
        return await answer

    async def _groups(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting[: self._limit], self._waiting[self._limit :]
                if self._forsake:
                    group = [member for member in group if not member[1].cancelled()]
                if group:
                    await self._one(group)
        finally:
            self._task = None
            for _, answer in self._waiting:
                answer.cancel()
            self._waiting = []

    async def _one(self, group: list[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = await self._run([item for item, _ in group])
            answers = list(zip(group, results, strict=True))
        except Exception as error:  # noqa: BLE001 - it belongs to the callers, whatever it is
            answers = [(member, error) for member in group]
        except asyncio.CancelledError:
            for _, answer in group:
                answer.cancel()
            raise
        for (_, answer), result in answers:
            _tell(answer, result)


def _tell(answer: asyncio.Future[R], result: R | Exception) -> None:
    if answer.done():  # its caller was cancelled
        return
    if isinstance(result, Exception):
        answer.set_exception(result)
    else:
        answer.set_result(result)
