"""JSON is read quickly where it cannot be other than it looks, and closely where it can: with the same answer."""

import json
from contextlib import nullcontext

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from preklic_shared import canonical, wire
from preklic_shared.jobs import SendJob, SendPayload

ID = "0190b5a0-0000-7000-8000-000000000001"
JOB = SendJob(
    id=ID, producer="website", at=1, expires=2, purpose="newsletter", template="newsletter", key="send-1", sealed="AAAA"
)
BODY = canonical.encode(JOB, "send_bulk")


def compact(value):
    """As our own encoder writes it, as far as Python's can."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
WRITTEN = st.one_of(
    st.binary(max_size=30),
    JSON.map(lambda value: json.dumps(value).encode()),
    JSON.map(
        lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    ),
    st.tuples(JSON, JSON).map(lambda two: f'{{"a":{json.dumps(two[0])},"a":{json.dumps(two[1])}}}'.encode()),
)


def read_by(reader, data):
    try:
        return repr(reader(data))
    except wire.Malformed as error:
        return error.reason


@given(WRITTEN)
@example(b'{"a":1,"a":1}')
@example(b"[" * 5000 + b"]" * 5000)
@example(b"1" * 400)
@example(b'"\\ud800"')
def test_the_quick_reading_of_json_takes_nothing_that_the_close_one_refuses(data):
    assert read_by(wire.strict_json, data) == read_by(wire._read_closely, data)


def test_what_our_encoder_wrote_is_read_in_one_pass():
    assert canonical.job_in(BODY, "send.bulk") == ("send_bulk", JOB) == wire.decode_closely(BODY, "send.bulk")
    assert canonical.job_in(BODY, "send.now") is None
    payload = SendPayload(to="ana@primer.si", data={"a": [1, {"b": None}]})
    assert canonical.payload_in(SendJob, msgspec.json.encode(payload)) == payload


@given(
    st.integers(0, len(BODY)),
    st.integers(0, 12),
    st.sampled_from([b"", b" ", b'"', b"1", b"}", b",", b'"v":1,', b"\\u0041"]),
)
def test_a_body_that_was_changed_is_read_in_one_pass_only_if_the_close_reading_says_the_same(at, cut, put):
    body = BODY[:at] + put + BODY[at + cut :]
    quick = canonical.job_in(body, "send.bulk")
    assert quick is None or quick == wire.decode_closely(body, "send.bulk")
    assert quick is None or body in {BODY, canonical.encode(quick[1], "send_bulk")}


@given(JSON)
def test_a_payload_is_read_in_one_pass_only_if_the_close_reading_says_the_same(value):
    data = f'{{"to":null,"data":{json.dumps(value)},"reply_to":null,"ref":null,"attachments":[]}}'.encode()
    quick = canonical.payload_in(SendJob, data)
    assert quick is None or quick == wire.convert(wire.strict_json(data), SendPayload, "sealed")


@given(st.dictionaries(st.text("$.a\0", max_size=3), st.just([]), max_size=4))
def test_no_key_is_an_operator_or_a_path(data):
    bad = any(key.startswith("$") or "." in key or "\0" in key for key in data)
    try:
        wire.check_keys([data])
    except wire.Malformed:
        assert bad
    else:
        assert not bad


@pytest.mark.parametrize(("levels", "refused"), [(wire.MAX_DEPTH, False), (wire.MAX_DEPTH + 1, True)])
@pytest.mark.parametrize("around", [lambda one: {"a": one}, lambda one: [one]])
def test_data_are_only_so_deep(levels, refused, around):
    value = "x"
    for _ in range(levels):
        value = around(value)
    with pytest.raises(wire.Malformed) if refused else nullcontext():
        wire.check_keys(value)
