"""A website's calls against a real RabbitMQ: what lies in the queues afterwards, and what is refused before."""

import os
import threading
import time

import pytest

from preklic_producers import Producer, Proof, Receipt, Rejected, Unavailable
from preklic_producers.outbox import Outbox
from preklic_shared.ids import is_id, job_id_for
from preklic_shared.jobs import EnrichPayload, GrantPayload, RevokePayload, SendPayload
from preklic_shared.settings import Settings, SettingsError
from preklic_shared.topology_apply import apply
from preklic_workers.joblog import entries
from producing import Wire, bodies_in, jobs_in, sealing
from waiting import until

PROOF = Proof(wording="newsletter v3", source="https://lucrum.si/novice", method="form")
ANA = "ana@primer.si"


@pytest.fixture
def sealed(tmp_path):
    return sealing(tmp_path)


@pytest.fixture
def broker_url(amqp_url):
    apply(amqp_url)
    return amqp_url


@pytest.fixture
def settings(broker_url, sealed):
    return Settings(amqp_url=broker_url, sealing_keys=sealed.path, sealing_pin=sealed.pin)


@pytest.fixture
def producer(settings):
    with Producer(settings) as producer:
        yield producer


def changed(settings, **fields):
    return Settings(**{**{name: getattr(settings, name) for name in settings.__struct_fields__}, **fields})


def test_a_mail_lies_sealed_in_its_purpose_s_queue(producer, sealed, broker_url):
    receipt = producer.send(
        ANA, "newsletter", "newsletter", {"title": "Novice"}, ref="customer-7", reply_to="x@lucrum.si"
    )
    assert receipt.status == "queued"
    (body,) = bodies_in(broker_url, "send.bulk")
    assert ANA.encode() not in body
    assert b"Novice" not in body
    assert b"customer-7" not in body
    producer.send(ANA, "newsletter", "newsletter", {"title": "Novice"}, ref="customer-7", reply_to="x@lucrum.si")
    (job,) = jobs_in(broker_url, "send.bulk")
    assert is_id(receipt.job_id)
    assert sealed.open(job) == SendPayload(to=ANA, data={"title": "Novice"}, ref="customer-7", reply_to="x@lucrum.si")


def test_a_payment_goes_into_the_queue_that_nothing_holds_up(producer, broker_url):
    template = producer._drafts.registry.purposes["payment"].templates[0]
    producer.send(ANA, "payment", template, {"invoice": "2026-17"})
    (job,) = jobs_in(broker_url, "send.now")
    assert job.purpose == "payment"
    lives = producer._drafts.registry.purposes["payment"].expires
    assert job.expires - job.at == lives * 1000


def test_grants_withdrawals_and_profiles(producer, sealed, broker_url):
    grant = producer.grant(ANA, ["newsletter", "engagement.clicks"], proof=PROOF, ref="7", confirmed=True)
    producer.enrich("7", "profile", {"first_name": "Ana"}, source="shop")
    (granted, enriched) = jobs_in(broker_url, "record")
    assert granted.id == grant.job_id
    assert sealed.open(granted) == GrantPayload(
        address=ANA, purposes=("newsletter", "engagement.clicks"), proof=PROOF, ref="7", confirmed=True
    )
    assert sealed.open(enriched) == EnrichPayload(ref="7", data={"first_name": "Ana"}, source="shop")
    producer.revoke("Ana@PRIMER.si", reason="asked by telephone")
    producer.revoke("7", "newsletter", reason="asked by letter")
    (everything, one) = jobs_in(broker_url, "revoke")
    assert (everything.purposes, one.purposes) == ("all", ("newsletter",))
    assert sealed.open(everything) == RevokePayload(address="Ana@primer.si")
    assert sealed.open(one) == RevokePayload(ref="7")


def test_a_send_after_a_grant_names_it(producer, broker_url):
    grant = producer.grant(ANA, "newsletter", proof=PROOF)
    producer.send(ANA, "newsletter", "newsletter", after=grant)
    producer.send(ANA, "newsletter", "newsletter", after=grant.job_id)
    assert [job.after for job in jobs_in(broker_url, "send.bulk")] == [grant.job_id] * 2


def test_the_same_key_is_the_same_job_and_another_kind_s_is_not(producer, settings, broker_url):
    one = producer.send(ANA, "newsletter", "newsletter", idempotency_key="welcome-7")
    two = producer.send(ANA, "newsletter", "newsletter", idempotency_key="welcome-7")
    other = producer.revoke(ANA, reason="asked", idempotency_key="welcome-7")
    assert one.job_id == two.job_id == job_id_for(settings.producer, "send:welcome-7")
    assert other.job_id != one.job_id


def test_many_mails_are_all_there_in_order(producer, broker_url):
    mails = [{"to": f"p{n}@primer.si", "purpose": "newsletter", "template": "newsletter"} for n in range(700)]
    receipts = producer.send_many(mails)
    assert [job.id for job in jobs_in(broker_url, "send.bulk")] == [receipt.job_id for receipt in receipts]
    assert {receipt.status for receipt in receipts} == {"queued"}


