"""The feedback listener on a real broker, spoken to by a real SMTP client: what it takes, refuses and never loses."""

import asyncio
import smtplib
import time

import pytest

from bounced import DOMAIN, MESSAGE, away, dsn, leave, return_path
from preklic_producers.feedback import listener
from preklic_producers.feedback.serving import listening
from preklic_shared import metrics
from preklic_shared.jobs import AsideJob, AsidePayload, RevokeJob, TrackJob
from preklic_shared.settings import Settings, SettingsError
from preklic_shared.token_keys import write_token_key
from preklic_shared.tokens import KEY_BYTES, TokenKeys
from preklic_shared.topology_apply import apply
from producing import Wire, jobs_in, sealing
from waiting import auntil

STRANGE = b"From: somebody@primer.si\r\n\r\nA letter about nothing.\r\n"


@pytest.fixture
def sealed(tmp_path):
    return sealing(tmp_path)


@pytest.fixture
def settings(amqp_url, tmp_path):
    apply(amqp_url)
    write_token_key(tmp_path, 1, b"t" * 32)
    return Settings(
        amqp_url=amqp_url,
        key_dir=tmp_path,
        sealing_keys=sealing(tmp_path).path,
        outbox=tmp_path / "outbox.sqlite",
        mail_domain=DOMAIN,
    )


async def spoken(port, conversation, kind=smtplib.SMTP):
    """What a conversation with the listener answers."""

    def talk():
        with kind("127.0.0.1", port) as client:
            return conversation(client)

    return await asyncio.to_thread(talk)


def posting(*mails):
    """The last reply to each of these (recipient, mail), over one connection: of RCPT where it refuses."""

    def conversation(client):
        replies = []
        client.ehlo()
        for to, raw in mails:
            client.mail("<>")
            code, _ = client.rcpt(to)
            if code == 250:
                code, _ = client.data(raw)
            else:
                client.rset()
            replies.append(code)
        return replies

    return conversation


async def posted(port, *mails, kind=smtplib.SMTP):
    return await spoken(port, posting(*mails), kind)


def count(verdict):
    return metrics.FEEDBACK.labels(verdict)._value.get()


async def test_bounces_complaints_noes_and_the_rest_each_end_where_they_belong(settings, sealed, amqp_url):
    before = count("ignored")
    async with listening(settings, "127.0.0.1", 0, lmtp=False) as (port, _):
        mails = [(return_path(), dsn()), (leave(), b""), (return_path(), away()), (return_path(), STRANGE)]
        assert await posted(port, *mails) == [250] * 4
    bounce, no = jobs_in(amqp_url, "revoke")
    assert isinstance(bounce, RevokeJob)
    assert (bounce.message, bounce.source, bounce.purposes) == (MESSAGE, "bounce", "all")
    assert (no.message, no.source, no.purposes) == (MESSAGE, "one_click", "mail")
    (track,) = jobs_in(amqp_url, "track")
    assert isinstance(track, TrackJob)
    assert (track.event, track.message, track.person, track.bounce, track.code) == (
        "bounced", MESSAGE, None, "hard", "5.1.1",
    )  # fmt: skip
    (aside,) = jobs_in(amqp_url, "record")
    assert isinstance(aside, AsideJob)
    assert (aside.source, aside.reason) == ("smtp", "not_understood")
    assert isinstance(sealed.open(aside), AsidePayload)
    assert count("ignored") == before + 1


async def test_the_same_report_twice_has_the_same_jobs(settings, amqp_url):
    async with listening(settings, "127.0.0.1", 0, lmtp=False) as (port, _):
        assert await posted(port, *[(return_path(), dsn()), (return_path(), STRANGE)] * 2) == [250] * 4
    for queue in ("revoke", "track", "record"):
        assert len({job.id for job in jobs_in(amqp_url, queue)}) == 1


@pytest.mark.attack(41, guard="preklic_shared.return_paths:same")
async def test_what_is_for_nobody_here_is_refused_before_its_body(settings, amqp_url):
    before = count("refused")
    forged = return_path(keys=TokenKeys({1: b"z" * KEY_BYTES}, 1))
    async with listening(settings, "127.0.0.1", 0, lmtp=False) as (port, _):
        assert await posted(port, (forged, dsn()), (f"ana@{DOMAIN}", dsn()), ("ana@primer.si", dsn())) == [550] * 3
        both = await spoken(port, lambda c: (c.ehlo(), c.mail("<>"), c.rcpt(return_path()), c.rcpt(leave()))[2:])
        large = await spoken(
            port, lambda c: (c.ehlo(), c.mail("<>"), c.rcpt(return_path()), c.data(b"x\r\n" * 500_000))
        )
    assert [code for code, _ in both] == [250, 452]
    assert large[-1][0] == 552
    assert count("refused") == before + 3
    assert jobs_in(amqp_url, "revoke") == jobs_in(amqp_url, "track") == jobs_in(amqp_url, "record") == []


async def test_without_a_broker_a_report_waits_on_disk_and_without_a_disk_it_is_not_taken(
    settings, amqp_url, free_port, monkeypatch
):
    wire = Wire(amqp_url, free_port).mend()
    away_from = Settings(**{**{f: getattr(settings, f) for f in settings.__struct_fields__}, "amqp_url": wire.url})
    async with listening(away_from, "127.0.0.1", 0, lmtp=False) as (port, _):
        wire.cut()
        assert await posted(port, (return_path(), dsn())) == [250]
        assert jobs_in(amqp_url, "revoke") == []
        wire.mend()
        await auntil(lambda: asyncio.to_thread(jobs_in, amqp_url, "revoke"), 20, "what waited goes out")
        wire.cut()

        def full(*_args, **_more):
            raise listener.Unavailable("no disk")

        monkeypatch.setattr(listener.Delivery, "hand_over", full)
        assert await posted(port, (return_path(), dsn())) == [451]
    wire.cut()


async def test_lmtp_and_an_end_for_whoever_talks_slowly(settings, amqp_url, monkeypatch):
    async with listening(settings, "127.0.0.1", 0, lmtp=True) as (port, _):
        assert await posted(port, (return_path(), dsn()), kind=smtplib.LMTP) == [250]
        monkeypatch.setattr(listener, "WHOLE_SECONDS", 0.3)
        begun = time.monotonic()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await reader.read()
        assert time.monotonic() - begun < 5
        writer.close()
    assert len(jobs_in(amqp_url, "track")) == 1


async def test_more_connections_than_there_are_places_are_sent_away(settings, monkeypatch):
    monkeypatch.setattr(listener, "CONNECTIONS", 2)
    async with listening(settings, "127.0.0.1", 0, lmtp=False) as (port, _):
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        await asyncio.gather(*(reader.readline() for reader, _ in held))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert (await reader.readline()).startswith(b"421 ")
        for one in [writer, *(writer for _, writer in held)]:
            one.close()


@pytest.mark.parametrize("name", ["key_dir", "sealing_keys", "outbox"])
async def test_what_is_missing_is_said_before_anything_is_served(settings, name):
    lacking = Settings(**{f: getattr(settings, f) for f in settings.__struct_fields__ if f != name})
    with pytest.raises(SettingsError, match=name.upper()):
        async with listening(lacking, "127.0.0.1", 0, lmtp=False):
            pass


async def test_it_is_ready_before_anybody_reports_anything(settings):
    async with listening(settings, "127.0.0.1", 0, lmtp=False) as (_, publisher):
        await auntil(lambda: publisher.connected, 10, "the broker is reached")
