"""Found by review: what a website's headers do to the dead letters, and a full queue to the outbox."""

import datetime as dt

import pytest

from preklic_producers.carrier import drain
from preklic_producers.outbox import BATCH, Outbox, Parcel
from preklic_shared.ids import is_id, new_id
from preklic_shared.publication import Refused, Unavailable
from preklic_workers.burials import letter_from

AT = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
# A website may set an expiration on its own job: then the broker buries it with the website's headers.
BURIED = {"x-death": [{"reason": "expired", "queue": "send.now", "time": AT}]}


@pytest.mark.parametrize(
    "headers",
    [
        {"attempts": "many"},
        {"at": 2**62},
        {"at": -(2**62)},
        {"reason": "ana@primer.si", "queue": "čebela", "fingerprint": "\x1b[2J", "field": "ana@primer.si"},
    ],
)
def test_what_a_website_wrote_is_not_believed_of_its_dead_letter(headers):
    letter = letter_from(b"[", new_id(), headers | BURIED)
    assert (letter.reason, letter.queue, letter.fingerprint) == (
        "broker_expired",
        "send.now",
        "broker_expired.send.now",
    )
    assert (letter.attempts, letter.at, letter.field) == (0, AT, "")


@pytest.mark.parametrize("death", [[], [7], "x", [{"reason": 7, "queue": b"\xff", "time": "x"}], {"reason": "x"}])
def test_an_odd_death_is_a_dead_letter_all_the_same(death):
    letter = letter_from(b"[", b"\xff\xfe", {"x-death": death, "attempts": [], "at": 2**62, "queue": "čebela"})
    assert is_id(letter.job)
    assert letter.queue.isascii()


def test_what_the_broker_refuses_holds_no_withdrawal_back(tmp_path):
    box = Outbox(tmp_path / "outbox.sqlite")
    full = [Parcel(f"mail-{number}", "send_bulk", b"x") for number in range(BATCH)]
    box.put([*full, Parcel("no", "revoke", b"x")])
    published = []

    def publish_many(publications):
        listed = list(publications)
        published.extend(one.message_id for one in listed if one.routing_key == "revoke")
        return {index: Refused("queue full") for index, one in enumerate(listed) if one.routing_key != "revoke"}

    assert not drain(box, publish_many)
    assert published == ["no"]
    assert len(box) == BATCH
    box.close()


def test_a_broker_that_is_away_is_asked_for_one_page_alone(tmp_path):
    box = Outbox(tmp_path / "outbox.sqlite")
    box.put([Parcel(f"job-{number}", "revoke", b"x") for number in range(2 * BATCH)])
    pages = []

    def publish_many(publications):
        pages.append(len(list(publications)))
        return dict.fromkeys(range(pages[-1]), Unavailable("away"))

    assert not drain(box, publish_many)
    assert pages == [BATCH]
    box.close()