def test_one_bad_mail_among_many_stops_all_before_any_is_sent(producer, broker_url):
    mails = [{"to": ANA, "purpose": "newsletter", "template": "newsletter"} for _ in range(5)]
    mails[3]["to"] = "not an address"
    with pytest.raises(Rejected) as rejected:
        producer.send_many(mails)
    assert rejected.value.field == "3.to"
    assert "not an address" not in str(rejected.value)
    with pytest.raises(Rejected, match=r"^0: "):
        producer.send_many([{"to": ANA}])
    assert bodies_in(broker_url, "send.bulk") == []


GOOD = {"to": ANA, "purpose": "newsletter", "template": "newsletter"}


def test_an_expired_file_of_sealing_keys_rejects_and_a_new_one_is_followed(settings, sealed):
    sealed.write(expires=1)
    with Producer(settings) as producer:
        with pytest.raises(Rejected, match="expired") as rejected:
            producer.send(**GOOD)
        assert rejected.value.field == "sealing_keys"
        sealed.write(expires=time.time_ns() // 1_000_000 + 60_000)
        assert producer.send(**GOOD).status == "queued"


def test_a_producer_without_sealing_keys_does_not_start(settings):
    with pytest.raises(SettingsError, match="PREKLIC_SEALING_KEYS"):
        Producer(changed(settings, sealing_keys=None))


def test_threads_share_a_producer(producer, broker_url):
    receipts = []

    def send():
        for _ in range(20):
            receipts.append(producer.send(**GOOD))  # noqa: PERF401 -- threads interleave here

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {job.id for job in jobs_in(broker_url, "send.bulk")} == {receipt.job_id for receipt in receipts}
    assert len(receipts) == 160


def test_without_a_broker_it_is_unavailable_within_the_deadline(settings, free_port):
    with Producer(changed(settings, amqp_url=Wire(settings.amqp_url, free_port).url), deadline=0.5) as producer:
        begun = time.monotonic()
        with pytest.raises(Unavailable):
            producer.send(**GOOD)
        assert time.monotonic() - begun < 4


def test_without_a_broker_the_outbox_keeps_jobs_and_publishes_them_later(settings, free_port, tmp_path):
    wire = Wire(settings.amqp_url, free_port)
    away = changed(settings, amqp_url=wire.url, outbox=tmp_path / "outbox.sqlite")
    with Producer(away, deadline=0.5) as producer:
        stored = [producer.send(**GOOD) for _ in range(3)]
        assert {receipt.status for receipt in stored} == {"stored"}
        wire.mend()
        box = Outbox(away.outbox)
        until(lambda: len(box) == 0, 20, "the outbox is published")
        until(lambda: producer.send(**GOOD).status == "queued", 10, "jobs go straight again")
    wire.cut()
    ids = [job.id for job in jobs_in(settings.amqp_url, "send.bulk")]
    assert ids[:3] == [receipt.job_id for receipt in stored]


def test_what_waits_in_the_outbox_survives_the_process_and_goes_out_at_the_next_start(settings, free_port, tmp_path):
    wire = Wire(settings.amqp_url, free_port)
    away = changed(settings, amqp_url=wire.url, outbox=tmp_path / "outbox.sqlite")
    child = os.fork()
    if child == 0:
        receipt = Producer(away, deadline=0.2).send(**GOOD)
        (tmp_path / "id").write_text(receipt.job_id)
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    wire.mend()
    with Producer(away):
        found = until(lambda: jobs_in(settings.amqp_url, "send.bulk"), 20, "the job is published")
    wire.cut()
    assert [job.id for job in found] == [(tmp_path / "id").read_text()]


def test_a_forked_child_sends_on_a_connection_of_its_own(settings, producer, broker_url, tmp_path):
    first = producer.send(**GOOD)
    child = os.fork()
    if child == 0:
        receipt = producer.send(**GOOD)
        (tmp_path / "id").write_text(receipt.job_id)
        os._exit(0)
    os.waitpid(child, 0)
    last = producer.send(**GOOD)
    ids = [job.id for job in jobs_in(broker_url, "send.bulk")]
    assert sorted(ids) == sorted([first.job_id, (tmp_path / "id").read_text(), last.job_id])


def test_it_starts_from_the_environment(settings, sealed, monkeypatch, broker_url):
    monkeypatch.setenv("PREKLIC_AMQP_URL", broker_url)
    monkeypatch.setenv("PREKLIC_SEALING_KEYS", str(sealed.path))
    with Producer.from_env() as producer:
        assert isinstance(producer.send(**GOOD), Receipt)


def test_what_a_full_queue_refused_is_unavailable_and_void_in_the_log(producer, rabbit, vhost, broker_url):
    limit = {"pattern": r"^send\.bulk$", "definition": {"max-length": 1}, "apply-to": "queues"}
    rabbit.management.call("PUT", f"policies/{vhost}/full", limit)

    def refused():
        try:
            producer.send(**GOOD)
        except Unavailable as error:
            return "refused" in str(error)
        return False

    until(refused, 20, "the queue refuses")
    with pytest.raises(Unavailable):
        producer.send(**GOOD, idempotency_key="again")
    taken = {job.id for job in jobs_in(broker_url, "send.bulk")}
    logged = until(
        lambda: [entry for entry in entries(broker_url) if entry.void] and list(entries(broker_url)), 10, "log"
    )
    voided = {entry.job for entry in logged if entry.void}
    assert {entry.job for entry in logged} - voided == taken | {job_id_for(producer._drafts.producer, "send:again")}
    assert voided.isdisjoint(taken)
