import asyncio

import pytest

from preklic_workers.store.grouping import Grouper


class Recorder:
    """A group's work that waits until the test lets it go."""

    def __init__(self):
        self.groups = []
        self.go = asyncio.Event()

    async def run(self, items):
        self.groups.append(items)
        await self.go.wait()
        return [ValueError(item) if item == "bad" else item.upper() for item in items]


async def start(call, *items):
    tasks = [asyncio.create_task(call(item)) for item in items]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


async def test_what_arrives_meanwhile_is_the_next_group():
    work = Recorder()
    call = Grouper(work.run)
    tasks = await start(call, "a") + await start(call, "b", "c")
    assert work.groups == [["a"]]
    work.go.set()
    assert await asyncio.gather(*tasks) == ["A", "B", "C"]
    assert work.groups == [["a"], ["b", "c"]]


async def test_a_large_crowd_is_cut_into_groups():
    work = Recorder()
    work.go.set()
    call = Grouper(work.run, limit=3)
    assert await asyncio.gather(*(call(letter) for letter in "abcdefg")) == list("ABCDEFG")
    assert [len(group) for group in work.groups] == [3, 3, 1]


async def test_one_that_fails_leaves_the_others_their_answers():
    work = Recorder()
    work.go.set()
    call = Grouper(work.run)
    answers = await asyncio.gather(*(call(item) for item in ("a", "bad", "c")), return_exceptions=True)
    assert answers[0] == "A"
    assert isinstance(answers[1], ValueError)
    assert answers[2] == "C"


async def test_a_group_that_breaks_tells_every_member_and_the_next_one_works():
    groups = []

    async def run(items):
        groups.append(items)
        if len(groups) == 1:
            raise ConnectionError
        return items

    call = Grouper(run)
    answers = await asyncio.gather(*(call(item) for item in "ab"), return_exceptions=True)
    assert [type(answer) for answer in answers] == [ConnectionError, ConnectionError]
    assert await call("c") == "c"


async def test_a_caller_that_is_cancelled_takes_nobody_with_it():
    work = Recorder()
    call = Grouper(work.run)
    first, second = await start(call, "a", "b")
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    work.go.set()
    assert await second == "B"
    assert await call("c") == "C"
