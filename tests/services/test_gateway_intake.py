"""The intake API over real HTTP: who may, what is refused and where, and one Idempotency-Key is one job."""

import asyncio
import hashlib
import itertools
import json
import re
import socket
from collections import Counter

import httpx
import pytest

from preklic_producers import Producer, Receipt, Rejected, Status
from preklic_producers import Unavailable as Away
from preklic_shared.ids import job_id_for, new_id
from preklic_shared.jobs import EnrichPayload, RevokePayload, SendPayload
from preklic_shared.settings import ApiToken, Settings, SettingsError
from preklic_shared.token_keys import load_token_keys, write_token_key
from preklic_shared.tokens import Click, Open, Unsubscribe
from preklic_shared.topology_apply import apply
from producing import Answerer, Served, bodies_in, jobs_in, sealing
from waiting import auntil

SECRET, READER = "secret-of-the-shop", "secret-of-the-reader"
ALL = ("messages", "consents", "profiles", "events", "customers", "status", "campaigns")
ANA = "ana@primer.si"
MAIL = {"to": ANA, "purpose": "newsletter", "template": "newsletter", "data": {"title": "Novice"}}
CONSENT = {
    "address": ANA,
    "purposes": ["newsletter"],
    "proof": {"wording": "v3", "source": "https://lucrum.si", "method": "form"},
}


def token(name, secret, scopes):
    return ApiToken(name=name, hash=hashlib.sha256(secret.encode()).hexdigest(), scopes=scopes)


@pytest.fixture
def sealed(tmp_path):
    return sealing(tmp_path)


@pytest.fixture
def settings(amqp_url, sealed, tmp_path):
    apply(amqp_url)
    write_token_key(tmp_path, 1)
    return Settings(
        amqp_url=amqp_url,
        key_dir=tmp_path,
        sealing_keys=sealed.path,
        outbox=tmp_path / "outbox.sqlite",
        tokens=(token("shop", SECRET, ALL), token("reader", READER, ("status",))),
    )


@pytest.fixture
def served(settings, free_port):
    with Served(settings, free_port) as served:
        yield served


@pytest.fixture
def http(served):
    with httpx.Client(base_url=served.url, headers={"authorization": f"Bearer {SECRET}"}) as client:
        yield client


def test_a_mail_is_taken_and_lies_sealed_in_the_name_of_the_token(http, sealed, amqp_url):
    answer = http.post("/v1/messages", json={**MAIL, "ref": "7", "after": new_id()})
    assert (answer.status_code, answer.json()["data"]["status"]) == (202, "queued")
    (job,) = jobs_in(amqp_url, "send.bulk")
    assert (job.id, job.producer) == (answer.json()["data"]["id"], "shop")
    assert sealed.open(job) == SendPayload(to=ANA, data={"title": "Novice"}, ref="7")


def test_consents_withdrawals_profiles_and_events(http, served, sealed, settings, amqp_url):
    assert http.post("/v1/consents", json=CONSENT).status_code == 202
    profile = {"person": "7", "group": "profile", "data": {"first_name": "Ana"}, "source": "shop"}
    assert http.post("/v1/profiles", json=profile).status_code == 202
    grant, enrich = jobs_in(amqp_url, "record")
    assert sealed.open(grant).purposes == ("newsletter",)
    assert sealed.open(enrich) == EnrichPayload(ref="7", data={"first_name": "Ana"}, source="shop")
    assert http.post("/v1/consents/withdraw", json={"person": ANA, "reason": "asked"}).status_code == 202
    (revoke,) = jobs_in(amqp_url, "revoke")
    assert (revoke.purposes, sealed.open(revoke)) == ("all", RevokePayload(address=ANA))
    click = load_token_keys(settings.key_dir).mint(Click(new_id(), bytes(16), 2, "https://lucrum.si/"))
    assert http.post("/v1/events", json={"token": click, "kind": "clicked"}).status_code == 202
    (event,) = jobs_in(amqp_url, "track")
    assert (event.event, event.link, event.person) == ("clicked", 2, "0" * 32)


