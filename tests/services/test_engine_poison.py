"""Bodies that are no jobs: each is dead with its reason, and the worker runs the next job within a second."""

import json
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from preklic_shared import wire
from preklic_shared.ids import is_id, new_id
from preklic_shared.jobs import RevokePayload
from preklic_shared.sealing import Opener, Sealer
from preklic_workers.outcomes import Done
from queueing import HOUR, envelope, now, publication, queues_of, revoke, track, working
from waiting import auntil
from yardstick import heavy_parsing, work


async def dead_letter(queues, body, queue="track", **properties):
    """Publish a body and wait for its dead letter."""
    queues.put(body, queue, **properties)
    await auntil(lambda: queues.ready("dead"), what="a dead letter")
    ((properties, dead_body),) = queues.take("dead")
    return properties, dead_body


async def expect_dead(url, queues, cases, queue="track", **options):
    """Each of `cases` (body, reason, field) is dead for that; then a good job runs within a second."""
    seen = []

    async def record(opened):
        seen.append(opened.job.id)
        return Done()

    async with working(url, {"track": record, "revoke": record}, **options):
        for body, reason, field in cases:
            properties, dead_body = await dead_letter(queues, body, queue)
            assert (properties.headers["reason"], properties.headers["field"]) == (reason, field), body[:120]
            assert properties.headers["queue"] == queue
            assert properties.headers["attempts"] == 1
            assert len(properties.headers["fingerprint"]) == 12
            assert abs(properties.headers["at"] - now()) < 10_000
            assert is_id(properties.message_id)
            assert dead_body == body[: wire.MAIL_LIMIT]
        assert seen == []
        good, began = track(), time.monotonic()
        queues.put(wire.encode(good, "track"))
        await auntil(lambda: seen == [good.id], what="the next job")
        assert time.monotonic() - began < 4


def spoiled(**changes):
    return json.dumps(envelope(**changes)).encode()


@pytest.mark.attack(1, guard="preklic_shared.wire:check_shape")
async def test_what_is_no_envelope_is_dead(url, queues):
    bodies = [b"\xff\xfe\x00", wire.encode(track(), "track")[:-40], b"[]", b"null", b'"text"', b"7", b"", b"{}"]
    utf16 = json.dumps(envelope()).encode("utf-16")
    await expect_dead(
        url, queues, [(body, "bad_envelope", "queue_name" if body == b"{}" else "") for body in [*bodies, utf16]]
    )


@pytest.mark.attack(2, guard="preklic_shared.wire:check_shape")
async def test_options_null_are_dead(url, queues):
    await expect_dead(url, queues, [(spoiled(options=None), "bad_options", "options")])


@pytest.mark.attack(3, guard="preklic_shared.wire:check_home")
async def test_a_foreign_queue_name_is_dead(url, queues):
    await expect_dead(
        url,
        queues,
        [
            (spoiled(queue_name="revoke"), "wrong_queue", "queue_name"),
            (spoiled(queue_name="x"), "wrong_queue", "queue_name"),
        ],
    )


@pytest.mark.attack(4, guard="preklic_shared.wire:check_options")
async def test_no_option_is_taken_from_a_message(url, queues):
    options = [
        {"throws": "x"},
        {"pipe_target": {"queue_name": "track", "actor_name": "track"}},
        {"on_retry_exhausted": "revoke"},
        {"time_limit": 1},
        {"max_age": 1},
        {"max_retries": 10**9},
        {"eta": 1},
    ]
    await expect_dead(url, queues, [(spoiled(options=option), "bad_options", "options") for option in options])


@pytest.mark.attack(5, guard="preklic_shared.wire:check_actor")
async def test_an_unknown_actor_is_dead(url, queues):
    await expect_dead(
        url,
        queues,
        [
            (spoiled(actor_name="os.system"), "unknown_actor", "actor_name"),
            # Known, but nobody in this worker takes it.
            (spoiled(actor_name="revoke"), "wrong_queue", "queue_name"),
        ],
    )


