"""Outgoing webhooks without I/O: signatures, what a change means, what a body can hold, which endpoints may be."""

import datetime as dt
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from hearing import secret_file
from preklic_shared import wire
from preklic_shared.ids import new_id
from preklic_shared.jobs import WebhookJob
from preklic_shared.settings import SettingsError, load_settings
from preklic_shared.webhooks_out import EVENTS, MESSAGE_STATES, WebhookOut
from preklic_workers import backoff
from preklic_workers.keydir import KeyDirError
from preklic_workers.lifecycle import STATES
from preklic_workers.webhooks.endpoints import AT_ONCE, Endpoint, Secrets, secrets_in
from preklic_workers.webhooks.events import Change, Event, Known, body_of, events_of, job_of, jobs_of
from preklic_workers.webhooks.signing import BadSecret, headers_for, key_of, new_secret

AT = dt.datetime(2026, 11, 27, 12, 0, 0, 123000, tzinfo=dt.UTC)
PERSON = "p" * 43
CANARY = "ana.canary@primer.example"


def mail_change(state="bounced", message=None, **fields):
    return Change("messages", message or new_id(), {"state": state, "at": AT} | fields, AT)


def known_for(change, **fields):
    doc = {"kind": "send", "purpose": "newsletter", "template": "t", "person": PERSON} | change.fields | fields
    return Known({change.id: doc}, {}, {PERSON: "0a" * 16})


@given(st.binary(max_size=200), st.integers(0, 2))
def test_another_implementation_believes_each_secret_and_no_other(body, which):
    secrets, now = [new_secret() for _ in range(3)], int(dt.datetime.now(dt.UTC).timestamp())
    text = msgspec.json.encode({"x": body.hex()})
    headers = headers_for([key_of(one) for one in secrets], "msg_1", now, text)
    assert Webhook(secrets[which]).verify(text, dict(headers)) == {"x": body.hex()}
    for spoiled in ({"webhook-id": "msg_2"}, {"webhook-timestamp": str(now + 1)}):
        with pytest.raises(Exception, match="No matching signature"):
            Webhook(secrets[which]).verify(text, dict(headers) | spoiled)
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(new_secret()).verify(text, dict(headers))


def test_the_vector_of_the_specification():
    headers = headers_for(
        [key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")],
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_AAAA", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!" + "A" * 40])
def test_a_secret_that_is_none_is_refused_and_not_shown(text):
    with pytest.raises(BadSecret) as refused:
        key_of(text)
    assert text[6:] == "" or text[6:] not in str(refused.value)


def test_every_state_that_is_told_exists_and_has_its_event():
    assert set(MESSAGE_STATES) <= STATES
    for state in MESSAGE_STATES:
        change = mail_change(state, reason="suppressed_bounce", reply={"code": 550, "enhanced": "5.1.1"})
        (event,) = events_of(change, known_for(change))
        assert event.type == f"message.{state}"
        assert event.type in EVENTS
        assert event.data["person"] == "0a" * 16
        assert (event.data["code"], event.data["enhanced"]) == (550, "5.1.1")


def test_other_kinds_other_states_and_what_a_backup_brought_back_are_not_told():
    change = mail_change("claimed")
    assert events_of(change, known_for(change)) == []
    change = mail_change("refused")
    assert events_of(change, known_for(change, kind="track")) == []
    assert events_of(change, Known()) == []
    old = Change("messages", change.id, change.fields, AT + dt.timedelta(days=2), new=True)
    assert events_of(old, known_for(old)) == []


def test_a_reason_of_another_state_is_not_told():
    change = mail_change("sent")
    (event,) = events_of(change, known_for(change, state="complained", reason="spam"))
    assert event.data["reason"] is None


def test_a_withdrawal_and_each_erasure_of_it():
    receipt = {"person": PERSON, "purposes": ["newsletter"], "reason": "one_click", "closed": AT}
    made = Change("withdrawals", new_id(), receipt, AT, new=True)
    known = Known({}, {}, {PERSON: "0a" * 16})
    (event,) = events_of(made, known)
    assert (event.type, event.data["purposes"], event.data["reason"]) == (
        "permission.withdrawn", ("newsletter",), "one_click"
    )  # fmt: skip
    begun = Change("withdrawals", made.id, {"erased": [{"person": PERSON}]}, AT)
    entries = {made.id: {"erased": [{"person": PERSON, "at": AT}]}}
    assert events_of(begun, Known({}, entries, known.pids)) == []
    ended = Change("withdrawals", made.id, {"erased.0.at": AT, "erased.0.kept": []}, AT)
    (event,) = events_of(ended, Known({}, entries, known.pids))
    assert (event.type, event.data["person"]) == ("person.erased", "0a" * 16)


def test_a_switch_tells_each_time_that_it_stops():
    first, again = (Change("controls", "purpose:offers", {"stopped": True, "at": AT + each}, AT + each)
                    for each in (dt.timedelta(), dt.timedelta(minutes=1)))  # fmt: skip
    events = [events_of(one, Known())[0] for one in (first, again)]
    assert events[0].data == {"control": "purpose:offers"}
    assert len({job_of(event, "shop", AT).id for event in events}) == 2


@pytest.mark.clause("P1", guard="preklic_workers.webhooks.events:_word")
@given(st.sampled_from(MESSAGE_STATES), st.text(max_size=40), st.text(max_size=40))
def test_free_text_never_gets_into_a_job(state, first, second):
    text = first + CANARY + second
    change = mail_change(state, reason=text, reply={"code": 550, "enhanced": text, "text": text})
    known = known_for(change, template=text, campaign=text)
    jobs = jobs_of(events_of(change, known), [_out("shop")], AT)
    for job in jobs:
        assert b"canary" not in body_of(job)
        assert wire.decode(wire.encode(job, "webhook"), "webhooks") == ("webhook", job)


