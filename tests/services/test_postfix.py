"""Through a real mail server: a mail of the real send worker reaches a mailbox whole, and a refused one comes back."""

import asyncio
import re
from email import message_from_bytes
from email.message import Message

import dkim
import pytest

from living import at_work, permitted, settings_of, users_of
from postfix import HERE, THERE, find, started
from preklic_producers import Producer
from preklic_producers.feedback.serving import listening
from preklic_shared.relay_settings import Relay
from preklic_workers.keyfiles import make_dkim
from preklic_workers.smtp.pool import RelayAway, RelayPool, Target
from sending import DATA, PROCESSOR
from waiting import auntil

ANA, ZANA, EMA = f"ana@{HERE}", f"žana@{HERE}", f"ema@{THERE}"
MANY = 20
DOMAIN = "lucrum.example"


@pytest.fixture
def postfix(processes, sink, found_or_skipped):
    """A Postfix whose bounces to our domain arrive at the sink."""
    found_or_skipped(find)
    with started(processes, "ana", "žana", bounces=(DOMAIN, sink.port)) as running:
        yield running


@pytest.fixture
def settings(postfix, rabbit, vhost, mongo, mongo_database, tmp_path):
    """Settings of each role; the one relay is that Postfix, with TLS as in production."""
    relay = Relay(
        name="postfix", host="127.0.0.1", port=postfix.port, processor=PROCESSOR.name, ca_file=str(postfix.certificate)
    )
    with users_of(rabbit, vhost, "website", "send", "record") as users:
        common = {"relays": (relay,), "processors": (PROCESSOR,), "mail_domain": DOMAIN}
        yield settings_of(users, mongo, mongo_database, tmp_path / "keys", **common)


async def test_mails_arrive_whole_and_signed_and_a_refused_one_comes_back_to_its_envelope_sender(
    settings, postfix, sink
):
    key = make_dkim(settings("send").key_dir / "send", DOMAIN, "s1", "rsa")
    async with at_work(settings, "send", "record") as store:
        with Producer(settings("website")) as producer:
            for address in (ANA, ZANA, EMA):
                await permitted(store, producer, address, "offers")
            jobs = await mailed(producer, [ANA] * MANY + [ZANA, EMA])
        arrived = await auntil(lambda: full(postfix.mails("ana"), MANY), 20, "the mails are in the mailbox")
        (foreign,) = await auntil(lambda: postfix.mails("žana"), 20, "the mail of SMTPUTF8 is, too")
        (bounce,) = await auntil(sink.mails, 20, "the bounce is relayed to us")
        for job in jobs:
            await auntil(lambda job=job: sent(store, job), 20, "sent")
    for mail in arrived:
        it_is_whole(mail, ANA, key)
    assert {message_from_bytes(mail)["Message-ID"][1:37] for mail in arrived} == set(jobs[:MANY])
    it_is_whole(foreign, ZANA, key)
    it_tells_of(bounce, jobs[-1])


async def test_what_postfix_sends_back_ends_as_bounced_and_the_address_is_suppressed(
    processes, found_or_skipped, free_port, rabbit, vhost, mongo, mongo_database, tmp_path
):
    found_or_skipped(find)
    roles = ("website", "send", "record", "revoke", "track", "feedback")
    with started(processes, "ana", bounces=(DOMAIN, free_port)) as running, users_of(rabbit, vhost, *roles) as users:
        cert = str(running.certificate)
        relay = Relay(name="postfix", host="127.0.0.1", port=running.port, processor=PROCESSOR.name, ca_file=cert)
        common = {"relays": (relay,), "processors": (PROCESSOR,), "mail_domain": DOMAIN}
        of = settings_of(users, mongo, mongo_database, tmp_path / "keys", **common)
        heard = of("feedback", outbox=tmp_path / "outbox.sqlite")
        async with at_work(of, "send", "record", "revoke", "track") as store:
            async with listening(heard, "127.0.0.1", free_port, lmtp=False):
                with Producer(of("website")) as producer:
                    await permitted(store, producer, EMA, "offers")
                    (job,) = await mailed(producer, [EMA])

                async def ended():
                    return (await store.messages.show(job) or {}).get("state") == "bounced"

                await auntil(ended, 30, "the bounce came back to its mail")

                async def suppressed():
                    owner = (await store.messages.owners([job]))[job]
                    return (await store.persons.read(owner)).suppressed

                assert "bounce" in await auntil(suppressed, 20, "nobody writes there any more")
            (event,) = await store.events.of(job)
            assert (event.kind, event.bounce, event.code) == ("bounced", "hard", "5.1.1")


