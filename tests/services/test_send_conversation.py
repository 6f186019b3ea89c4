"""Where certainty ends: relays that refuse, break off, say nothing or talk too much, and what is recorded then."""

import asyncio
import ssl

import pytest

from preklic_workers.outcomes import Done, Refused, RetryLater
from preklic_workers.smtp.conversation import Patience
from preklic_workers.smtp.pool import Limits, RelayAway, RelayPool, Target
from scripted import scripted
from sending import open_desk, route, send_job
from waiting import auntil

TO = "ana@primer.si"


@pytest.fixture
async def desk(mongo_url, mongo_database, sink):
    desk = await open_desk(mongo_url, mongo_database, [route(sink.port)])
    await desk.grant(TO, "newsletter")
    yield desk
    await desk.close()


def bodies(sink, job):
    return [line["phase"] for line in sink.lines() if line.get("job") == job.id].count("body")


async def again(desk, job, **how):
    """Handle the job again once its claim is free."""

    async def handled():
        outcome = await desk.send(job, TO, **how)
        return None if isinstance(outcome, RetryLater) and outcome.reason == "busy" else outcome

    return await auntil(handled, 20, "the claim is free")


@pytest.mark.attack(38, guard="preklic_workers.smtp.replies:classify")
async def test_a_mailbox_that_is_gone_bounces_and_is_not_tried_again(desk, sink):
    sink.mode("refuse_rcpt", code=550)
    job = send_job()
    assert await desk.send(job, TO) == Refused("bounced")
    state = await desk.state(job)
    assert (state.state, state.reply) == ("bounced", {"code": 550, "enhanced": "5.1.1"})
    assert "bounce" in (await desk.person(TO)).suppressed
    assert desk.replies == [("sink", "5xx")]
    sink.mode("accept")
    assert await desk.send(send_job(), TO, attempt=1) == Refused("suppressed_bounce")
    assert await desk.send(send_job("payment"), TO) == Done()


@pytest.mark.attack(38, guard="preklic_workers.smtp.replies:classify")
@pytest.mark.parametrize(("mode", "code"), [("refuse_rcpt", 421), ("refuse_rcpt", 450), ("refuse_mail", 451)])
async def test_not_now_before_data_goes_to_a_tier(desk, sink, mode, code):
    sink.mode(mode, code=code, times=1)
    job = send_job()
    assert await desk.send(job, TO) == RetryLater(30, "deferred")
    assert (await desk.state(job)).state == "deferred"
    assert (await desk.person(TO)).open == ()
    assert await again(desk, job, attempt=1) == Done()
    assert bodies(sink, job) == 1


async def test_not_now_after_the_dot_is_certain(desk, sink):
    sink.mode("refuse_after_dot", code=451, times=1)
    job = send_job()
    assert await desk.send(job, TO) == RetryLater(30, "deferred")
    state = await desk.state(job)
    assert (state.state, state.reply["code"], state.doubted) == ("deferred", 451, False)
    assert (await desk.person(TO)).open == ()
    assert await again(desk, job, attempt=1) == Done()
    assert len(sink.mails()) == 1


async def test_patience_ends(desk, sink):
    sink.mode("refuse_rcpt", code=451)
    job = send_job()
    assert await desk.send(job, TO, attempt=8) == Refused("patience_ended")
    assert (await desk.state(job)).state == "failed"


@pytest.mark.attack(38, guard="preklic_workers.smtp.replies:classify")
@pytest.mark.parametrize("phase", ["RCPT", "body"])
@pytest.mark.parametrize("code", ["5.7.26", "5.7.515"])
async def test_an_objection_to_us_stops_the_purpose_and_spares_the_person(desk, phase, code):
    answer = f"550 {code} unauthenticated mail is not accepted\r\n".encode()
    async with scripted(**{phase: answer}) as relay:
        job = send_job()
        routes = [route(relay.port)]
        assert await desk.send(job, TO, deps={"routes": routes}) == RetryLater(120, "policy_stop", count=False)
    person = await desk.person(TO)
    assert (person.suppressed, person.open) == ({}, ())
    assert await desk.store.controls.stopped("purpose:newsletter") is not None
    assert await desk.send(send_job(), TO) == RetryLater(120, "stopped", count=False)
    assert await desk.send(send_job("payment"), TO) == Done()


@pytest.mark.attack(37, guard="preklic_workers.attempts:certain")
@pytest.mark.parametrize(
    ("mode", "kept"), [("drop_after_dot", True), ("drop_after_dot", False), ("close_in_data", True)]
)
async def test_a_loss_after_the_body_is_doubt_and_no_second_mail(desk, sink, mode, kept):
    sink.mode(mode, kept=kept, times=1)
    job = send_job()
    assert await desk.send(job, TO) == Done()
    state = await desk.state(job)
    assert (state.state, state.doubted) == ("in_doubt", True)
    assert [entry.message for entry in (await desk.person(TO)).open] == [job.id]
    assert desk.replies == [("sink", "lost")]
    assert await desk.send(job, TO, attempt=1) == Done()
    assert bodies(sink, job) == (mode == "drop_after_dot")


@pytest.mark.attack(37, guard="preklic_workers.attempts:certain")
@pytest.mark.parametrize("mode", ["silence", "half_open"])
async def test_a_silence_after_the_body_is_doubt(desk, sink, mode):
    sink.mode(mode, times=1)
    job = send_job()
    impatient = [route(sink.port, patience=Patience(body=0.5))]
    assert await desk.send(job, TO, deps={"routes": impatient}) == Done()
    assert (await desk.state(job)).state == "in_doubt"