def test_an_event_needs_a_token_of_its_kind(http, settings, amqp_url):
    keys = load_token_keys(settings.key_dir)
    wrong = [
        (keys.mint(Open(new_id(), bytes(16))), "clicked"),
        (keys.mint(Unsubscribe(new_id(), bytes(16), "newsletter")), "opened"),
        ("x", "opened"),
    ]
    for text, kind in wrong:
        answer = http.post("/v1/events", json={"token": text, "kind": kind})
        assert (answer.status_code, answer.json()["field"]) == (422, "token")
    assert bodies_in(amqp_url, "track") == []


@pytest.mark.parametrize("bearer", ["", "Bearer", "Bearer wrong", f"Basic {SECRET}", f"Bearer {SECRET}x"])
def test_without_a_known_token_nothing_is_taken(served, amqp_url, bearer):
    answer = httpx.post(f"{served.url}/v1/messages", json=MAIL, headers={"authorization": bearer})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert bodies_in(amqp_url, "send.bulk") == []


def test_a_token_does_what_its_scopes_say(served):
    headers = {"authorization": f"Bearer {READER}"}
    for path in (
        "messages",
        "messages/batch",
        "consents",
        "consents/withdraw",
        "profiles",
        "events",
        "customers/check",
    ):
        answer = httpx.post(f"{served.url}/v1/{path}", json={}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_an_unknown_scope_stops_the_start(settings, free_port):
    fields = {name: getattr(settings, name) for name in settings.__struct_fields__}
    with pytest.raises(SettingsError, match="scope"):
        Served(Settings(**{**fields, "tokens": (token("shop", SECRET, ("everything",)),)}), free_port)


@pytest.mark.parametrize("name", ["key_dir", "sealing_keys", "outbox"])
def test_a_gateway_says_what_it_lacks(settings, free_port, name):
    fields = {field: getattr(settings, field) for field in settings.__struct_fields__}
    with pytest.raises(SettingsError, match=f"PREKLIC_{name.upper()}"):
        Served(Settings(**{**fields, name: None}), free_port)


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("to", {"to": "a@x.si, b@y.si"}),
        ("to", {"to": 3}),
        ("purpose", {"purpose": "customer_check"}),
        ("template", {"template": "invoice"}),
        ("data", {"data": {"$where": "1"}}),
        ("data", {"data": []}),
        ("unheard", {"unheard": 1}),
        ("after", {"after": "x"}),
        ("send_at", {"send_at": "2030-01-01T00:00:00Z"}),
        ("attachments[0]", {"attachments": ["x"]}),
        ("attachments.0.type", {"attachments": [{"name": "a.exe", "type": "application/pdf", "content": ""}]}),
        ("expires", {"expires": "2001-01-01T00:00:00Z"}),
        ("expires", {"expires": "2030-01-01T00:00:00"}),
        ("expires", {"expires": "tomorrow"}),
        ("reply_to", {"reply_to": "x"}),
    ],
)
def test_a_wrong_field_is_named_and_its_value_is_not(http, amqp_url, field, change):
    answer = http.post("/v1/messages", json={**MAIL, **change})
    assert answer.status_code == 422
    assert answer.json()["field"] == field
    assert set(answer.json()) == {"message", "code", "field"}
    assert bodies_in(amqp_url, "send.bulk") == []


def test_a_missing_field_is_named(http):
    answer = http.post("/v1/consents", json={**CONSENT, "proof": {"wording": "v3", "source": "x"}})
    assert (answer.status_code, answer.json()["field"]) == (422, "proof.method")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"to": 1, "to": 2}', b'{"to": NaN}', b"[" * 100_000])
