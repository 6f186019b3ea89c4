"""JSON is read quickly where it cannot be other than it looks, and closely where it can: with the same answer."""

import json

from hypothesis import example, given
from hypothesis import strategies as st

from preklic_shared import wire


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
