"""Signals that ask a worker to end: one however often a process group sends it, and a later one."""

import asyncio

from preklic_workers.draining import Draining
from preklic_workers.roles import readiness


async def test_signals_at_once_are_one_and_a_later_one_gives_back_the_rest():
    now = [100.0]
    draining = Draining(clock=lambda: now[0])
    assert not draining.begun
    for _ in range(3):
        draining.hear()
        now[0] += 0.3
    await asyncio.wait_for(draining.asked(), 1)
    assert draining.begun
    cut = asyncio.create_task(draining.cut())
    await asyncio.sleep(0)
    assert not cut.done()
    now[0] += 0.2
    draining.hear()
    await asyncio.wait_for(cut, 1)


def test_nobody_is_ready_who_was_asked_to_end():
    class Taking:
        role = "send"

        @staticmethod
        def ready():
            return True

    assert readiness([Taking()], draining=False) == {"send": True}
    assert readiness([Taking()], draining=True) == {"send": False}
