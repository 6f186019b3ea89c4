import datetime as dt

from preklic_shared.ids import is_id, new_id
from preklic_workers.burials import letter_from

HEADERS = {"reason": "clock", "queue": "send.now", "fingerprint": "f", "attempts": 2, "at": 1_700_000_000_000}


def test_a_job_that_dies_twice_leaves_two_letters_and_a_repeated_delivery_one():
    job = new_id()
    first = letter_from(b"[", job, HEADERS)
    assert letter_from(b"[", job, HEADERS) == first
    second = letter_from(b"[", job, HEADERS | {"at": HEADERS["at"] + 1})
    assert (second.job, first.job) == (job, job)
    assert second.id != first.id


def test_what_has_no_id_gets_one():
    assert is_id(letter_from(b"[", None, HEADERS).job)
    assert is_id(letter_from(b"[", "ana@primer.example", HEADERS).job)


def test_what_the_broker_buried_says_so():
    at = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
    letter = letter_from(b"[", new_id(), {"x-death": [{"reason": "delivery_limit", "queue": "track", "time": at}]})
    assert (letter.reason, letter.queue, letter.at) == ("broker_delivery_limit", "track", at)
    assert letter.fingerprint == "broker_delivery_limit.track"
