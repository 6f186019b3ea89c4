"""What providers report, over real HTTP, in front of a real RabbitMQ: what is believed, and what lies in the queues."""

import asyncio
import base64
import contextlib
import email
import json
import random
import secrets
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec.structs import replace

import provider_events
from preklic_producers.gateway import fetching
from preklic_producers.gateway.clients import networks
from preklic_producers.gateway.webhooks_setup import open_sources
from preklic_producers.outbox import Outbox, OutboxFailed
from preklic_shared import metrics, return_paths
from preklic_shared.ids import new_id
from preklic_shared.settings import Settings, SettingsError, load_settings
from preklic_shared.token_keys import load_token_keys, write_token_key
from preklic_shared.topology_apply import apply
from preklic_shared.webhook_settings import MailgunWebhook, PostmarkWebhook, SendgridWebhook, SesWebhook, Webhooks
from preklic_stack.ports import free_port as any_free_port
from preklic_workers.compose.labels import Labels
from preklic_workers.outcomes import Done
from preklic_workers.revoke import said, withdrawal_of
from preklic_workers.track import Track
from producing import Served, Wire, jobs_in, sealing
from provider_signing import CERTIFICATE, HOST, SUBSCRIBE, TOPIC, Providers, Web, certificate, note, rsa_key
from sending import REGISTRY, open_desk, route, send_job
from sink.certificate import make_certificate, server_context
from waiting import until

ANA, BINE = provider_events.ANA, "bine@primer.si"
DOMAIN = "lucrum.example"
MAILGUN_KEY = secrets.token_hex(16)
LOGIN = ("postmark", secrets.token_hex(16))
SENDGRID = ec.generate_private_key(ec.SECP256R1())
DER = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture
def settings(amqp_url, tmp_path):
    apply(amqp_url)
    write_token_key(tmp_path, 1)
    for name, secret in (("mailgun", MAILGUN_KEY), ("postmark", LOGIN[1])):
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_text(f"{secret}\n")
    public = base64.b64encode(SENDGRID.public_key().public_bytes(*DER)).decode()
    return Settings(
        amqp_url=amqp_url,
        key_dir=tmp_path,
        sealing_keys=sealing(tmp_path).path,
        outbox=tmp_path / "outbox.sqlite",
        mail_domain=DOMAIN,
        webhooks=Webhooks(
            ses=SesWebhook(topics=(TOPIC,)),
            sendgrid=SendgridWebhook(public_key=public),
            mailgun=MailgunWebhook(signing_key_file=tmp_path / "mailgun"),
            postmark=PostmarkWebhook(username=LOGIN[0], password_file=tmp_path / "postmark"),
        ),
    )


def changed(settings, **fields):
    return Settings(**{name: getattr(settings, name) for name in settings.__struct_fields__} | fields)


@contextlib.contextmanager
def providers_of(settings, port):
    with Served(settings, port) as served, httpx.Client(base_url=served.url, timeout=30) as http:
        web = Web({CERTIFICATE: certificate(rsa_key()), SUBSCRIBE: b"<ok/>"})
        served.gateway.sources["ses"].fetch = web.fetch
        providers = Providers(http, SENDGRID, MAILGUN_KEY, LOGIN)
        providers.web, providers.served = web, served
        yield providers


@pytest.fixture
def providers(settings, free_port):
    with providers_of(settings, free_port) as providers:
        yield providers


@pytest.fixture
def taken(amqp_url):
    """What the jobs in the queues say, and then nothing is in them."""

    def take():
        tracks, revokes = jobs_in(amqp_url, "track"), jobs_in(amqp_url, "revoke")
        return [(job.event, job.message, job.bounce) for job in tracks] + [
            (job.source, job.message, job.purposes) for job in revokes
        ]

    return take


def counted(source, verdict):
    return metrics.WEBHOOK_EVENTS.labels(source, verdict)._value.get()


def bounce(job, number=0):
    (event,) = [case.event for case in provider_events.sendgrid(job, DOMAIN, "") if case.name == "invalid address"]
    return event | {"sg_event_id": f"{event['sg_event_id']}{number}"}


