"""What a producer refuses before anything is sent: no broker is needed to hear it."""

import json
from datetime import datetime, timedelta

import pytest

from preklic_producers import Producer, Proof, Rejected, seals
from preklic_producers import producer as producer_module
from preklic_producers.drafts import Drafter
from preklic_producers.seals import UNSEALED, Seals
from preklic_shared.registry import load_registry
from preklic_shared.settings import Settings
from preklic_shared.wire import decode, encode
from producing import sealing

PROOF = Proof(wording="newsletter v3", source="https://lucrum.si/novice", method="form")
ANA = "ana@primer.si"
GOOD_ID = "01234567-89ab-7def-8123-456789abcdef"


class Recorder:
    def __init__(self, *_arguments, **_keywords):
        self.sent = []

    def publish_many(self, publications):
        self.sent += publications
        return {}

    def close(self):
        pass


@pytest.fixture
def producer(tmp_path, monkeypatch):
    monkeypatch.setattr(producer_module, "PreklicBroker", Recorder)
    sealed = sealing(tmp_path)
    with Producer(Settings(sealing_keys=sealed.path, sealing_pin=sealed.pin)) as producer:
        yield producer


def test_an_erasure_ends_everything_or_is_refused(producer):
    with pytest.raises(Rejected) as refused:
        producer.revoke(ANA, "newsletter", reason="asked", erase=True)
    assert refused.value.field == "purposes"
    producer.revoke(ANA, reason="asked", erase=True)
    (sent,) = producer._broker.sent
    assert json.loads(sent.body)["kwargs"]["job"]["erase"] is True


def deep(levels):
    return {"a": deep(levels - 1)} if levels else {}


FILE = {"name": "Račun 17.pdf", "type": "application/pdf", "content": b"%PDF"}
GOOD = {"to": ANA, "purpose": "newsletter", "template": "newsletter"}


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("to", {"to": "evil@y.si> <a@x.si"}),
        ("to", {"to": "a@x.si\r\nBcc: b@x.si"}),
        ("to", {"to": None}),
        ("purpose", {"purpose": "unheard_of"}),
        ("purpose", {"purpose": "customer_check"}),
        ("purpose", {"purpose": ["newsletter"]}),
        ("template", {"template": "invoice"}),
        ("template", {"template": ["newsletter"]}),
        ("data", {"data": {"a": float("nan")}}),
        ("data", {"data": {"a": 2**64}}),
        ("data", {"data": {"a": b"bytes"}}),
        ("data", {"data": {"a": "\ud800"}}),
        ("data", {"data": {1: "a"}}),
        ("data", {"data": {"a": "x" * 70_000}}),
        ("data", {"data": deep(40)}),
        ("data", {"data": ["a"]}),
        ("ref", {"ref": ""}),
        ("ref", {"ref": "line\nend"}),
        ("attachments.0", {"attachments": [b"file"]}),
        ("attachments.0.type", {"attachments": [{"name": "a.exe", "type": "application/pdf", "content": b""}]}),
        ("attachments.1.name", {"attachments": [FILE, FILE | {"name": "../a.pdf"}]}),
        ("attachments", {"attachments": [FILE] * 11}),
        ("attachments", {"attachments": [FILE | {"content": b"x" * 375_001}]}),
        ("idempotency_key", {"idempotency_key": "x" * 201}),
        ("idempotency_key", {"idempotency_key": ""}),
        ("after", {"after": "no-id"}),
        ("expires", {"expires": timedelta(seconds=-1)}),
        ("expires", {"expires": timedelta(days=400)}),
        ("expires", {"expires": datetime(2099, 1, 1)}),  # noqa: DTZ001 -- without its zone is the point
        ("reply_to", {"reply_to": "a@x.si, b@y.si"}),
    ],
)
def test_what_cannot_be_sent_is_rejected_by_its_field(producer, field, change):
    with pytest.raises(Rejected) as rejected:
        producer.send(**{**GOOD, **change})
    assert rejected.value.field == field
    assert producer._broker.sent == []


@pytest.mark.parametrize("data", [{"$ne": 1}, {"a.b": 1}, {"a": [{"$where": "1"}]}, {"a": {"\0": 1}}])
@pytest.mark.attack(65, guard="preklic_producers.fields:check_keys")
def test_a_key_that_a_database_could_read_as_an_operator_is_rejected(producer, data):
    with pytest.raises(Rejected) as rejected:
        producer.send(**{**GOOD, "data": data})
    assert rejected.value.field == "data"
    assert producer._broker.sent == []


