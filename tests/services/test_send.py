"""One mail at a time, from its job to the relay's ledger: the real handler, MongoDB and SMTP."""

import email
import email.policy

import pytest

from preklic_shared import return_paths
from preklic_shared.attachments import MAX_OCTETS, Attachment
from preklic_shared.ids import new_id
from preklic_shared.tokens import Click, Confirm, Unsubscribe
from preklic_workers.outcomes import Dead, Done, Refused, RetryLater
from preklic_workers.store import Persons
from sending import PROCESSOR, RING, open_desk, route, send_job
from waiting import auntil

TO = "ana@primer.si"


@pytest.fixture
async def desk(mongo_url, mongo_database, sink):
    desk = await open_desk(mongo_url, mongo_database, [route(sink.port)])
    yield desk
    await desk.close()


def phases(sink, job):
    return [line["phase"] for line in sink.lines() if line.get("job") == job.id]


def the_mail(sink):
    (mail,) = sink.mails()
    return email.message_from_bytes(mail["raw"], policy=email.policy.default)


async def test_a_permitted_mail_is_sent_once_and_recorded(desk, sink):
    await desk.grant(TO, "newsletter")
    job = send_job()
    assert await desk.send(job, TO) == Done()
    message = the_mail(sink)
    assert message["To"] == TO
    assert message["Message-ID"].startswith(f"<{job.id}@")
    assert message["List-Id"] == "<novice.lucrum.example>"
    (mail,) = sink.mails()
    assert return_paths.check(RING.tokens, mail["sender"].rpartition("@")[0], return_paths.Bounce).message == job.id
    url = message["List-Unsubscribe"].partition(",")[0].strip("<>")
    token = RING.tokens.check(url.rpartition("/")[2], Unsubscribe)
    person = await desk.person(TO)
    assert (token.message, token.pid, token.purpose) == (job.id, person.pid, "newsletter")
    state = await desk.state(job)
    assert (state.state, state.relay, state.processor) == ("sent", "sink", PROCESSOR.name)
    assert state.reply == {"code": 250, "enhanced": "2.0.0"}
    assert person.open == ()
    assert desk.replies == [("sink", "2xx")]
    assert await desk.send(job, TO) == Done()
    assert phases(sink, job) == ["body", "accepted"]