def of(source, job, name):
    made = provider_events.ALL[source](job, DOMAIN, "")
    return next(case.event for case in made if case.name == name)


# Believed.


def test_every_documented_event_goes_through_the_gateway(providers, settings, amqp_url):
    job = new_id()
    sender = return_paths.mint(load_token_keys(settings.key_dir), return_paths.Bounce(job), DOMAIN)
    cases = {source: made(job, DOMAIN, sender) for source, made in provider_events.ALL.items()}
    answers = [providers.ses(case.event, version=random.choice("12")) for case in cases["ses"]]
    answers += [providers.sendgrid([case.event for case in cases["sendgrid"]])]
    answers += [providers.mailgun(case.event) for case in cases["mailgun"]]
    answers += [providers.postmark(case.event) for case in cases["postmark"]]
    assert {answer.status_code for answer in answers} == {200}
    told = [case.said for made in cases.values() for case in made]
    counts = {"taken": 0, "ignored": 0, "set_aside": 0}
    for answer in answers:
        for verdict, count in answer.json()["data"].items():
            counts[verdict] += count
    reports = [one for each in told if not isinstance(each, str) for one in each]
    assert counts == {
        "taken": len(reports),
        "ignored": told.count("ignored"),
        "set_aside": sum(isinstance(each, str) and each != "ignored" for each in told),
    }
    tracks, revokes = jobs_in(amqp_url, "track"), jobs_in(amqp_url, "revoke")
    assert {one.message for one in tracks + revokes} == {job}
    assert {one.person for one in tracks + revokes} == {None}
    assert sorted(one.event for one in tracks) == sorted(word for word, _, _ in reports if word != "unsubscribed")
    noes = [word for word, kind, _ in reports if word in {"complained", "unsubscribed"} or kind == "hard"]
    assert len(revokes) == len(noes)
    assert len(providers.web.asked) == 1  # the certificate, once


# What our mail says to each provider, which event that provider answers with, and where it repeats what it was told.
ROUND = {
    "ses": (Labels("ses", configuration_set="main"), "bounce"),
    "sendgrid": (Labels("sendgrid"), "invalid address"),
    "mailgun": (Labels("mailgun"), "failed"),
    "postmark": (Labels("postmark", message_stream="broadcast"), "hard"),
}


def reported(source, name, mail):
    """The provider's event about a mail that it took: it has ids of its own, and of ours what its header told alone."""
    foreign = provider_events.ALL[source](new_id(), "provider.example", "x@provider.example")
    event = next(case.event for case in foreign if case.name == name)
    match source:
        case "ses":
            tag, _, value = mail["X-SES-MESSAGE-TAGS"].partition("=")
            return event | {"mail": event["mail"] | {"tags": {tag: [value]}}}
        case "sendgrid":
            return [event | json.loads(mail["X-SMTPAPI"])["unique_args"]]
        case "mailgun":
            return event | {"user-variables": json.loads(mail["X-Mailgun-Variables"])}
        case "postmark":
            start = "X-PM-Metadata-"
            return event | {"Metadata": {key[len(start) :]: mail[key] for key in mail if key.startswith(start)}}


@pytest.mark.attack(42, guard="preklic_workers.compose.labels:Labels.fields")
async def test_a_mail_that_bounces_at_its_provider_ends_bounced_by_what_its_header_said(
    providers, amqp_url, mongo_url, mongo_database, sink
):
    desk = await open_desk(mongo_url, mongo_database, [])
    await desk.grant(ANA, "newsletter")
    for source, (labels, name) in ROUND.items():
        job = send_job()
        assert await desk.send(job, ANA, deps={"routes": [route(sink.port, labels=labels)]}) == Done()
        (mail,) = [mail for mail in sink.mails() if mail["job"] == job.id]
        event = reported(source, name, email.message_from_bytes(mail["raw"]))
        assert ANA not in "".join(value.decode() for _, value in labels.fields(job.id))
        for _ in range(2):
            assert (await asyncio.to_thread(getattr(providers, source), event)).json() == {"data": {"taken": 1}}
        tracks, revokes = jobs_in(amqp_url, "track"), jobs_in(amqp_url, "revoke")
        assert {one.message for one in tracks + revokes} == {job.id}
        for _ in range(2):
            assert await Track(desk.store).handle([desk.opened(one, None) for one in tracks]) == [Done()] * 2
        assert ((await desk.state(job)).state, len(await desk.store.events.of(job.id))) == ("bounced", 1)
    await desk.close()