def test_no_field_of_a_webhook_has_room_for_an_address():
    good = job_of(Event("message.sent", "x", AT, {"message": new_id()}), "shop", AT)
    for field in msgspec.structs.fields(WebhookJob):
        for value in (CANARY, [CANARY], {"a": CANARY}):
            fields = msgspec.to_builtins(good) | {field.name: value}
            with pytest.raises(wire.Malformed):
                wire.convert(fields, WebhookJob, "job")


def _out(name, *events, path="/"):
    return WebhookOut(name=name, url=f"http://127.0.0.1:1{path}", secret_file=".", events=events or EVENTS)


def test_one_job_for_each_endpoint_that_wants_it_with_ids_of_their_own_that_never_change():
    change = mail_change("sent")
    events = events_of(change, known_for(change))
    outs = [_out("shop"), _out("crm", "message.bounced"), _out("bi", "message.sent")]
    first, second = jobs_of(events, outs, AT), jobs_of(events, outs, AT + dt.timedelta(hours=5))
    assert [job.endpoint for job in first] == ["shop", "bi"]
    assert [job.id for job in first] == [job.id for job in second]
    assert len({job.id for job in first}) == 2
    assert body_of(first[0]) == body_of(second[0])
    told = msgspec.json.decode(body_of(first[0]))
    assert (told["type"], told["timestamp"]) == ("message.sent", "2026-11-27T12:00:00.123Z")
    assert told["data"]["message"] == change.id


def test_the_default_is_all_but_the_one_for_every_mail():
    assert set(EVENTS) - set(WebhookOut(name="a", url="", secret_file=".").events) == {"message.sent"}


def test_the_waits_are_a_day():
    waits = backoff.TABLES["webhook"]
    assert 22 * 3600 < sum(waits) <= 24 * 3600


def environment(url="https://shop.example/hooks", **more):
    given = {"NAME": "shop", "URL": url, "SECRET_FILE": "/nowhere"} | more
    return {f"PREKLIC_WEBHOOKS_OUT__0__{name}": value for name, value in given.items()}


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example/", "http://10.0.0.1/", "ftp://127.0.0.1/", "https://ana:s3cret@shop.example/", "https:///x",
        "https://shop.example/#x", "http://127.0.0.1.example/", "https://[::1", "file:///etc/passwd", "", "https://šop.si/",
    ],
)  # fmt: skip
def test_an_endpoint_elsewhere_than_https_is_refused_without_showing_it(url):
    with pytest.raises(SettingsError, match="WEBHOOKS_OUT") as refused:
        load_settings(environment(url))
    assert "s3cret" not in str(refused.value)


@pytest.mark.attack(68, guard="preklic_shared.webhooks_out:_fault_in_url")
def test_loopback_is_for_development_alone():
    (out,) = load_settings(environment("http://localhost:1/x", EVENTS="message.sent,person.erased")).webhooks_out
    assert out.events == ("message.sent", "person.erased")
    production = {"ENVIRONMENT": "production", "AMQP_URL": "amqps://a:b@c/", "PUBLIC_URL": "https://a"}
    production = {f"PREKLIC_{name}": value for name, value in production.items()}
    load_settings(environment() | production)
    with pytest.raises(SettingsError, match="loopback"):
        load_settings(environment("http://localhost:1/x") | production)


def test_unknown_events_and_two_of_a_name_are_refused():
    with pytest.raises(SettingsError, match=r"no event message\.read"):
        load_settings(environment(EVENTS="message.read"))
    twice = environment() | {name.replace("__0__", "__1__"): value for name, value in environment().items()}
    with pytest.raises(SettingsError, match="same name"):
        load_settings(twice)


def test_secrets_turn_without_a_restart_and_a_bad_file_leaves_those_that_were(tmp_path):
    path, (old,) = secret_file(tmp_path)
    secrets = Secrets("shop", path)
    assert secrets.keys() == (key_of(old),)
    new = new_secret()
    path.write_text(f"{new}\n{old}\n")
    assert secrets.keys() == (key_of(new), key_of(old))
    path.write_text("nonsense")
    assert secrets.keys() == (key_of(new), key_of(old))
    path.unlink()
    assert secrets.keys() == (key_of(new), key_of(old))


@pytest.mark.attack(61, guard="preklic_workers.keydir:check_private")
def test_secrets_that_others_can_read_or_that_are_none_stop_the_start(tmp_path):
    path, _ = secret_file(tmp_path)
    path.chmod(0o644)
    with pytest.raises(KeyDirError, match="read by others"):
        secrets_in(path, "shop")
    path.chmod(0o600)
    path.write_text("whsec_nothing\n")
    with pytest.raises(SettingsError) as refused:
        secrets_in(path, "shop")
    assert not re.search("whsec_nothing", str(refused.value))
    with pytest.raises(SettingsError, match="makes one"):
        secrets_in(tmp_path / "away", "shop")


def test_who_finds_an_endpoint_full_waits_about_as_long_as_those_before(tmp_path):
    path, _ = secret_file(tmp_path)
    clock = iter(range(0, 100_000, 10)).__next__  # each request takes ten seconds
    endpoint = Endpoint(WebhookOut(name="shop", url="", secret_file=path), clock)
    for _ in range(200):
        with endpoint.place():
            assert not endpoint.full()
    waits = [endpoint.turn_away() for _ in range(10 * AT_ONCE)]
    assert waits == sorted(waits)
    assert 90 < waits[-1] <= 100
