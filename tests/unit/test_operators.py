"""What a database could read as an operator never gets past the typed model: at the gateway, in a header, in a seal."""

import json
import time
import uuid

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preklic_producers.gateway import requests
from preklic_producers.gateway.errors import ApiError
from preklic_producers.gateway.requests import read_json
from preklic_shared import wire
from preklic_shared.jobs import ACTORS, PAYLOADS, CampaignJob, EnrichJob, SendJob
from preklic_shared.wire import Malformed, decode, decode_payload

OPERATORS = [{"$ne": 1}, {"$gt": ""}, {"$where": "1"}, {"$regex": ".*"}, [{"$ne": 1}]]
PROOF = {"wording": "v", "source": "s", "method": "form"}
REQUESTS = [
    (requests.MessageRequest, {"to": "a", "purpose": "p", "template": "t", "ref": "r", "reply_to": "b"}),
    (requests.ConsentRequest, {"address": "a", "proof": PROOF, "ref": "r", "purposes": ["p"]}),
    (requests.WithdrawalRequest, {"person": "a", "reason": "r", "purposes": ["p"]}),
    (requests.ProfileRequest, {"person": "a", "group": "profile", "data": {}, "source": "s"}),
    (requests.EventRequest, {"token": "t", "kind": "opened"}),
    (requests.CheckRequest, {"address": "a"}),
    (requests.CampaignRequest, {"name": "n", "purpose": "p", "template": "t", "rate": 1, "cap": "2/7d"}),
    (requests.ReasonRequest, {"reason": "r"}),
]
FIELDS = [(kind, body, name) for kind, body in REQUESTS for name in body if name != "data"]
SEALED = {
    SendJob: {"to": "a@b.si", "data": {}, "ref": "r"},
    EnrichJob: {"address": "a@b.si", "data": {"x": "y"}, "source": "s"},
    CampaignJob: {"data": {"x": "y"}, "segment": "s", "at": 1, "rate": 1, "cap": [2, 7], "reason": "r"},
}
KEYS = st.text(max_size=5).map(lambda text: "$" + text) | st.tuples(st.text(max_size=4), st.text(max_size=4)).map(
    ".".join
)


@pytest.mark.attack(65, guard="preklic_producers.gateway.requests:convert")
@pytest.mark.parametrize(("kind", "body", "name"), FIELDS, ids=lambda value: getattr(value, "__name__", None))
@pytest.mark.parametrize("operator", OPERATORS, ids=str)
def test_an_operator_as_a_value_is_422_and_the_field_is_named(kind, body, name, operator):
    with pytest.raises(ApiError) as refused:
        read_json(json.dumps(body | {name: operator}).encode(), kind)
    assert refused.value.status == 422
    assert (refused.value.field or "").startswith(name)


def header(actor):
    now = time.time_ns() // 1_000_000
    kind = ACTORS[actor][0]
    fields = {"id": str(uuid.uuid4()), "producer": "website.x", "at": now, "expires": now + 1000}
    given = {
        "send": {"purpose": "newsletter", "template": "newsletter", "key": "send-1", "sealed": "AAAA"},
        "track": {"event": "opened", "message": str(uuid.uuid4()), "person": "0" * 32},
        "revoke": {"purposes": "all", "source": "api", "person": "0" * 32},
        "grant": {"key": "record-1", "sealed": "AAAA"},
        "enrich": {"group": "profile", "key": "record-1", "sealed": "AAAA"},
        "aside": {"source": "smtp", "reason": "unmatched", "key": "record-1", "sealed": "AAAA"},
        "webhook": {"event": "message.bounced", "endpoint": "shop", "happened": now, "message": str(uuid.uuid4())},
        "campaign": {
            "campaign": "autumn",
            "act": "start",
            "purpose": "newsletter",
            "template": "newsletter",
            "key": "campaign-1",
            "sealed": "AAAA",
        },
        "ask": {"question": "status", "message": str(uuid.uuid4())},
    }
    return kind(**fields, **given[kind.KIND])


HEADERS = [(actor, name) for actor in ACTORS for name in msgspec.to_builtins(header(actor))]


@pytest.mark.attack(65, guard="preklic_shared.wire:convert")
@pytest.mark.parametrize(("actor", "name"), HEADERS)
def test_an_operator_in_a_header_is_malformed(actor, name):
    envelope = json.loads(wire.encode(header(actor), actor))
    decode(json.dumps(envelope).encode(), ACTORS[actor][1])
    for operator in OPERATORS:
        job = envelope["kwargs"]["job"] | {name: operator}
        with pytest.raises(Malformed) as refused:
            decode(json.dumps(envelope | {"kwargs": {"job": job}}).encode(), ACTORS[actor][1])
        assert refused.value.field.startswith(f"job.{name}")


@pytest.mark.attack(65, guard="preklic_shared.wire:convert")
@pytest.mark.parametrize("kind", SEALED)
@pytest.mark.parametrize("operator", OPERATORS, ids=str)
def test_an_operator_in_a_seal_is_malformed(kind, operator):
    assert isinstance(decode_payload(kind, json.dumps(SEALED[kind]).encode()), PAYLOADS[kind])
    for name in set(SEALED[kind]) - {"data"}:
        with pytest.raises(Malformed):
            decode_payload(kind, json.dumps(SEALED[kind] | {name: operator}).encode())


@pytest.mark.attack(65, guard="preklic_shared.wire:check_keys")
@given(KEYS, st.sampled_from(list(SEALED)))
def test_a_key_of_data_with_a_dollar_or_a_dot_is_malformed_for_the_worker_too(key, kind):
    with pytest.raises(Malformed):
        decode_payload(kind, msgspec.json.encode(SEALED[kind] | {"data": {key: "1"}}))