@pytest.mark.attack(44, guard="preklic_workers.revoke:said")
async def test_a_complaint_that_comes_again_ends_nothing_that_was_permitted_since(
    providers, amqp_url, mongo_url, mongo_database
):
    hour, event = 3600, of("sendgrid", new_id(), "spam report")
    event |= {"timestamp": int(time.time()) - hour}
    for _ in range(2):
        assert (await asyncio.to_thread(providers.sendgrid, [event])).json() == {"data": {"taken": 1}}
    first, again = jobs_in(amqp_url, "revoke")
    assert first.id == again.id
    assert first.said == again.said == event["timestamp"] * 1000
    desk = await open_desk(mongo_url, mongo_database, [])

    async def state_after(job, address):
        await desk.store.withdrawals.withdraw(withdrawal_of(job, desk.subject(address), REGISTRY))
        return (await desk.person(address)).permissions["newsletter"].state

    await state_after(first, ANA)
    for address in (ANA, BINE):
        await desk.grant(address, "newsletter")
    tomorrow = replace(again, at=again.at + 24 * hour * 1000)
    assert await state_after(tomorrow, ANA) == "granted"
    assert await state_after(replace(first, said=None), BINE) == "withdrawn"  # no time is known: doubt is a no
    await desk.close()
    assert said(replace(first, said=first.at + 1)) == first.at
    assert said(replace(first, said=0)) == first.at - 7 * 86_400_000


def test_an_event_of_the_past_is_set_aside(providers, taken):
    old = int(time.time()) - 8 * 86_400
    assert providers.sendgrid([bounce(new_id()) | {"timestamp": old}]).json() == {"data": {"set_aside": 1}}
    complaint = of("ses", new_id(), "complaint")
    complaint["complaint"]["timestamp"] = "2020-11-05T00:41:02.669Z"
    assert providers.ses(complaint).json() == {"data": {"set_aside": 1}}
    assert taken() == []


# Refused.


@pytest.mark.attack(44, guard="preklic_producers.feedback.sendgrid:signed")
def test_sendgrid_forged_or_changed_is_refused(providers, taken):
    job, before = new_id(), counted("sendgrid", "forged")
    strange = ec.generate_private_key(ec.SECP256R1())
    answers = [
        providers.sendgrid([bounce(job)], key=strange),
        providers.sendgrid([bounce(job)], tampered=b" "),
        providers.http.post("/webhooks/sendgrid", json=[bounce(job)]),
    ]
    assert [answer.status_code for answer in answers] == [403] * 3
    assert taken() == []
    assert counted("sendgrid", "forged") == before + 3


@pytest.mark.attack(44, guard="preklic_producers.gateway.webhook_source:fresh")
def test_old_requests_have_no_effect_and_those_of_sendgrid_are_kept(providers, taken):
    job, now = new_id(), int(time.time())
    for at in (now - 700, now + 700, "0", "x"):
        assert providers.sendgrid([bounce(job)], at=at).json() == {"data": {"set_aside": 1}}
    for at in (now - 40_000, now + 700, "", "-1"):
        assert providers.mailgun(of("mailgun", job, "complained"), at=at).status_code == 403
    assert taken() == []
    # What Mailgun could not deliver for hours is no less a no.
    assert providers.mailgun(of("mailgun", job, "complained"), at=now - 8 * 3600).json() == {"data": {"taken": 1}}


