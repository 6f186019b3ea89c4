import ipaddress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preklic_producers.contracts import joined
from preklic_producers.fields import Rejected
from preklic_shared import joined as joining
from preklic_shared.jobs import EnrichJob
from preklic_shared.joined import NoIpAddress
from preklic_shared.wire import Malformed, decode_payload

GUARD = "preklic_shared.joined:shortened"
NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,10}", fullmatch=True)


def dressed(address):
    """An address as logs, headers and people write it."""
    text = str(address)
    forms = [text, f" {text}\t", f"{text}, {text}", f"{text}/{address.max_prefixlen}"]
    if address.version == 4:
        wide = text.translate({ord(digit): 0xFF10 + int(digit) for digit in "0123456789"})
        octets = [f"{int(octet):03d}" for octet in text.split(".")]
        return [*forms, f"{text}:443", f"::ffff:{text}", f"[::ffff:{text}]:80", wide, ".".join(octets)]
    return [*forms, text.upper(), address.exploded, f"[{text}]", f"[{text}]:443", f"{text}%eth0"]


@pytest.mark.clause("U10", guard=GUARD)
@given(st.ip_addresses(v=4), NAMES)
def test_of_an_ipv4_address_its_network_of_256_is_left_however_it_is_written(address, name):
    kept = {joining.shortened({name: form})[name] for form in dressed(address)}
    network = str(ipaddress.ip_network((address, 24), strict=False))
    assert kept == {network, f"{network}, {network}"}


@pytest.mark.clause("U10", guard=GUARD)
@given(st.ip_addresses(v=6))
def test_of_an_ipv6_address_at_most_48_bits_are_left(address):
    inner = address.ipv4_mapped or address.sixtofour
    network = str(ipaddress.ip_network((inner, 24) if inner else (address, 48), strict=False))
    assert {joining.shortened({"at": form})["at"] for form in dressed(address)} == {network, f"{network}, {network}"}


@pytest.mark.clause("U10", guard=GUARD)
def test_an_ipv4_address_inside_an_ipv6_one_is_no_way_around():
    assert joining.shortened({"ip": "2002:cb00:7107::1"}) == {"ip": "203.0.113.0/24"}


@given(st.dictionaries(NAMES.filter(lambda name: name.lower() != "ip"), st.text(max_size=30) | st.integers()))
def test_cutting_twice_is_cutting_once_and_other_words_stay(data):
    once = joining.shortened(data)
    assert joining.shortened(once) == once
    plain = [name for name, value in data.items() if not (isinstance(value, str) and {*value} & {*".:"})]
    assert all(once[name] == data[name] for name in plain)


@pytest.mark.clause("U10", guard=GUARD)
@pytest.mark.parametrize("value", ["host-7.example", "203.0.113", 3405803777, True, "203.0.113.7 or so"])
def test_a_field_that_says_it_is_an_ip_and_is_none_is_refused_and_named(value):
    for name in ("ip", "IP"):
        with pytest.raises(NoIpAddress) as caught:
            joining.shortened({name: value})
        assert caught.value.field == name
        with pytest.raises(Rejected) as refused:
            joined({name: value})
        assert (refused.value.field, str(value) in str(refused.value)) == (f"data.{name}", False)


@pytest.mark.parametrize(
    "data",
    [
        {"": 1},
        {"9lives": 1},
        {"a" * 65: 1},
        {"ime in priimek": 1},
        {"$ne": 1},
        {"a.b": 1},
        {"a\n": 1},
        {"a": "x" * 10_001},
        {"a": None},
        {"a": {}},
        {f"f{n}": n for n in range(65)},
    ],
)
def test_names_sizes_and_numbers_of_fields_are_bounded(data):
    payload = {"ref": "7", "data": data, "source": "shop"}
    with pytest.raises(Malformed):
        decode_payload(EnrichJob, msgspec.json.encode(payload))
