"""Replies as they come over the wire: in any pieces, several at once, or none at all."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preklic_workers.smtp.dialogue import MOST, Dialogue, NoReply, Replies
from preklic_workers.smtp.replies import Reply

REPLIES = [b"250 2.1.0 ok\r\n", b"250-2.1.5 first\r\n250 last\r\n", b"354 go on\n", b"550 5.1.1 nobody\r\n", b"421\r\n"]
READ = [Reply(250, "2.1.0"), Reply(250, "2.1.5"), Reply(354), Reply(550, "5.1.1"), Reply(421)]


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self):
        super().__init__()
        self.written, self.closed = b"", False

    def set_protocol(self, protocol):
        self.protocol = protocol

    def write(self, data):
        self.written += data

    def is_closing(self):
        return self.closed

    def close(self):
        self.closed = True

    abort = close


@given(st.lists(st.integers(0, len(REPLIES) - 1), min_size=1, max_size=6), st.data())
def test_replies_are_paired_whatever_pieces_they_come_in(chosen, data):
    stream = b"".join(REPLIES[number] for number in chosen)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]

    async def talk():
        dialogue = Dialogue(Wire())
        dialogue.write(b"commands", len(chosen))
        waiting = asyncio.ensure_future(dialogue.reply())
        for piece in pieces:
            dialogue.data_received(piece)
            await asyncio.sleep(0)
        first = await waiting
        return [first, *[await dialogue.reply() for _ in chosen[1:]]], dialogue.open

    assert asyncio.run(talk()) == ([READ[number] for number in chosen], True)


@pytest.mark.parametrize(
    "data", [b"no code\r\n", b"25\r\n", b"\xff\xfe\x00\r\n", b"2\xb20 superscript\r\n", b"\r\n", b"250 ok\r\nx\r\n"]
)
async def test_what_is_no_reply_ends_the_session(data):
    dialogue = Dialogue(Wire())
    dialogue.write(b"commands", 3)
    waiting = asyncio.ensure_future(dialogue.reply())
    await asyncio.sleep(0)
    dialogue.data_received(data)
    if data.startswith(b"250"):
        assert await waiting == Reply(250)
        waiting = dialogue.reply()
    with pytest.raises(ConnectionError):
        await waiting
    assert not dialogue.open
    with pytest.raises(ConnectionError):
        dialogue.write(b"more")


async def test_a_reply_that_nobody_asked_for_is_not_taken_for_the_next_ones():
    dialogue = Dialogue(Wire())
    dialogue.data_received(b"421 4.4.2 idle for too long\r\n")
    assert not dialogue.open
    with pytest.raises(ConnectionError):
        await dialogue.reply()


async def test_what_was_answered_before_the_end_counts():
    dialogue = Dialogue(Wire())
    dialogue.write(b"body")
    dialogue.data_received(b"250 2.0.0 taken\r\n")
    dialogue.connection_lost(None)
    assert await dialogue.reply() == Reply(250, "2.0.0")
    with pytest.raises(ConnectionError):
        await dialogue.reply()


@pytest.mark.parametrize("data", [b"250-x\r\n" * MOST, b"250 " + b"x" * MOST, b"250 " + b"x" * MOST + b"\r\n"])
def test_no_reply_is_longer_than_the_limit(data):
    with pytest.raises(NoReply):
        list(Replies().feed(data))
    replies, pieces = Replies(), [data[start : start + 1000] for start in range(0, MOST, 1000)]
    assert [reply for piece in pieces[:-1] for reply in replies.feed(piece)] == []
    with pytest.raises(NoReply):
        list(replies.feed(pieces[-1] + data[-1000:]))


async def test_a_deadline_is_of_all_replies_and_one_timer_serves_many(monkeypatch):
    loop = asyncio.get_running_loop()
    set_for, alarms = loop.call_at, []
    monkeypatch.setattr(loop, "call_at", lambda when, *rest: alarms.append(when) or set_for(when, *rest))
    dialogue = Dialogue(Wire())
    for _ in range(5):
        dialogue.within(30)
        dialogue.write(b"command")
        waiting = asyncio.ensure_future(dialogue.reply())
        await asyncio.sleep(0)
        dialogue.data_received(b"250 ok\r\n")
        assert await waiting == Reply(250)
    assert len(alarms) == 1
    dialogue.within(0.02)
    dialogue.write(b"commands", 2)
    dialogue.data_received(b"250 one\r\n")
    assert await dialogue.reply() == Reply(250)
    with pytest.raises(TimeoutError):
        await dialogue.reply()
    assert len(alarms) == 2
    dialogue.connection_lost(None)
    assert dialogue._alarm is None


async def test_who_comes_next_hears_no_answer_to_the_one_before():
    dialogue = Dialogue(Wire())
    dialogue.write(b"commands", 2)
    with pytest.raises(ConnectionError):
        dialogue.write(b"others")
    dialogue.data_received(b"250 one\r\n250 two\r\n")
    await dialogue.reply()
    with pytest.raises(ConnectionError):
        dialogue.write(b"others")
    await dialogue.reply()
    dialogue.write(b"others")
    dialogue.data_received(b"250 three\r\n421 by")
    await dialogue.reply()
    with pytest.raises(ConnectionError):
        dialogue.write(b"more")