@pytest.mark.attack(44, guard="preklic_producers.feedback.mailgun:signed")
def test_mailgun_forged_is_refused(providers, taken):
    event = of("mailgun", new_id(), "failed")
    assert providers.mailgun(event, key="x" * 16).status_code == 403
    signed = {"timestamp": str(int(time.time())), "token": "t", "signature": ""}
    for body in ({"event-data": event}, {"signature": signed, "event-data": event}, {"signature": []}, [], 5):
        assert providers.http.post("/webhooks/mailgun", json=body).status_code == 403
    assert taken() == []


@pytest.mark.attack(44, guard="preklic_producers.gateway.webhooks_signed:Mailgun.seen")
def test_a_token_of_mailgun_counts_for_one_body(providers, taken):
    job, victim, token, at = new_id(), new_id(), secrets.token_hex(25), int(time.time())
    event = of("mailgun", job, "complained")
    assert providers.mailgun(event, token=token, at=at).json() == {"data": {"taken": 1}}
    assert len(taken()) == 2
    assert providers.mailgun(event, token=token, at=at).json() == {"data": {"repeated": 1}}
    assert providers.mailgun(of("mailgun", victim, "complained"), token=token, at=at).status_code == 403
    # What is signed is one text: the border between time and token may not be moved to make another token.
    moved, digits = of("mailgun", victim, "complained"), f"12{token}"
    assert providers.mailgun(event, token=digits, at=at).status_code == 200
    for stamp, rest in ((f"{at}1", digits[1:]), (f"{at}"[:-1], f"{at}"[-1] + digits)):
        assert providers.mailgun(moved, token=rest, at=stamp).status_code == 403
    assert {message for _, message, _ in taken()} == {job}


@pytest.mark.attack(44, guard="preklic_producers.feedback.postmark:credentials")
def test_postmark_without_the_password_is_refused_so_that_it_tries_again(providers, taken):
    record = of("postmark", new_id(), "hard")
    for login in ((LOGIN[0], "x"), ("x", LOGIN[1]), ("", ""), (LOGIN[0], LOGIN[1] + "x")):
        answer = providers.postmark(record, login=login)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Basic realm="webhooks"')
    for header in ("", "Basic", "Basic ====", "Bearer " + LOGIN[1], "Basic " + "A" * 5000):
        answer = providers.http.post("/webhooks/postmark", json=record, headers={"authorization": header})
        assert answer.status_code == 401
    assert taken() == []


@pytest.mark.attack(44, guard="preklic_producers.gateway.webhooks_signed:Postmark.safe")
def test_in_production_postmark_must_come_over_tls(providers, settings, free_port, taken):
    source, record = providers.served.gateway.sources["postmark"], of("postmark", new_id(), "hard")
    source._tls = True
    forwarded = {"x-forwarded-proto": "https"}
    assert providers.postmark(record).status_code == 401
    assert providers.postmark(record, headers=forwarded).status_code == 401  # nobody trusts this proxy
    assert taken() == []
    object.__setattr__(providers.served.gateway, "trusted", networks(["127.0.0.1"]))
    assert providers.postmark(record, headers=forwarded).status_code == 200
    assert providers.postmark(record, headers={"x-forwarded-proto": "http"}).status_code == 401


@pytest.mark.attack(44, guard="preklic_producers.feedback.sns:signed")
def test_a_notification_that_sns_did_not_sign_is_refused(providers, taken):
    event = of("ses", new_id(), "complaint")
    good = note(event)
    strange = [
        note(event, key=rsa_key("strange")),
        good | {"Message": json.dumps(of("ses", new_id(), "complaint"))},
        good | {"SignatureVersion": "1"},
        good | {"SignatureVersion": "3"},
        good | {"Signature": ""},
        good | {"Type": "SubscriptionConfirmation"},
        {name: value for name, value in good.items() if name != "Signature"},
        good | {"Subject": "x"},
    ]
    assert [providers.sns(fields).status_code for fields in strange] == [403] * len(strange)
    assert taken() == []
    assert providers.sns(note(event, Subject="Amazon SES Email Event Notification")).status_code == 200