async def mailed(producer, addresses):
    """Their jobs, published at once: the worker sends them beside one another, several over one connection."""
    mails = [{"to": to, "purpose": "offers", "template": "offer", "data": DATA["offer"]} for to in addresses]
    return [receipt.job_id for receipt in await asyncio.to_thread(lambda: list(producer.send_many(mails)))]


def full(mails, count):
    return mails if len(mails) == count else []


async def sent(store, job):
    return (await store.messages.show(job))["state"] == "sent"


def it_is_whole(mail: bytes, to: str, key) -> None:
    """Signed as we signed it, over TLS, with the headers of marketing mail, and nothing added but the trace."""
    message = message_from_bytes(mail)
    record = "".join(re.findall('"([^"]*)"', key.record())).encode()
    assert dkim.verify(mail, dnsfunc=lambda name, **_: record if name == f"{key.name}.".encode() else None)
    head = mail.partition(b"\n\n")[0]
    assert f"\nDelivered-To: {to}\n".encode() in head
    assert f"\nTo: {to}\n".encode() in head
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert "/u/" in message["List-Unsubscribe"]
    assert {part.get_content_type() for part in message.walk()} >= {"text/plain", "text/html"}
    for name in ("From", "To", "Subject", "Date", "Message-ID", "List-Id", "DKIM-Signature"):
        assert len(message.get_all(name)) == 1, name
    (trace,) = map(str, message.get_all("Received"))
    assert "using TLSv1.3" in trace
    assert ("with UTF8SMTPS" if to == ZANA else "with ESMTPS") in trace  # RFC 6531, section 4.3


@pytest.mark.attack(36, guard="preklic_workers.smtp.pool:verifying")
async def test_nothing_is_said_to_a_server_whose_certificate_is_not_the_one_to_trust(postfix, tmp_path):
    with pytest.raises(RelayAway) as away:
        await RelayPool(Target("127.0.0.1", postfix.port, "worker.lucrum.example")).connect()
    assert away.value.reason == "relay_tls"
    assert "mail=" not in postfix.log()


def it_tells_of(bounce: dict, job: str) -> None:
    """A delivery status notification (RFC 3464) of that mail, from nobody, to the sender of its envelope."""
    report = message_from_bytes(bounce["raw"])
    assert report.get_content_type() == "multipart/report"
    status, original = parts_of(report, "message/delivery-status"), parts_of(report, "text/rfc822-headers")
    fields = {name.lower(): value for block in status.get_payload() for name, value in block.items()}
    assert (fields["action"], fields["status"]) == ("failed", "5.1.1")
    assert fields["final-recipient"] == f"rfc822; {EMA}"
    assert fields["diagnostic-code"].startswith("smtp; 550 5.1.1")
    assert job in original.as_string()
    assert bounce["sender"] == ""
    (to,) = bounce["to"]
    assert to.endswith(f"@{DOMAIN}")
    assert f"Return-Path: <{to}>" in original.as_string()


def parts_of(report: Message, kind: str) -> Message:
    """The part of that type, the returned mail whole or its headers alone."""
    kinds = {kind, "message/rfc822"} if kind == "text/rfc822-headers" else {kind}
    return next(part for part in report.walk() if part.get_content_type() in kinds)