@pytest.mark.attack(5, guard="preklic_shared.wire:check_home")
async def test_an_actor_of_another_queue_is_dead(url, queues):
    await expect_dead(
        url, queues, [(spoiled(job=revoke(), actor="revoke", queue_name="track"), "wrong_queue", "queue_name")]
    )


@pytest.mark.attack(6, guard="preklic_shared.wire:convert")
async def test_arguments_of_the_wrong_shape_name_the_field_and_never_the_value(url, queues):
    job = envelope()["kwargs"]["job"]
    jobs = [
        (job | {"person": "ana@primer.si"}, "job.person"),
        (job | {"event": 7}, "job.event"),
        (job | {"surprise": "ana@primer.si"}, "job.surprise"),
        ({name: value for name, value in job.items() if name != "message"}, "job.message"),
        (job | {"link": 10**6}, "job.link"),
    ]
    cases = [(spoiled(kwargs={"job": job}), "malformed", field) for job, field in jobs]
    await expect_dead(url, queues, cases)


@pytest.mark.attack(6, guard="preklic_shared.wire:check_arguments")
async def test_other_arguments_than_one_job_are_dead(url, queues):
    job = envelope()["kwargs"]["job"]
    await expect_dead(
        url,
        queues,
        [
            (spoiled(args=["ana@primer.si"]), "malformed", "args"),
            (spoiled(kwargs={"job": job, "more": 1}), "malformed", "kwargs"),
            (spoiled(kwargs={"job": "text"}), "malformed", "kwargs"),
        ],
    )


@pytest.mark.attack(7, guard="preklic_shared.wire:check_size")
async def test_a_body_of_ten_megabytes_is_dead_and_only_its_beginning_kept(url, queues):
    padding = json.dumps(envelope())[:-1].encode() + b" " * 10_000_000 + b"}"
    await expect_dead(url, queues, [(padding, "too_large", "")])


@pytest.mark.attack(7, guard="preklic_shared.wire:check_names")
async def test_json_that_two_parsers_could_read_differently_is_dead(url, queues):
    good = wire.encode(track(), "track")
    bodies = [
        good.replace(b'"args":[]', b'"args":[],"args":[]'),
        good.replace(b'"args":[]', b'"args":' + b"[" * 100_000 + b"]" * 100_000),
        good.replace(b'"args":[]', b'"args":[' + b"9" * 5000 + b"]"),
        good.replace(b'"args":[]', b'"args":[NaN]'),
        good.replace(b'"args":[]', b'"args":[Infinity]'),
    ]
    await expect_dead(url, queues, [(body, "bad_envelope", "") for body in bodies])


async def test_the_heaviest_bodies_are_judged_within_50_ms_of_work():
    bodies = [
        b" " * 10_000_000,
        b"[" * 100_000,
        b'{"a":' * 40_000,
        b"9" * 250_000,
        json.dumps(envelope(kwargs={"job": {str(n): n for n in range(20_000)}})).encode()[: wire.BODY_LIMIT],
    ]
    for body in bodies:
        assert work(lambda refused=body: refuse(refused)) < max(0.05, 3 * heavy_parsing()), body[:20]


def refuse(body):
    with pytest.raises(wire.Malformed):
        wire.decode(body, "track")


@pytest.mark.attack(8, guard="preklic_workers.runtime:check_clock")
async def test_impossible_times_and_times_ahead_are_dead(url, queues):
    job = envelope()["kwargs"]["job"]
    cases = [
        (spoiled(kwargs={"job": job | {"expires": 2**62}}), "malformed", "job.expires"),
        (spoiled(kwargs={"job": job | {"at": -1}}), "malformed", "job.at"),
        (spoiled(kwargs={"job": job | {"at": "2026-01-01"}}), "malformed", "job.at"),
        (spoiled(kwargs={"job": job | {"at": 1e12}}), "malformed", "job.at"),
    ]
    # At last the one that only the clock can refuse; the envelope's id has to be the job's.
    ahead = track(at=now() + 6 * 60_000)
    await expect_dead(url, queues, [*cases, (wire.encode(ahead, "track"), "clock", "job.at")])