@pytest.mark.attack(44, guard="preklic_producers.gateway.webhooks_ses:Ses.known")
def test_a_notification_of_another_topic_is_refused_and_nothing_is_fetched(providers, taken):
    event = of("ses", new_id(), "complaint")
    for topic in (TOPIC + "x", "", TOPIC.replace("123456789012", "210987654321")):
        assert providers.ses(event, TopicArn=topic).status_code == 403
        assert providers.ses(kind="SubscriptionConfirmation", TopicArn=topic).status_code == 403
    assert providers.web.asked == taken() == []


@pytest.mark.attack(44, guard="preklic_producers.feedback.sns:certificate_pinned")
def test_a_certificate_comes_from_the_pinned_host_alone(providers, taken):
    event, path = of("ses", new_id(), "complaint"), "/SimpleNotificationService-0123456789abcdef.pem"
    hosts = [
        "https://sns.eu-west-1.amazonaws.com.evil.si",
        "https://evil.si/sns.eu-west-1.amazonaws.com",
        "https://sns.eu-west-1.amazonaws.com@evil.si",
        "https://user:pass@sns.eu-west-1.amazonaws.com",
        "https://sns.eu-west-1.amazonaws.com:8443",
        "https://evil.si#sns.eu-west-1.amazonaws.com",
        "http://sns.eu-west-1.amazonaws.com",
        "https://snsXeu-west-1.amazonaws.com",
        "https://sns.evil.si/.amazonaws.com",
        "https://s3.eu-west-1.amazonaws.com",
        "https://sns.eu-west-1.amazonaws.com/..",
    ]
    urls = [f"{host}{path}" for host in hosts] + [
        f"{HOST}/x.pem",
        f"{CERTIFICATE}?x",
        f"{CERTIFICATE}\n",
        f"{CERTIFICATE}x",
    ]
    providers.web.pages |= dict.fromkeys(urls, certificate(rsa_key()))
    assert {providers.ses(event, SigningCertURL=url).status_code for url in urls} == {403}
    assert providers.web.asked == taken() == []


def test_certificates_that_are_away_old_or_none_and_how_many_are_fetched(providers, taken):
    event, urls = of("ses", new_id(), "complaint"), [f"{HOST}/SimpleNotificationService-{n}.pem" for n in range(40)]
    providers.web.pages |= {urls[0]: certificate(rsa_key(), days=-1), urls[1]: b"<html>"}
    assert providers.ses(event, SigningCertURL=urls[0]).status_code == 403
    assert providers.ses(event, SigningCertURL=urls[1]).status_code == 403
    # SNS does not try again after a 4xx: what cannot be checked now is a 503.
    assert {providers.ses(event, SigningCertURL=url).status_code for url in urls[2:]} == {503}
    assert len(providers.web.asked) == 30
    assert taken() == []


@pytest.mark.attack(44, guard="preklic_producers.feedback.sns:subscription_pinned")
def test_a_subscription_is_confirmed_for_our_topic_at_the_pinned_host_alone(providers, taken):
    for url in ("https://evil.si/?Action=ConfirmSubscription&x=1", f"{HOST}/?Action=Unsubscribe&x=1", f"{SUBSCRIBE}#x"):
        providers.web.pages[url] = b""
        assert providers.ses(kind="SubscriptionConfirmation", SubscribeURL=url).status_code == 403
    assert providers.web.asked == [CERTIFICATE]
    assert providers.ses(kind="SubscriptionConfirmation").json() == {"data": {"ignored": 1}}
    assert providers.web.asked == [CERTIFICATE, SUBSCRIBE]
    del providers.web.pages[SUBSCRIBE]
    assert providers.ses(kind="SubscriptionConfirmation").status_code == 503
    assert providers.ses(kind="UnsubscribeConfirmation").json() == {"data": {"ignored": 1}}
    assert providers.ses("Successfully validated SNS topic for Amazon SES event publishing.").status_code == 200
    assert taken() == []