@pytest.mark.clause("U5", guard="preklic_workers.attempts:certain")
async def test_a_payment_mail_in_doubt_goes_out_once_more_and_not_twice(desk, sink):
    sink.mode("drop_after_dot")
    job = send_job("payment")
    assert await desk.send(job, TO) == RetryLater(600, "in_doubt", count=False)
    # The relay may still be at it: until then nothing is repeated.
    waits = await desk.send(job, TO)
    assert waits.reason == "in_doubt"
    assert waits.seconds > 600
    await hand_over_is_old(desk, job)
    assert await desk.send(job, TO) == Done()
    await hand_over_is_old(desk, job)
    assert await desk.send(job, TO) == Done()
    assert (await desk.state(job)).state == "in_doubt"
    first, second = sink.mails()
    assert first["job"] == second["job"] == job.id


async def hand_over_is_old(desk, job):
    person = desk.subject(TO)
    change = {"$set": {"open.$[].until": desk.store.mongo.now()}}
    await desk.store.mongo["persons"].change({"_id": person, "open.message": job.id}, change)


async def test_a_relay_that_is_away_costs_an_attempt_and_no_mail(desk, free_port):
    job = send_job()
    gone = {"routes": [route(free_port)]}
    assert await desk.send(job, TO, deps=gone) == RetryLater(30, "relay_away")
    assert (await desk.state(job)).state == "deferred"
    assert desk.replies == [("sink", "lost")]
    late = await desk.send(send_job(), TO, deps=gone, attempt=99)
    assert late == RetryLater(21600, "relay_away")


async def test_a_session_that_the_relay_closed_is_replaced_at_once(desk, sink):
    assert await desk.send(send_job(), TO) == Done()
    sink.mode("refuse_mail", code=421, times=1)
    assert await desk.send(send_job(), TO) == Done()
    assert len(sink.mails()) == 2


async def test_more_mails_than_sessions_wait_for_their_turn(desk, sink):
    pool = RelayPool(Target("127.0.0.1", sink.port, "h", tls="off"), Limits(sessions=2))
    most = 0

    async def one():
        nonlocal most
        async with pool.session() as session:
            await session.begin("a@lucrum.example", TO)
            most = max(most, sink.counts()["open"])

    before = sink.counts()["open"]
    await asyncio.gather(*(one() for _ in range(10)))
    await pool.close()
    assert most - before <= 2


@pytest.mark.attack(27, guard="preklic_workers.smtp.pool:lacks")
async def test_a_local_part_beyond_ascii_needs_a_relay_that_says_so(desk, sink):
    to = "čšž@primer.si"
    await desk.grant(to, "newsletter")
    assert await desk.send(send_job(), to) == Done()
    sink.smtputf8(on=False)
    job = send_job()
    fresh = {"routes": [route(sink.port)]}
    assert await desk.send(job, to, deps=fresh) == Refused("undeliverable_smtputf8")
    assert (await desk.state(job)).state == "refused"
    assert len(sink.mails()) == 1


def tls_pool(host, port, context=None):
    return RelayPool(Target(host, port, "h"), Limits(connect_seconds=5), context)


@pytest.mark.attack(36, guard="preklic_workers.smtp.pool:verifying")
async def test_a_relay_that_cannot_prove_itself_gets_no_mail(desk, sink):
    unknown = tls_pool("127.0.0.1", sink.port)
    with pytest.raises(RelayAway) as caught:
        await unknown.connect()
    assert caught.value.reason == "relay_tls"
    known = ssl.create_default_context(cafile=str(sink.certificate))
    connection = await tls_pool("localhost", sink.port, known).connect()
    await connection.quit()
    with pytest.raises(RelayAway) as caught:
        # The same address under a name that the certificate does not have.
        await tls_pool("127.1", sink.port, known).connect()
    assert caught.value.reason == "relay_tls"
    async with scripted() as relay:
        with pytest.raises(RelayAway) as caught:
            await tls_pool("127.0.0.1", relay.port).connect()
    assert caught.value.reason == "relay_tls"


@pytest.mark.attack(39, guard="preklic_workers.smtp.replies:read")
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"451-4.7.1 x\r\n" * 20 + b"451 4.7.1 x\r\n", "deferred"),
        (b"451-4.7.1 x\r\n" * 10_000 + b"451 4.7.1 x\r\n", "relay_lost"),
        (b"451 4.7.1 ana@primer.si \xff\xfe\x00\r\n", "deferred"),
        (b"451 4.7.1 " + b"x" * 1_000_000 + b"\r\n", "relay_lost"),
        (b"\xff\xfe\x00\r\n", "relay_lost"),
        (b"250", "relay_lost"),
    ],
)
async def test_of_a_hostile_reply_only_the_codes_are_kept(desk, answer, reason):
    async with scripted(RCPT=answer) as relay:
        job = send_job()
        routes = [route(relay.port, patience=Patience(envelope=2))]
        assert await desk.send(job, TO, deps={"routes": routes}) == RetryLater(30, reason)
    state = await desk.state(job)
    assert getattr(state, "reply", None) in (None, {"code": 451, "enhanced": "4.7.1"})
    assert "body" not in relay.heard


@pytest.mark.attack(40, guard="preklic_workers.smtp.dialogue:Dialogue.within")
async def test_a_tar_pit_holds_nobody_but_its_own_mail_and_not_for_long(desk, sink):
    other = "bor@primer.si"
    await desk.grant(other, "newsletter")
    sink.mode("tarpit", seconds=8.0, match="ana@")
    routes = {"routes": [route(sink.port, patience=Patience(envelope=0.5))]}
    job, quick = send_job(), send_job()
    async with asyncio.timeout(5):
        slow = asyncio.create_task(desk.send(job, TO, deps=routes))
        assert await desk.send(quick, other, deps=routes) == Done()
        assert await slow == RetryLater(30, "relay_lost")
    assert bodies(sink, job) == 0
