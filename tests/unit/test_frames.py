"""The short way of plain frames says, octet for octet, what pika says; whatever is not plain is left to pika."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika import BasicProperties, frame, spec

from preklic_shared import frames
from preklic_shared.awaited import properties_of
from preklic_shared.publication import Publication

MOST = 40
SHORT = st.text(max_size=60).filter(lambda text: len(text.encode()) < 256)
WORDS = st.text(st.characters(codec="ascii"), max_size=20)
PUBLICATIONS = st.builds(
    Publication, WORDS, WORDS, st.binary(max_size=2 * MOST), st.one_of(SHORT, st.just("x" * 256)), WORDS
)


def by_pika(channel, publication, user):
    head = spec.Basic.Publish(
        exchange=publication.exchange, routing_key=publication.routing_key, mandatory=publication.mandatory
    )
    content = frame.Header(channel, len(publication.body), properties_of(publication, user))
    return b"".join(
        one.marshal() for one in (frame.Method(channel, head), content, frame.Body(channel, publication.body))
    )


def delivery(properties, body=b"{}", *, parts=1, channel=1, tag=7, again=True, key="track"):
    head = spec.Basic.Deliver("ctag1.a", tag, again, "jobs", key)
    size = -(-len(body) // parts) or 1
    pieces = [frame.Body(channel, body[at : at + size]) for at in range(0, len(body), size)]
    whole = (frame.Method(channel, head), frame.Header(channel, len(body), properties), *pieces)
    return b"".join(one.marshal() for one in whole)


def told_by(properties):
    return {name: getattr(properties, name) for name in vars(BasicProperties())}


def plain(**more):
    given = {"content_type": "application/json", "delivery_mode": 2, "message_id": "č", "type": "track", "user_id": "u"}
    return BasicProperties(**(given | more))


@given(PUBLICATIONS, st.integers(1, 65535), WORDS, st.booleans())
def test_a_plain_job_is_written_as_pika_writes_it(publication, channel, user, mandatory):
    publication = Publication(*(getattr(publication, name) for name in publication.__struct_fields__[:9]), mandatory)
    written = frames.plain_job(channel, publication, user, MOST)
    if 0 < len(publication.body) <= MOST and len(publication.message_id.encode()) < 256:
        assert written == by_pika(channel, publication, user)
    else:
        assert written is None


@pytest.mark.parametrize(
    "more", [{"headers": {"tier": "5s"}}, {"reply_to": "x"}, {"correlation_id": "x"}, {"expiration": 1}]
)
def test_what_is_not_plain_is_left_to_pika(more):
    assert frames.plain_job(1, Publication("jobs", "track", b"{}", "id", "track", **more), "u", MOST) is None


@given(st.binary(min_size=1, max_size=80), st.binary(max_size=9), SHORT, st.integers(0, 2**64 - 1), st.booleans())
def test_a_plain_delivery_is_read_as_pika_reads_it(body, rest, named, tag, again):
    octets = delivery(plain(message_id=named), body, tag=tag, again=again)
    read = frames.delivered(b"###" + octets + rest, 3, 3 + len(octets + rest))
    at, told = 0, []
    while at < len(octets):
        used, value = frame.decode_frame(octets[at:])
        at += used
        told.append(value)
    method, header, content = told
    assert read is not None
    assert (read.stop, read.channel, read.body) == (3 + len(octets), 1, content.fragment)
    assert vars(read.method) == vars(method.method)
    assert told_by(read.properties) == vars(header.properties)


def test_a_delivery_that_is_cut_anywhere_waits_for_its_rest():
    octets = delivery(plain())
    assert all(frames.delivered(octets, 0, end) is None for end in range(11, len(octets)))
    assert all(frames.delivered(octets[:end], 0, end) is None for end in range(11, len(octets)))


@given(st.data())
def test_a_spoilt_delivery_is_never_read_otherwise_than_by_pika(data):
    octets = bytearray(delivery(plain()))
    for _ in range(data.draw(st.integers(1, 3))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    spoilt = bytes(octets)
    read = frames.delivered(spoilt, 0, len(spoilt))
    if read is None:
        return
    used, method = frame.decode_frame(spoilt)
    more, header = frame.decode_frame(spoilt[used:])
    _, content = frame.decode_frame(spoilt[used + more :])
    assert isinstance(content, frame.Body)
    assert (vars(read.method), told_by(read.properties)) == (vars(method.method), vars(header.properties))
    assert read.body == content.fragment


@pytest.mark.parametrize(
    "octets",
    [
        delivery(plain(headers={"attempt": 1})),
        delivery(plain(user_id=None)),
        delivery(plain(expiration="5")),
        delivery(plain(), b"in two frames", parts=2),
        delivery(plain(), b""),
        frame.Method(1, spec.Basic.Ack(7)).marshal() * 9,
        frame.Heartbeat().marshal() * 9,
    ],
)
def test_any_other_frame_is_left_to_pika(octets):
    assert frames.delivered(octets, 0, len(octets)) is None


@given(st.integers(0, 2**64 - 1), st.booleans(), st.integers(1, 65535))
def test_a_confirm_is_read_as_pika_reads_it(tag, multiple, channel):
    octets = frame.Method(channel, spec.Basic.Ack(tag, multiple)).marshal()
    assert frames.confirmed(b"#" + octets, 1) == (channel, tag, multiple)
    assert len(octets) == frames.CONFIRM_OCTETS
    assert frames.confirmed(octets[:-1], 0) is None
    assert frames.confirmed(frame.Method(channel, spec.Basic.Nack(tag, multiple)).marshal(), 0) is None