@pytest.mark.attack(8, guard="preklic_workers.runtime:bounded")
async def test_a_withdrawal_from_a_fast_clock_holds_from_now_and_an_expired_job_says_so(url):
    seen = {}

    async def record(opened):
        seen[opened.job.id] = opened
        return Done()

    fast, late, soon = revoke(at=now() + HOUR), track(expires=now() - 1), track(at=now() + 4 * 60_000)
    async with working(url, {"track": record, "revoke": record}) as engine:
        await engine.publisher.publish(publication(fast, "revoke"))
        await engine.publisher.publish(publication(late))
        await engine.publisher.publish(publication(soon))
        await auntil(lambda: len(seen) == 3)
    assert seen[fast.id].job.at <= now()
    assert seen[late.id].expired
    assert not seen[fast.id].expired
    assert not seen[soon.id].expired


@pytest.mark.attack(12, guard="preklic_workers.runtime:unseal")
async def test_sealed_to_a_key_that_is_gone_is_dead_and_the_worker_lives(url, queues):
    kept, gone = X25519PrivateKey.generate(), X25519PrivateKey.generate()
    sealer = Sealer({"revoke": ("gone", gone.public_key())}, now() + HOUR)
    job = revoke(person=None, key="gone", sealed="QUJD")
    sealed = sealer.seal("revoke", job.header(), RevokePayload(address="ana@primer.si"))
    job = revoke(id=job.id, at=job.at, expires=job.expires, person=None, key="gone", sealed=sealed)
    body = wire.encode(job, "revoke")
    await expect_dead(url, queues, [(body, "key_gone", "key")], queue="revoke", opener=Opener({"kept": kept}))


@pytest.mark.attack(10, guard="preklic_workers.runtime:unseal")
async def test_a_header_edited_after_sealing_is_tampered(url, queues):
    private = X25519PrivateKey.generate()
    sealer = Sealer({"revoke": ("k", private.public_key())}, now() + HOUR)
    job = revoke(person=None, key="k", sealed="QUJD")
    sealed = sealer.seal("revoke", job.header(), RevokePayload(address="ana@primer.si"))
    edited = envelope(job, "revoke")
    edited["kwargs"]["job"] |= {"sealed": sealed, "reason": "edited"}
    body = json.dumps(edited).encode()
    await expect_dead(url, queues, [(body, "tampered", "sealed")], queue="revoke", opener=Opener({"k": private}))


async def test_a_sealed_job_reaches_its_handler_opened(url, queues):
    private = X25519PrivateKey.generate()
    sealer = Sealer({"revoke": ("k", private.public_key())}, now() + HOUR)
    job = revoke(person=None, key="k", sealed="QUJD")
    whole = envelope(job, "revoke")
    whole["kwargs"]["job"]["sealed"] = sealer.seal("revoke", job.header(), RevokePayload(address="ana@primer.si"))
    seen = []

    async def record(opened):
        seen.append(opened.payload)
        return Done()

    async with working(url, {"revoke": record}, opener=Opener({"k": private})):
        queues.put(json.dumps(whole).encode(), "revoke")
        await auntil(lambda: seen)
    assert seen == [RevokePayload(address="ana@primer.si")]


async def test_a_website_speaks_only_for_itself(url, rabbit, vhost):
    with queues_of(url) as queues:
        name = f"website.{new_id()}"
        rabbit.management.add_user(name, "password")
        rabbit.management.call(
            "PUT", f"permissions/{vhost}/{name}", {"configure": "^$", "write": "^jobs$", "read": "^$"}
        )
        try:
            with queues_of(rabbit.amqp_url(vhost, name, "password")) as site:
                seen = []

                async def record(opened):
                    seen.append((opened.job.producer, opened.published_by))
                    return Done()

                async with working(url, {"track": record}):
                    site.put(wire.encode(track(producer="website.other"), "track"), user_id=name)
                    await auntil(lambda: queues.ready("dead"))
                    site.put(wire.encode(track(producer=name), "track"), user_id=name)
                    await auntil(lambda: seen)
        finally:
            rabbit.management.delete_user(name)
        ((properties, _),) = queues.take("dead")
        assert (properties.headers["reason"], properties.headers["by"]) == ("impostor", name)
        assert seen == [(name, name)]
