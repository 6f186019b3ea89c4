"""Whatever bytes arrive: a job, or a typed refusal that names a place and never a value."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from preklic_shared import wire
from preklic_shared.jobs import ACTORS
from preklic_workers import runtime
from preklic_workers.outcomes import Dead, RetryLater
from preklic_workers.runtime import Delivery, Handler
from queueing import HOUR, envelope, now, revoke, track

SECRET = "ana.novak@primer.si"
REASONS = {
    "bad_envelope",
    "bad_options",
    "clock",
    "malformed",
    "too_large",
    "unknown_actor",
    "wrong_queue",
}
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(SECRET)
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


async def unused(_opened):
    raise AssertionError("no handler is called here")


HANDLERS = {name: Handler(name, queue, unused, batch=False) for name, (_, queue) in ACTORS.items()}


def read(body, queue="track"):
    return runtime.read(Delivery(queue, body, lambda: True), HANDLERS, None)


def refusal(body):
    answer = read(body)
    assert isinstance(answer, Dead), answer
    assert answer.reason in REASONS
    assert SECRET not in answer.reason + answer.field
    return answer


@given(st.binary(max_size=400))
@example(b"\xff\xfe[\x00]\x00")
@example(b"\xef\xbb\xbf{}")
def test_any_bytes_are_refused_without_a_crash(body):
    refusal(body)


@given(json_values)
def test_any_json_is_refused_without_a_crash(value):
    refusal(json.dumps(value).encode())


@settings(max_examples=300)
@given(st.sampled_from(sorted(envelope())), json_values)
def test_an_envelope_with_one_field_spoiled_is_refused(field, value):
    message = envelope()
    if message[field] == value or (field == "message_timestamp" and type(value) is int):
        return
    refusal(json.dumps(message | {field: value}).encode())


@settings(max_examples=300)
@given(st.data(), json_values)
def test_a_job_with_one_field_spoiled_is_a_job_still_or_names_the_field(data, value):
    message = envelope()
    job = message["kwargs"]["job"]
    field = data.draw(st.sampled_from(sorted(job)))
    job[field] = value
    answer = read(json.dumps(message).encode())
    if isinstance(answer, Dead):
        assert answer.reason in REASONS
        assert SECRET not in answer.field
        assert answer.field.startswith(("job", "message_id")) or answer.reason == "bad_envelope"
    elif isinstance(answer, RetryLater):
        assert (field, answer.reason) == ("v", "newer_version")


@given(st.text(min_size=1, max_size=12), json_values)
def test_an_unknown_field_anywhere_is_refused(name, value):
    message = envelope()
    job = message["kwargs"]["job"]
    if name not in job:
        assert refusal(json.dumps(message | {"kwargs": {"job": job | {name: value}}}).encode()).reason in REASONS
    if name not in message:
        refusal(json.dumps(message | {name: value}).encode())


@pytest.mark.parametrize("cut", range(0, 400, 7))
def test_a_truncated_body_is_refused(cut):
    body = wire.encode(track(), "track")
    assert refusal(body[: min(cut, len(body) - 1)]).reason == "bad_envelope"


def test_half_a_surrogate_pair_is_refused_and_a_whole_one_is_not():
    message = envelope(revoke(), "revoke")
    message["kwargs"]["job"]["reason"] = "half"
    body = json.dumps(message).encode()
    assert read(body.replace(b"half", rb"\ud83d"), "revoke") == Dead("bad_envelope")
    _, opened = read(body.replace(b"half", rb"\ud83d\ude00"), "revoke")
    assert opened.job.reason == "\N{GRINNING FACE}"


def test_what_was_encoded_is_read_again():
    for job, actor in ((track(), "track"), (revoke(), "revoke")):
        handler, opened = read(wire.encode(job, actor), ACTORS[actor][1])
        assert (handler.actor, opened.job, opened.payload, opened.expired) == (actor, job, None, False)


def test_the_delivery_learns_the_job_s_own_id():
    job = track()
    delivery = Delivery("track", wire.encode(job, "track"), lambda: True, message_id="what the publisher said")
    runtime.read(delivery, HANDLERS, None)
    assert delivery.message_id == job.id


def test_an_actor_that_this_worker_does_not_run_is_unknown():
    answer = runtime.read(Delivery("track", wire.encode(track(), "track"), lambda: True), {}, None)
    assert answer == Dead("unknown_actor", "actor_name")


def test_five_minutes_ahead_is_a_clock_and_six_are_the_future():
    assert not isinstance(read(wire.encode(track(at=now() + 4 * 60_000), "track")), Dead)
    assert read(wire.encode(track(at=now() + 6 * 60_000), "track")) == Dead("clock", "job.at")
    _, opened = read(wire.encode(revoke(at=now() + 100 * HOUR), "revoke"), "revoke")
    assert opened.job.at <= now()


def test_a_fault_of_our_own_is_dead_and_not_a_crash(monkeypatch):
    monkeypatch.setattr(runtime, "bounded", lambda _job, _now: 1 / 0)
    assert read(wire.encode(track(), "track")).reason == "unreadable:ZeroDivisionError"
