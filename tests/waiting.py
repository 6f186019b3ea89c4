"""Waiting in tests: poll a predicate until a deadline; the value it returned, or a failure saying what is missing."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
PAUSE = 0.02
longest = float("inf")  # seconds of any wait; tests whose guard is off fail by waiting, and need not do so for long


def until(predicate: Callable[[], T], seconds: float = 10, what: str = "") -> T:
    """The first truthy value of `predicate()`; `AssertionError` naming `what` after so many seconds."""
    deadline = time.monotonic() + min(seconds, longest)
    while True:
        if value := predicate():
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what or predicate}; last seen: {value!r}")
        time.sleep(PAUSE)


async def auntil(predicate: Callable[[], T | Awaitable[T]], seconds: float = 10, what: str = "") -> T:
    """`until` for a running loop; the predicate may be a coroutine function."""
    deadline = time.monotonic() + min(seconds, longest)
    while True:
        value = predicate()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what or predicate}; last seen: {value!r}")
        await asyncio.sleep(PAUSE)
