"""What a worker of `revoke` may say about the queue's head."""

import datetime as dt

from preklic_workers.progress import Progress

NOON = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)


def at(seconds):
    return NOON + dt.timedelta(seconds=seconds)


def test_an_empty_queue_with_nothing_in_hand_is_worked_off():
    assert Progress().upto(NOON, 0) == NOON


def test_what_is_in_hand_and_not_closed_holds_it_back_until_it_is():
    progress = Progress()
    progress.took("first", at(-3600), at(1))
    progress.took("second", at(2), at(3))
    assert progress.upto(at(90), 0) == at(1)
    progress.closed("first")
    assert progress.upto(at(91), 0) == at(3)
    progress.closed("second")
    progress.closed("second")
    assert progress.upto(at(92), 0) == at(92)


def test_a_queue_that_is_never_empty_is_known_by_what_was_taken_last():
    progress = Progress()
    assert progress.upto(at(0), 0) == at(0)
    assert progress.upto(at(70), 5) == at(0)
    progress.took("one", at(65), at(71))
    progress.closed("one")
    assert progress.upto(at(72), 5) == at(65)


def test_an_old_one_from_a_tier_does_not_make_a_queue_old_that_was_empty_just_now():
    progress = Progress()
    progress.upto(at(10), 0)
    progress.took("old", at(-9000), at(11))
    progress.closed("old")
    assert progress.upto(at(12), 1) == at(10)


def test_a_queue_that_nobody_ever_saw_empty_or_moving_is_as_old_as_can_be():
    assert at(0) - Progress().upto(at(0), 1) > dt.timedelta(days=365)


def test_a_clock_ahead_makes_nothing_younger_than_now():
    progress = Progress()
    progress.took("ahead", at(500), at(0))
    progress.closed("ahead")
    assert progress.upto(at(1), 3) == at(1)
