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
from preklic_shared.settings import Relay
from preklic_workers.keyfiles import make_dkim
from preklic_workers.smtp.pool import RelayAway, RelayPool, Target
from sending import DATA, PROCESSOR
from waiting import auntil

ANA, EMA = f"ana@{HERE}", f"ema@{THERE}"
DOMAIN = "lucrum.example"


@pytest.fixture
def postfix(processes, sink, found_or_skipped):
    """A Postfix whose bounces to our domain arrive at the sink."""
    found_or_skipped(find)
    with started(processes, "ana", bounces=(DOMAIN, sink.port)) as running:
        yield running


async def test_a_mail_arrives_whole_and_signed_and_a_refused_one_comes_back_to_its_envelope_sender(
    postfix, sink, rabbit, vhost, mongo, mongo_database, tmp_path
):
    relay = Relay(
        name="postfix", host="127.0.0.1", port=postfix.port, processor=PROCESSOR.name, ca_file=str(postfix.certificate)
    )
    with users_of(rabbit, vhost, "website", "send", "record") as users:
        settings = settings_of(
            users,
            mongo,
            mongo_database,
            tmp_path / "keys",
            relays=(relay,),
            processors=(PROCESSOR,),
            mail_domain=DOMAIN,
        )
        key = make_dkim(tmp_path / "keys" / "send", DOMAIN, "s1", "rsa")
        async with at_work(settings, "send", "record") as store:
            with Producer(settings("website")) as producer:
                good, bad = [await mailed(store, producer, address) for address in (ANA, EMA)]
            arrived = await auntil(lambda: postfix.mails("ana"), 20, "the mail is in the mailbox")
            returned = await auntil(sink.mails, 20, "the bounce is relayed to us")
            states = [(await store.messages.show(job))["state"] for job in (good, bad)]
    assert states == ["sent", "sent"]
    (mail,), (bounce,) = arrived, returned
    it_is_whole(mail, good, key)
    it_tells_of(bounce, bad)


async def mailed(store, producer, address):
    await permitted(store, producer, address, "offers")
    return (await asyncio.to_thread(producer.send, address, "offers", "offer", DATA["offer"])).job_id


def it_is_whole(mail: bytes, job: str, key) -> None:
    """Signed as we signed it, over TLS, with the headers of marketing mail, and nothing added but the trace."""
    message = message_from_bytes(mail)
    record = "".join(re.findall('"([^"]*)"', key.record())).encode()
    assert dkim.verify(mail, dnsfunc=lambda name, **_: record if name == f"{key.name}.".encode() else None)
    assert message["Delivered-To"] == message["To"] == ANA
    assert job in message["Message-ID"]
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert "/u/" in message["List-Unsubscribe"]
    assert {part.get_content_type() for part in message.walk()} >= {"text/plain", "text/html"}
    for name in ("From", "To", "Subject", "Date", "Message-ID", "List-Id", "DKIM-Signature"):
        assert len(message.get_all(name)) == 1, name
    (trace,) = message.get_all("Received")
    assert "using TLSv1.3" in trace
    assert "with ESMTPS" in trace


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
