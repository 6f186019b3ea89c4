"""Jobs of campaigns that are none: each is dead with a reason that names the field, and none reaches the handler."""

import json
import time
from dataclasses import replace

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from preklic_shared import wire
from preklic_shared.campaign_jobs import CampaignJob, CampaignPayload
from preklic_shared.ids import new_id
from preklic_shared.sealing import Opener, Sealer
from preklic_workers.outcomes import Dead
from preklic_workers.runtime import Delivery, Handler, read

PRIVATE = X25519PrivateKey.generate()
SEALER = Sealer({"campaign": ("campaign-1", PRIVATE.public_key())}, 2**52)
OPENER = Opener({"campaign-1": PRIVATE})
HANDLERS = {"campaign": Handler("campaign", "campaign", print, batch=False)}


def sealed(payload=None, **changes):
    now = int(time.time() * 1000)
    fields = {"id": new_id(), "producer": "website.shop", "at": now, "expires": now + 60_000}
    fields |= {"campaign": "autumn", "act": "start", "purpose": "offers", "template": "offer", "key": "campaign-1"}
    job = CampaignJob(**fields | changes, sealed="")
    payload = CampaignPayload(data={"title": "Jesen"}) if payload is None else payload
    return msgspec.structs.replace(job, sealed=SEALER.seal("campaign", job.header(), payload))


def judged(body, **delivery):
    given = Delivery("campaign", body, lambda: True, published_by="website.shop")
    found = read(replace(given, **delivery), HANDLERS, OPENER)
    return found if isinstance(found, Dead) else found[1]


def spoilt(job=None, **changes):
    """A good message whose job has these fields instead; a field that is `...` is missing."""
    envelope = json.loads(wire.encode(job or sealed(), "campaign"))
    fields = envelope["kwargs"]["job"] | changes
    envelope["kwargs"]["job"] = {name: value for name, value in fields.items() if value is not ...}
    return json.dumps(envelope).encode()


def test_a_good_one_is_opened():
    opened = judged(spoilt())
    assert (opened.job.campaign, opened.payload.data) == ("autumn", {"title": "Jesen"})


@pytest.mark.attack(4, guard="preklic_shared.wire:check_options")
@pytest.mark.parametrize(
    "option", ["throws", "pipe_target", "on_retry_exhausted", "time_limit", "max_age", "max_retries"]
)
def test_it_chooses_no_option(option):
    envelope = json.loads(spoilt()) | {"options": {option: 1}}
    assert judged(json.dumps(envelope).encode()) == Dead("bad_options", "options")


WRONG = [("campaign", 7), ("campaign", "A"), ("campaign", "a\n"), ("campaign", ...), ("act", "delete"), ("act", ...)]
WRONG += [("purpose", {"$ne": 1}), ("template", ["x"]), ("sealed", ...), ("key", None), ("data", {}), ("reason", "x")]
WRONG += [("at", 2**62), ("at", -1), ("at", "now"), ("expires", 2**62)]


@pytest.mark.attack(6, guard="preklic_shared.wire:convert")
@pytest.mark.parametrize(("field", "value"), WRONG, ids=str)
def test_a_field_of_the_wrong_kind_is_named_and_its_value_is_not(field, value):
    assert judged(spoilt(**{field: value})) == Dead("malformed", f"job.{field}")


INSIDE = [("rate", -1), ("rate", 2**62), ("cap", [2]), ("at", -1), ("at", 2**62), ("local", 1), ("data", [])]
INSIDE += [("segment", "x" * 501), ("reason", "x" * 501), ("more", 1)]


@pytest.mark.attack(6, guard="preklic_shared.wire:convert")
@pytest.mark.parametrize(("field", "value"), INSIDE, ids=lambda value: str(value)[:9])
def test_what_is_sealed_is_as_strict(field, value):
    assert judged(spoilt(sealed({"data": {}, field: value}))) == Dead("malformed", f"sealed.{field}")


@pytest.mark.attack(7, guard="preklic_shared.wire:check_size")
def test_it_is_no_larger_than_a_job():
    padding = spoilt()[:-1] + b" " * 10_000_000 + b"}"
    assert judged(padding) == Dead("too_large")


@pytest.mark.attack(8, guard="preklic_workers.runtime:check_clock")
def test_it_does_not_come_from_the_future():
    ahead = int(time.time() * 1000) + 6 * 60_000
    assert judged(spoilt(sealed(at=ahead, expires=ahead + 1))) == Dead("clock", "job.at")


HEADER = {"campaign": "winter", "act": "stop", "purpose": "newsletter", "template": "other"} | {
    "id": "01a21f7f-8714-71e0-8a58-09c9a76c8030"
}
HEADER |= {"expires": 2_000_000_000_000, "producer": "website.shop2"}


@pytest.mark.attack(10, guard="preklic_workers.runtime:unseal")
@pytest.mark.parametrize(("field", "value"), HEADER.items())
def test_no_field_of_its_header_can_be_changed_after_sealing(field, value):
    body = json.loads(spoilt(**{field: value}))
    body["message_id"] = body["kwargs"]["job"]["id"]
    found = judged(json.dumps(body).encode(), published_by="gateway")
    assert found == Dead("tampered", "sealed")


@pytest.mark.attack(65, guard="preklic_shared.wire:check_keys")
@pytest.mark.parametrize("data", [{"$where": "1"}, {"a.b": 1}, {"x": [{"$ne": 1}]}, {"a\0": 1}])
def test_no_key_of_its_data_is_an_operator_or_a_path(data):
    assert judged(spoilt(sealed(CampaignPayload(data=data)))) == Dead("malformed", "data")