def test_what_is_no_strict_json_is_400(http, body):
    answer = http.post("/v1/messages", content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_json")


def test_a_body_that_is_too_large_is_413(http):
    assert http.post("/v1/messages", content=b"x" * 800_000).status_code == 413
    assert http.post("/v1/consents", content=b"x" * 300_000).status_code == 413


def test_a_batch_is_checked_as_a_whole_and_answered_one_by_one(http, amqp_url):
    mails = [{**MAIL, "to": f"p{n}@primer.si"} for n in range(20)]
    answer = http.post("/v1/messages/batch", json={"messages": mails})
    assert answer.status_code == 202
    assert [job.id for job in jobs_in(amqp_url, "send.bulk")] == [one["id"] for one in answer.json()["data"]]
    mails[7]["to"] = "x"
    answer = http.post("/v1/messages/batch", json={"messages": mails})
    assert (answer.status_code, answer.json()["field"]) == (422, "messages.7.to")
    assert http.post("/v1/messages/batch", json={"messages": []}).status_code == 422
    assert bodies_in(amqp_url, "send.bulk") == []


# Idempotency.


@pytest.mark.attack(70, guard="preklic_producers.gateway.idempotency:Answers._find")
def test_a_repeated_key_gets_the_first_answer_and_another_body_422(http, amqp_url):
    key = {"idempotency-key": "order-17"}
    first = http.post("/v1/messages", json=MAIL, headers=key)
    again = http.post("/v1/messages", json=MAIL, headers=key)
    assert first.json() == again.json()
    assert ("idempotent-replayed" in first.headers, again.headers["idempotent-replayed"]) == (False, "true")
    other = http.post("/v1/messages", json={**MAIL, "to": "bor@primer.si"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_conflict")
    (job,) = jobs_in(amqp_url, "send.bulk")
    assert job.id == first.json()["data"]["id"] == job_id_for("shop", "send:order-17")


@pytest.mark.attack(70, guard="preklic_shared.ids:job_id_for")
def test_gateways_that_do_not_know_each_other_make_the_same_job_of_a_key(settings, amqp_url, tmp_path):
    ids = set()
    for number in range(2):
        fields = {name: getattr(settings, name) for name in settings.__struct_fields__}
        apart = Settings(**{**fields, "outbox": tmp_path / f"outbox-{number}.sqlite"})
        with Served(apart, free()) as served:
            headers = {"authorization": f"Bearer {SECRET}", "idempotency-key": "order-18"}
            ids.add(httpx.post(f"{served.url}/v1/messages", json=MAIL, headers=headers).json()["data"]["id"])
    assert len(ids) == 1
    assert {job.id for job in jobs_in(amqp_url, "send.bulk")} == ids
    assert ids != {job_id_for("shop", "send:order-19")}


@pytest.mark.attack(70, guard="preklic_producers.gateway.idempotency:Answers._find")
async def test_ten_thousand_repeats_at_once_are_one_job(served, amqp_url):
    body = json.dumps(MAIL)
    head = f"POST /v1/messages HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {SECRET}\r\nIdempotency-Key: order-20\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()

    async def repeat():
        reader, writer = await asyncio.open_connection("127.0.0.1", int(served.url.rpartition(":")[2]))
        writer.write(request * 100)
        codes = []
        while len(codes) < 100:
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            codes.append(int(answer.split(b" ", 2)[1]))
            await reader.readexactly(int(re.search(rb"content-length: (\d+)", answer)[1]))
        writer.close()
        return codes

    counted = Counter(itertools.chain(*await asyncio.gather(*(repeat() for _ in range(100)))))
    assert set(counted) <= {202, 409}
    assert counted.total() == 10_000
    assert counted[202] > 5000
    # One job, as soon as the outbox could publish it; twice, when the broker's confirm was late.
    jobs = await auntil(lambda: jobs_in(amqp_url, "send.bulk"), 60, "the job is published")
    assert {job.id for job in jobs} == {job_id_for("shop", "send:order-20")}
    assert len(jobs) <= 2


def test_a_key_of_another_token_route_or_shape(http, served, amqp_url):
    key = {"idempotency-key": "order-21"}
    assert http.post("/v1/messages", json=MAIL, headers=key).status_code == 202
    assert http.post("/v1/consents", json=CONSENT, headers=key).status_code == 202
    answer = http.post("/v1/messages", json=MAIL, headers={"idempotency-key": "x" * 201})
    assert (answer.status_code, answer.json()["field"]) == (422, "Idempotency-Key")
    assert len(jobs_in(amqp_url, "send.bulk")) == len(jobs_in(amqp_url, "record")) == 1


def test_a_request_that_failed_may_be_repeated_with_its_key(http):
    key = {"idempotency-key": "order-22"}
    assert http.post("/v1/messages", json={**MAIL, "to": "x"}, headers=key).status_code == 422
    assert http.post("/v1/messages", json=MAIL, headers=key).status_code == 202


# Questions, and the website's own client.


def answers(job):
    if job.question == "customer":
        return json.dumps({"existing": True}).encode()
    return json.dumps({"state": "refused", "reason": "withdrawn"}).encode()


def test_a_customer_check_and_a_status_are_asked_over_the_queue(served, settings, sealed, amqp_url):
    with Answerer(amqp_url, answers) as answerer, Producer(asking(settings, served)) as producer:
        job = new_id()
        assert producer.check(ANA) is True
        assert producer.status(job) == Status(job, "refused", "withdrawn")
        assert sealed.open(answerer.asked[0]).address == ANA
        assert answerer.asked[1].message == job


@pytest.mark.clause("U6", guard="preklic_producers.gateway.clients:Ceiling.below")
def test_customer_checks_are_limited_and_for_authenticated_backends_alone(served, http, amqp_url):
    served.gateway.checks._limit = 3
    with Answerer(amqp_url, answers) as answerer:
        told = [http.post("/v1/customers/check", json={"address": ANA}) for _ in range(5)]
        assert [answer.status_code for answer in told] == [200, 200, 200, 429, 429]
        assert told[-1].headers["retry-after"] == "60"
        anybody = httpx.post(f"{served.url}/v1/customers/check", json={"address": ANA})
    assert anybody.status_code == 401
    assert len(answerer.asked) == 3


def test_without_an_answer_the_client_hears_unavailable_and_an_unknown_job_is_rejected(served, settings, amqp_url):
    with Producer(asking(settings, served)) as producer:
        with pytest.raises(Away):
            producer.check(ANA)
        with Answerer(amqp_url, lambda _job: b'{"state": null}'), pytest.raises(Rejected) as rejected:
            producer.status(new_id())
    assert rejected.value.field == "id"


def test_the_client_s_track_goes_through_the_gateway_with_a_token(served, settings, amqp_url):
    click = load_token_keys(settings.key_dir).mint(Click(new_id(), bytes(16), 0, "https://lucrum.si/"))
    with Producer(asking(settings, served)) as producer:
        receipt = producer.track(click, "clicked")
        assert isinstance(receipt, Receipt)
        direct = producer.track(new_id(), "opened", person="ab" * 16)
        with pytest.raises(Rejected):
            producer.track("no token", "clicked")
    assert {job.id for job in jobs_in(amqp_url, "track")} == {receipt.job_id, direct.job_id}


def test_the_api_describes_itself_and_every_path_it_names_exists(http):
    described = http.get("/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    assert set(described["components"]["schemas"]) >= {"MessageRequest", "ConsentRequest", "Error"}
    for path, methods in described["paths"].items():
        for method in methods:
            if (path, method) == ("/v1/campaigns", "get"):
                continue  # a question without a field; nobody answers here
            answer = http.request(method, path.replace("{id}", "x").replace("{name}", "NONE"), json={})
            expected = 403 if "partners" in path else 404 if "webhooks" in path else 422
            assert answer.status_code == expected, path


def asking(settings, served):
    fields = {name: getattr(settings, name) for name in settings.__struct_fields__}
    return Settings(**{**fields, "outbox": None, "gateway_url": served.url, "gateway_token": SECRET})


def free():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]