def test_other_calls_name_their_field_too(producer):
    for field, call in {
        "address": lambda: producer.grant("nobody", "newsletter", proof=PROOF),
        "purposes": lambda: producer.grant(ANA, [], proof=PROOF),
        "proof": lambda: producer.grant(ANA, "newsletter", proof={"wording": "x"}),
        "proof.method": lambda: producer.grant(
            ANA, "newsletter", proof=Proof(wording="a", source="b", method="telepathy")
        ),
        "address_or_ref": lambda: producer.revoke("a@b", reason="asked"),
        "reason": lambda: producer.revoke("7", reason=f"{ANA} called"),
        "group": lambda: producer.enrich("7", "diary", {"a": "b"}, source="shop"),
        "data": lambda: producer.enrich("7", "profile", {"a": float("inf")}, source="shop"),
        "proof.wording": lambda: producer.grant(
            ANA, "newsletter", proof=Proof(wording="newsletter@99", source="b", method="form")
        ),
        "data.ip": lambda: producer.enrich("7", "service", {"ip": "host"}, source="shop"),
        "source": lambda: producer.enrich("7", "profile", {"a": "b"}, source=""),
        "person": lambda: producer.track("018f5f3e-7a01-7c3b-9a77-6a1b2c3d4e5f", "opened", person="zz"),
        "gateway_token": lambda: producer.check(ANA),
        "job_id": lambda: producer.status("42"),
    }.items():
        with pytest.raises(Rejected) as rejected:
            call()
        assert rejected.value.field == field


def test_payment_cannot_be_withdrawn_by_name(producer):
    with pytest.raises(Rejected) as rejected:
        producer.revoke("7", ["payment"], reason="asked")
    assert rejected.value.field == "purposes"


def test_no_value_of_a_request_is_in_its_rejection(producer):
    canary = "kanarček"
    for change in ({"to": canary}, {"purpose": canary}, {"template": canary}, {"ref": f"{canary}\n"}):
        with pytest.raises(Rejected) as rejected:
            producer.send(**{**GOOD, **change})
        assert canary not in json.dumps([str(rejected.value), rejected.value.message], ensure_ascii=False)


def test_the_good_one_is_sent(producer):
    producer.send(**GOOD)
    assert len(producer._broker.sent) == 1


def test_what_is_drafted_is_read_by_the_strict_reader_as_it_was_said(producer, tmp_path):
    said = datetime.now().astimezone() + timedelta(days=2)
    producer.send(**GOOD, send_at=said, idempotency_key="k", after="0" * 8 + "-0000-0000-0000-" + "0" * 12)
    producer.grant(ANA, ["newsletter", "engagement"], proof=PROOF)
    producer.revoke(ANA, ["newsletter"], reason="asked by phone")
    producer.revoke(ANA, reason="asked by phone", erase=True)
    producer.enrich(ANA, "profile", {"city": "Kranj"}, source="form")
    producer.track(GOOD_ID, "delivered", person="ab" * 16)
    for sent in producer._broker.sent:
        _, job = decode(sent.body, sent.routing_key)
        assert decode(encode(job, sent.type), sent.routing_key) == (sent.type, job)
        assert getattr(job, "sealed", None) != UNSEALED["sealed"]
        assert getattr(job, "key", None) != UNSEALED["key"]


@pytest.mark.parametrize("name", ["of a shop", "shop\n", "", "x" * 65])
def test_a_job_is_held_to_its_contract_as_it_is_made(tmp_path, name):
    drafter = Drafter(name, load_registry(None), Seals(sealing(tmp_path).path))
    makers = [
        lambda: drafter.send(**GOOD),
        lambda: drafter.revoke_by_token(bytes(16), GOOD_ID, "all", source="one_click"),
        lambda: drafter.track(GOOD_ID, bytes(16), "clicked", link=1),
        lambda: drafter.enrich(ANA, "profile", {"city": "Kranj"}, source="form"),
    ]
    for make in makers:
        with pytest.raises(Rejected) as rejected:
            make()
        assert rejected.value.field == "producer"


def test_what_is_sealed_is_no_longer_than_a_job_may_hold(producer, monkeypatch):
    monkeypatch.setattr(seals, "SEALED_MOST", 100)
    with pytest.raises(Rejected, match=r"^data: makes what is sealed longer than 100 octets$"):
        producer.send(**GOOD)
    assert producer._broker.sent == []