async def test_files_of_the_largest_size_arrive_and_a_hostile_name_ends_the_mail_before_any_conversation(desk, sink):
    file = Attachment(name="Račun.pdf", type="application/pdf", content=b"\0.\r\n" * (MAX_OCTETS // 4))
    assert await desk.send(send_job("payment"), TO, attachments=[file]) == Done()
    (arrived,) = the_mail(sink).iter_attachments()
    assert (arrived.get_filename(), arrived.get_payload(decode=True)) == (file.name, file.content)
    hostile = send_job("payment")
    ended = await desk.send(hostile, TO, attachments=[Attachment(name="../x.pdf", type=file.type, content=b"")])
    assert ended == Dead("bad_content", "attachments.0.name")
    assert phases(sink, hostile) == []


async def test_a_redelivery_pulls_what_a_killed_worker_left_between_settle_and_pull(desk, sink, monkeypatch):
    await desk.grant(TO, "newsletter")
    job = send_job()

    async def killed(*_):
        return None

    with monkeypatch.context() as dying:
        dying.setattr(desk.store.gate, "pull", killed)
        await desk.send(job, TO)
    assert [entry.message for entry in (await desk.person(TO)).open] == [job.id]
    assert await desk.send(job, TO) == Done()
    assert (await desk.person(TO)).open == ()
    assert phases(sink, job) == ["body", "accepted"]


DENIED = pytest.mark.attack(13, guard="preklic_shared.registry:Registry.for_mail")


@pytest.mark.parametrize(
    ("purpose", "template"),
    [
        pytest.param("newsletter", "payment", marks=DENIED),
        pytest.param("unheard_of", "newsletter", marks=DENIED),
        # These end at `may` as well.
        ("statistics", "newsletter"),
        ("storage", "payment"),
    ],
)
async def test_a_purpose_that_no_mail_may_name_is_refused(desk, sink, purpose, template):
    await desk.grant(TO, "newsletter", "payment")
    before = sink.counts()
    job = send_job(purpose, template)
    assert await desk.send(job, TO) == Refused("purpose_denied")
    assert (await desk.state(job)).reason == "purpose_denied"
    assert sink.counts() == before


@pytest.mark.attack(14, guard="preklic_workers.permission:may")
@pytest.mark.parametrize("why", ["withdrawn", "suppressed_bounce", "erased", "pending", "no_permission", "unknown"])
@pytest.mark.clause("U1", guard="preklic_workers.permission:may")
async def test_a_person_without_permission_costs_no_conversation(desk, sink, why):
    await without_permission(desk, why)
    before = sink.counts()
    job = send_job("offers") if why == "no_permission" else send_job()
    assert await desk.send(job, TO, attempt=1) == Refused(why)
    state = await desk.state(job)
    assert (state.state, state.reason) == ("refused", why)
    assert sink.counts() == before
    assert desk.replies == []


async def without_permission(desk, why):
    if why == "unknown":
        return
    await desk.grant(TO, "newsletter", confirmed=why != "pending")
    if why == "withdrawn":
        await desk.withdraw(TO, ["newsletter"])
    if why == "suppressed_bounce":
        await desk.withdraw(TO, [], suppress="bounce")
    if why == "erased":
        erased_at = desk.store.mongo.now()
        await desk.store.persons.erase(desk.subject(TO), erased_at, lambda _person: frozenset())


@pytest.mark.clause("U2", guard="preklic_workers.permission:may")
async def test_before_the_yes_is_confirmed_only_the_confirmation_mail_goes_out(desk, sink):
    grant = await desk.grant(TO, "newsletter", confirmed=False)
    assert await desk.send(send_job(), TO) == Refused("pending")
    job = send_job("newsletter", "confirm")
    assert await desk.send(job, TO) == Done()
    text = the_mail(sink).get_body(("plain",)).get_content()
    (link,) = [line for line in text.splitlines() if "/confirm/" in line]
    token = RING.tokens.check(link.rpartition("/")[2], Confirm)
    assert (token.grant, token.purpose) == (grant, "newsletter")


@pytest.mark.clause("U5", guard="preklic_workers.permission:rests_on_choice")
async def test_after_every_no_the_payment_mail_still_goes_unmarked(desk, sink):
    await desk.grant(TO, "newsletter", switches=["engagement.opens", "engagement.clicks"])
    await desk.withdraw(TO, sorted(desk.deps.registry.revocable), suppress="complaint")
    assert await desk.send(send_job(), TO, attempt=1) == Refused("suppressed_complaint")
    job = send_job("payment")
    assert await desk.send(job, TO) == Done()
    message = the_mail(sink)
    page = message.get_body(("html",)).get_content()
    assert "List-Unsubscribe" not in message
    assert 'href="https://lucrum.example/p"' in page
    assert "/c/" not in page
    assert "/o/" not in page


@pytest.mark.clause("U12", guard="preklic_workers.permission:may_track")
@pytest.mark.parametrize("permitted", [(), ("engagement.clicks",), ("engagement.opens",)])
async def test_opens_and_clicks_are_marked_only_where_each_is_permitted(desk, sink, permitted):
    await desk.grant(TO, "newsletter", switches=permitted)
    assert await desk.send(send_job(), TO) == Done()
    page = the_mail(sink).get_body(("html",)).get_content()
    assert ("/c/" in page) == ("engagement.clicks" in permitted)
    assert ("/o/" in page) == ("engagement.opens" in permitted)
    assert ('href="https://lucrum.example/1"' in page) == ("engagement.clicks" not in permitted)


async def test_a_counted_link_leads_where_the_letter_led(desk, sink):
    await desk.grant(TO, "newsletter", switches=["engagement.clicks"])
    job = send_job()
    await desk.send(job, TO)
    page = the_mail(sink).get_body(("html",)).get_content()
    token = RING.tokens.check(page.partition("/c/")[2].partition('"')[0], Click)
    assert (token.url, token.message) == ("https://lucrum.example/1", job.id)


@pytest.mark.clause("U8", guard="preklic_workers.smtp.routes:contracted")
async def test_an_expired_contract_with_the_processor_stops_sending(desk, sink):
    await desk.grant(TO, "newsletter")
    past = route(sink.port, processor=_processor(valid_to="2020-12-31"))
    job = send_job()
    assert await desk.send(job, TO, deps={"routes": [past]}) == Refused("processor_invalid")
    assert phases(sink, job) == []


def _processor(**changes):
    return type(PROCESSOR)(**{name: getattr(PROCESSOR, name) for name in PROCESSOR.__struct_fields__} | changes)


async def test_the_next_relay_carries_what_the_first_may_not(desk, sink):
    await desk.grant(TO, "newsletter")
    past = route(sink.port, processor=_processor(valid_to="2020-12-31"), name="past")
    job = send_job()
    assert await desk.send(job, TO, deps={"routes": [past, *desk.deps.routes]}) == Done()
    assert (await desk.state(job)).relay == "sink"


async def test_an_expired_job_is_recorded_as_such(desk, sink):
    job = send_job()
    assert await desk.send(job, TO, expired=True) == Refused("expired")
    assert (await desk.state(job)).state == "expired"


async def test_an_address_that_is_none_is_refused(desk):
    job = send_job("payment")
    assert await desk.send(job, "evil@y.si> <a@x.si") == Refused("bad_address")
    assert (await desk.state(job)).state == "refused"


async def test_an_unknown_person_is_given_one_tier(desk, sink):
    job = send_job()
    assert await desk.send(job, TO) == RetryLater(30, "unknown")
    assert (await desk.state(job)).state == "deferred"
    await desk.grant(TO, "newsletter")
    assert await again(desk, job, attempt=1) == Done()
    assert phases(sink, job) == ["body", "accepted"]


async def test_a_contract_records_an_unknown_address_with_its_provenance(desk, sink):
    job = send_job("payment")
    assert await desk.send(job, TO) == Done()
    person = await desk.person(TO)
    assert person.permissions["payment"].job == job.id
    assert await desk.store.persons.address_of(desk.subject(TO)) == TO
    assert the_mail(sink)["To"] == TO


async def test_a_contract_brings_somebody_erased_back_for_itself_alone(desk, sink):
    await without_permission(desk, "erased")
    job = send_job("payment")
    assert await desk.send(job, TO) == Done()
    assert phases(sink, job) == ["body", "accepted"]
    person = await desk.person(TO)
    assert set(person.permissions) == {"payment"}
    assert "erased" in person.suppressed
    assert await desk.send(send_job(), TO) == Refused("suppressed_erased")


async def test_a_payment_mail_outlives_an_erasure_just_before_its_gate(desk, sink, monkeypatch):
    ensure = Persons.ensure

    async def then_erased(persons, *arguments):
        person = await ensure(persons, *arguments)
        await persons.erase(person.id, desk.store.mongo.now(), lambda _person: frozenset())
        return person

    monkeypatch.setattr(Persons, "ensure", then_erased)
    job = send_job("payment")
    assert await desk.send(job, TO) == RetryLater(5, "erased", count=False)
    assert phases(sink, job) == []
    monkeypatch.undo()
    assert await desk.send(job, TO) == Done()


async def test_a_send_waits_for_what_it_stands_on(desk, sink):
    grant = new_id()
    job = send_job(after=grant)
    assert await desk.send(job, TO) == RetryLater(5, "after", count=False)
    assert await desk.send(send_job(after=grant, age=120_000), TO) == RetryLater(30, "after", count=False)
    assert await desk.store.messages.state(job.id) is None
    await desk.grant(TO, "newsletter", job=grant)
    await note(desk, grant, "applied")
    assert await desk.send(job, TO) == Done()


@pytest.mark.parametrize("state", ["refused", "expired", "dead"])
async def test_a_send_does_not_outlive_what_it_stands_on(desk, sink, state):
    await desk.grant(TO, "newsletter")
    grant = new_id()
    await note(desk, grant, state)
    job = send_job(after=grant)
    assert await desk.send(job, TO) == Refused("after_failed")
    assert phases(sink, job) == []


async def test_after_its_grant_an_unknown_person_gets_no_tier(desk):
    grant = new_id()
    await note(desk, grant, "applied")
    assert await desk.send(send_job(after=grant), TO) == Refused("unknown")


async def note(desk, job, state):
    expires = desk.store.mongo.now()
    await desk.store.messages.note(job, "grant", state, producer="website", expires=expires)


@pytest.mark.parametrize("name", ["all", "purpose:newsletter", "relay:sink"])
async def test_a_kill_switch_holds_mail_back_and_loses_none(desk, sink, name):
    await desk.grant(TO, "newsletter")
    await desk.store.controls.stop(name, reason="test", by="test")
    job = send_job()
    assert await desk.send(job, TO) == RetryLater(120, "stopped", count=False)
    assert phases(sink, job) == []
    await desk.store.controls.go(name, reason="test", by="test")
    assert await desk.send(job, TO) == Done()


@pytest.mark.attack(34, guard="preklic_workers.compose.templates:missing_field")
async def test_a_missing_variable_sends_nothing_and_waits_for_a_person(desk, sink):
    await desk.grant(TO, "newsletter")
    job = send_job()
    assert await desk.send(job, TO, data={"title": "x", "articles": []}) == Dead("template_error", "intro")
    state = await desk.state(job)
    assert (state.state, state.reason) == ("dead", "template_error")
    assert phases(sink, job) == []


@pytest.mark.attack(21, guard="preklic_workers.compose.mime:refuse_controls")
async def test_a_line_end_in_a_subject_is_refused_with_the_field(desk, sink):
    await desk.grant(TO, "offers")
    data = {"title": "Ponudba\r\nBcc: x@evil.si", "text": "x", "url": "https://lucrum.example/"}
    job = send_job("offers")
    assert await desk.send(job, TO, data=data) == Dead("bad_content", "Subject")
    assert phases(sink, job) == []


async def test_the_language_chooses_the_variant(desk, sink):
    await desk.send(send_job("payment"), TO, data={"invoice": "1", "amount": "2", "due": "3", "language": "en"})
    assert the_mail(sink)["Subject"] == "Invoice 1: 2"


async def test_another_body_under_the_same_id_is_refused(desk, sink):
    await desk.grant(TO, "newsletter", "offers")
    await desk.grant("bor@primer.si", "newsletter")
    job = send_job()
    assert await desk.send(job, TO) == Done()
    assert await desk.send(job, "bor@primer.si") == Refused("idempotency_conflict")
    assert await desk.send(replace_job(job, purpose="offers", template="offer"), TO) == Refused("idempotency_conflict")
    assert len(sink.mails()) == 1


def replace_job(job, **changes):
    return type(job)(**{name: getattr(job, name) for name in job.__struct_fields__} | changes)


async def again(desk, job, **how):
    """Handle the job again once its claim is free."""

    async def handled():
        outcome = await desk.send(job, TO, **how)
        return None if isinstance(outcome, RetryLater) and outcome.reason == "busy" else outcome

    return await auntil(handled, 20, "the claim is free")