async def test_a_redirect_is_not_followed_and_a_long_answer_is_none(tmp_path):
    class Answers(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(302 if self.path == "/away" else 200)
            self.send_header("Location", f"https://localhost:{self.server.server_port}/here")
            self.end_headers()
            self.wfile.write(b"x" * (fetching.LIMIT + 1 if self.path == "/long" else 5))

        def log_message(self, *_):
            pass

    pem = make_certificate(tmp_path)
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        server.socket = server_context(pem).wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        trusting, url = ssl.create_default_context(cafile=pem), f"https://localhost:{server.server_port}"
        assert await fetching.fetch(f"{url}/here?a=1", context=trusting) == b"xxxxx"
        for path, context in (("/away", trusting), ("/long", trusting), ("/here", None)):
            with pytest.raises(fetching.FetchError):
                await fetching.fetch(url + path, context=context)
        server.shutdown()
    for strange in ("http://localhost/", "file:///etc/passwd", "https:///x"):
        with pytest.raises(fetching.FetchError):
            await fetching.fetch(strange)


# Limits.


def test_huge_deep_and_strange_bodies(providers, taken):
    assert providers.sendgrid(b"[" + b" " * 2**20 + b"]").status_code == 413
    strange = [b"", b"{", b"[" * 100_000, b'[{"event":"bounce","event":"open"}]', b"\xff\xfe", b'{"a":NaN}']
    for body in strange:
        assert providers.sendgrid(body).json() == {"data": {"set_aside": 1}}
        assert providers.postmark(body).json() == {"data": {"set_aside": 1}}
        assert providers.sns(body).status_code == 403
        assert providers.http.post("/webhooks/mailgun", content=body).status_code == 403
    assert providers.sendgrid(b"[]").json() == {"data": {}}
    assert providers.sendgrid([1, None, [], "x", {}]).json() == {"data": {"set_aside": 5}}
    assert providers.http.get("/webhooks/ses").status_code == 405
    assert [providers.http.post(f"/webhooks/{name}").status_code for name in ("x", "ses%2f", "")] == [404] * 3
    assert taken() == []


@pytest.mark.attack(44, guard="preklic_shared.ids:job_id_for")
def test_a_batch_of_a_thousand_in_any_order_and_again_makes_the_same_jobs(providers, amqp_url):
    events = [bounce(new_id(), number) for number in range(1000)]
    assert len(json.dumps(events)) < 2**20
    assert providers.sendgrid(events).json() == {"data": {"taken": 1000}}
    once = {job.id for job in jobs_in(amqp_url, "track")}
    noes = {job.id for job in jobs_in(amqp_url, "revoke")}
    assert len(once) == len(noes) == 1000
    random.shuffle(events)
    assert providers.sendgrid(events[:300]).status_code == 200
    again = jobs_in(amqp_url, "track")
    assert len(again) == 300
    assert {job.id for job in again} <= once
    assert {job.id for job in jobs_in(amqp_url, "revoke")} <= noes


@pytest.mark.attack(52)
def test_no_ceiling_for_guesses_silences_a_provider(providers, taken):
    for _ in range(100):
        assert providers.http.get("/u/guess").status_code in {200, 429}
        assert providers.http.post("/webhooks/sendgrid", json=[]).status_code == 403
    assert providers.sendgrid([bounce(new_id())]).json() == {"data": {"taken": 1}}
    assert len(taken()) == 2


# Away.


def test_without_a_broker_the_outbox_takes_it_and_without_both_the_provider_comes_again(settings, free_port, tmp_path):
    wire = Wire(settings.amqp_url, free_port)
    full = Outbox(tmp_path / "outbox.sqlite")
    job, token = new_id(), secrets.token_hex(25)
    at = int(time.time())
    with providers_of(changed(settings, amqp_url=wire.url), any_free_port()) as providers:
        assert providers.sendgrid([bounce(job)]).json() == {"data": {"taken": 1}}
        assert len(full) == 2
        shelves = providers.served.gateway.delivery._shelves.values()
        for shelf in shelves:
            shelf._box = Full()
        event = of("mailgun", job, "complained")
        assert providers.mailgun(event, token=token, at=at).status_code == 503
        assert providers.ses(of("ses", job, "complaint")).status_code == 503
        providers.served.gateway.delivery._shelves[1.0]._box = full
        assert providers.ses(of("ses", job, "complaint")).status_code == 503
        assert len(full) == 3  # the no is safe, what else was told is not: the provider comes again
        for shelf in shelves:
            shelf._box = full
        # The same request again: its token was given back.
        assert providers.mailgun(event, token=token, at=at).json() == {"data": {"taken": 1}}
        wire.mend()
        until(lambda: len(full) == 0, 20, "the outbox is carried away")
    assert {one.event for one in jobs_in(settings.amqp_url, "track")} == {"bounced", "complained"}
    assert len(jobs_in(settings.amqp_url, "revoke")) == 3
    wire.cut()


class Full:
    """An outbox on a full disk."""

    def put(self, *_args, **_options):
        raise OutboxFailed


# Settings and description.


def test_what_is_not_set_up_is_not_there(settings, free_port):
    with Served(changed(settings, webhooks=Webhooks()), free_port) as served, httpx.Client(base_url=served.url) as http:
        for name in provider_events.ALL:
            assert http.post(f"/webhooks/{name}", json={}).status_code == 404
        described = http.get("/openapi.json").json()["paths"]
    assert {path for path in described if path.startswith("/webhooks/")} == {
        f"/webhooks/{name}" for name in provider_events.ALL
    }


@pytest.mark.attack(68)
def test_wrong_keys_are_said_before_anything_is_served(settings, free_port, tmp_path):
    rsa = base64.b64encode(rsa_key().public_key().public_bytes(*DER)).decode()
    (tmp_path / "short").write_text("secret")
    wrong = [
        ("SENDGRID", Webhooks(sendgrid=SendgridWebhook(public_key=rsa))),
        ("SENDGRID", Webhooks(sendgrid=SendgridWebhook(public_key="?"))),
        ("MAILGUN", Webhooks(mailgun=MailgunWebhook(signing_key_file=tmp_path / "nowhere"))),
        ("MAILGUN", Webhooks(mailgun=MailgunWebhook(signing_key_file=tmp_path / "short"))),
    ]
    for name, webhooks in wrong:
        with pytest.raises(SettingsError, match=f"PREKLIC_WEBHOOKS__{name}"):
            open_with(settings, webhooks)
    (tmp_path / "mailgun").chmod(0o644)
    open_with(settings, settings.webhooks)
    with pytest.raises(SettingsError, match="chmod 600"):
        open_with(changed(settings, environment="production"), settings.webhooks)
    with pytest.raises(SettingsError, match="PREKLIC_TRUSTED_PROXIES"):
        open_with(changed(settings, environment="production"), Webhooks(postmark=settings.webhooks.postmark))


def open_with(settings, webhooks):
    return open_sources(changed(settings, webhooks=webhooks), load_token_keys(settings.key_dir), frozenset())


def test_the_settings_come_from_a_file_or_the_environment(tmp_path):
    file = tmp_path / "preklic.toml"
    file.write_text(
        f'[webhooks.ses]\ntopics = ["{TOPIC}"]\n[webhooks.postmark]\nusername = "p"\npassword_file = "/x"\n'
    )
    read = load_settings({"PREKLIC_CONFIG": str(file), "PREKLIC_WEBHOOKS__MAILGUN__SIGNING_KEY_FILE": "/m"}).webhooks
    assert (read.ses.topics, read.postmark.username, str(read.mailgun.signing_key_file)) == ((TOPIC,), "p", "/m")
    both = load_settings({"PREKLIC_WEBHOOKS__SES__TOPICS": f"{TOPIC},{TOPIC}2"}).webhooks.ses
    assert both.topics == (TOPIC, f"{TOPIC}2")
    for name, value in (("SES__TOPICS", "*"), ("POSTMARK__USERNAME", "a:b"), ("SPARKPOST__KEY", "x")):
        with pytest.raises(SettingsError, match="PREKLIC_"):
            load_settings({f"PREKLIC_WEBHOOKS__{name}": value})
