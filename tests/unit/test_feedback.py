"""What mails that come back say: the corpus of real bounces, the RFCs' examples, and what strangers send."""

import time
import uuid

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bounced import DOMAIN, MESSAGE, OTHER, OURS, arf, away, dsn, leave, return_path, samples
from preklic_producers.feedback.heard import Aside, Ignored
from preklic_producers.feedback.judging import Door, door, judge
from preklic_producers.feedback.reports import Report
from preklic_shared.tokens import KEY_BYTES, TokenKeys

HERE = Door(MESSAGE)
STRANGER = TokenKeys({1: b"z" * KEY_BYTES}, 1)

# What their collector says of them: a warning, a refusal of us, or none of a delivery at all.
WARNINGS = {"dsn_05", "dsn_06", "dsn_07", "dsn_08", "dsn_17", "simple_03", "simple_21", "simple_22", "simple_28"}
WARNINGS |= {"simple_35", "simple_40"}
NO_REPORT = {"groupwise_03", "qmail_08", "sina_01"}
SAYS_FULL = {"hotpop_01", "newmailru_01", "qmail_02", "qmail_06", "simple_07", "simple_09", "simple_14", "simple_38"}
SAYS_FULL |= {"simple_45", "yahoo_02", "yahoo_04", "bounce_01", "dsn_01"}
SAYS_GONE = {
    "dsn_10",
    "dsn_12",
    "dsn_13",
    "exim_01",
    "postfix_01",
    "postfix_02",
    "qmail_03",
    "simple_26",
}
SAYS_GONE |= {"smtp32_04", "simple_37", "microsoft_01", "yahoo_03"}


@pytest.fixture(scope="module")
def judged():
    return {name: judge(raw, HERE, OURS) for name, raw in samples().items()}


def test_of_the_corpus_nearly_all_have_a_class_and_a_code(judged):
    reports = {name: one for name, one in judged.items() if isinstance(one, Report)}
    assert len(judged) == 117
    assert set(judged) - set(reports) == NO_REPORT
    assert len(reports) >= 0.95 * len(judged)
    assert all(one.message == MESSAGE and one.bounce and one.code for one in reports.values())
    assert {name for name, one in reports.items() if one.word == "deferred"} == WARNINGS
    assert {one.reason for one in judged.values() if isinstance(one, Aside)} == {"not_understood"}


@pytest.mark.parametrize(("names", "bounce"), [(SAYS_FULL, "soft"), (SAYS_GONE, "hard")])
def test_the_class_is_what_the_sample_says(judged, names, bounce):
    assert {name: judged[name].bounce for name in names} == dict.fromkeys(names, bounce)


@pytest.mark.parametrize(
    ("action", "status", "word", "bounce"),
    [
        ("failed", "5.1.1", "bounced", "hard"),
        ("failed", "5.2.2", "bounced", "soft"),
        ("failed", "5.7.26", "bounced", "policy"),
        ("failed", "4.4.7", "bounced", "soft"),
        ("delayed", "4.4.1", "deferred", "soft"),
        ("delivered", "2.0.0", "delivered", None),
        ("relayed", "2.1.5", "delivered", None),
    ],
)
def test_a_status_notification_is_read_by_its_action_and_code(action, status, word, bounce):
    assert judge(dsn(action, status, ""), HERE, OURS) == Report("smtp", word, MESSAGE, bounce, status)


def test_the_diagnostic_code_says_what_the_status_does_not():
    assert judge(dsn(status="5.0.0", diagnostic="smtp; 550 5.1.1 who?"), HERE, OURS).code == "5.1.1"
    assert judge(dsn(status="5.0.0", diagnostic="smtp; 550 user unknown"), HERE, OURS).bounce == "hard"


def test_an_internationalised_notification_is_read_too():
    raw = dsn().replace(b"message/delivery-status", b"message/global-delivery-status")
    assert judge(raw, HERE, OURS) == Report("smtp", "bounced", MESSAGE, "hard", "5.1.1")


@pytest.mark.attack(41, guard="preklic_shared.return_paths:same")
def test_an_address_without_our_seal_is_no_door():
    assert door(return_path(), OURS) == Door(MESSAGE)
    assert door(return_path().upper(), OURS) == Door(MESSAGE)
    assert door(leave(), OURS) == Door(MESSAGE, leaving=True)
    assert door(f"fbl@{DOMAIN}", OURS) == Door()
    forged = return_path(keys=STRANGER)
    for address in (forged, f"ana@{DOMAIN}", return_path().replace(DOMAIN, "other.si")):
        assert door(address, OURS) is None


@pytest.mark.attack(42, guard="preklic_producers.feedback.judging:_inside")
def test_what_else_a_bounce_names_does_not_matter():
    raw = dsn(returned=f"Return-Path: <{return_path(OTHER)}>\r\nMessage-ID: <{OTHER}@{DOMAIN}>")
    assert judge(raw, HERE, OURS).message == MESSAGE
    assert judge(raw, Door(), OURS).message == OTHER
    by_stranger = dsn(returned=f"Return-Path: <{return_path(OTHER, keys=STRANGER)}>\r\nMessage-ID: <{OTHER}@{DOMAIN}>")
    assert judge(by_stranger, Door(), OURS) == Aside("unmatched", by_stranger)


HOSTILE = {
    "too_many_parts": [
        b"".join(b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (n, n) for n in range(3_000)),
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n' + b"--b\r\n\r\n" * 100_000,
        b"Content-Type: message/rfc822\r\n\r\n" * 3_000,
    ],
    "too_many_words": [b"Subject: " + b"=?utf-8?q?a?= " * 20_000 + b"\r\n\r\n"],
}
LONG = {"too_large": b"x" * 20_000_000, "long_header": b"Subject: " + b"a" * 500_000 + b"\r\n\r\nfailed"}


@pytest.mark.attack(43, guard="preklic_producers.feedback.reading:_MOST")
@pytest.mark.parametrize("reason", HOSTILE)
def test_a_mail_beyond_the_limits_is_set_aside_at_once(reason):
    for raw in HOSTILE[reason]:
        begun = time.monotonic()
        said = judge(raw, HERE, OURS)
        assert time.monotonic() - begun < 4
        assert isinstance(said, Aside)
        assert said.reason == reason


@pytest.mark.parametrize("reason", LONG)
def test_a_mail_that_is_too_long_is_set_aside(reason):
    assert judge(LONG[reason], HERE, OURS) == Aside(reason, LONG[reason])


@pytest.mark.attack(44, guard="preklic_producers.feedback.judging:_inside")
def test_a_complaint_counts_by_the_seal_of_the_mail_it_shows():
    ours = f"Return-Path: <{return_path()}>\r\nSubject: Novice\r\n"
    assert judge(arf(returned=ours), Door(), OURS) == Report("smtp", "complained", MESSAGE)
    assert judge(arf("opt-out", returned=ours), Door(), OURS) == Report("smtp", "unsubscribed", MESSAGE)
    assert judge(arf("not-spam", returned=ours), Door(), OURS) == Ignored("feedback")
    assert judge(arf(), HERE, OURS) == Report("smtp", "complained", MESSAGE)
    forged = arf(returned=f"Return-Path: <{return_path(keys=STRANGER)}>\r\nTo: ema@primer.si\r\n")
    assert judge(forged, Door(), OURS) == Aside("unmatched", forged)


@pytest.mark.attack(45, guard="preklic_producers.feedback.judging:automatic")
def test_somebody_who_is_away_has_said_nothing():
    assert judge(away(), HERE, OURS) == Ignored("no_report")


def test_a_letter_to_an_open_door_is_not_kept():
    letter = b"From: bor@primer.si\r\nSubject: Hello\r\n\r\nBuy this.\r\n"
    assert judge(letter, Door(), OURS) == Ignored("no_report")
    assert judge(letter, HERE, OURS) == Aside("not_understood", letter)


@pytest.mark.attack(46, guard="preklic_shared.return_paths:same")
def test_a_mailed_unsubscribe_is_of_whom_its_address_names():
    raw = b"From: bor@primer.si\r\nSubject: please stop\r\n\r\n"
    at = door(leave(), OURS)
    assert judge(raw, at, OURS) == Report("smtp", "unsubscribed", MESSAGE)
    assert door(leave(keys=STRANGER), OURS) is None


pieces = [dsn(), arf(), away(), b"--b\r\n", b"\r\n\r\n", b"Content-Type: message/delivery-status\r\n", b"\xff"]


@given(st.lists(st.sampled_from(pieces) | st.binary(max_size=200), max_size=12).map(b"".join))
def test_whatever_comes_has_an_answer(raw):
    assert isinstance(judge(raw, HERE, OURS), Report | Ignored | Aside)


@given(
    st.uuids(), st.sampled_from(["{}", "Message-ID: <{}@lucrum.example>", "> --=_{}--", "https://lucrum.example/?{}"])
)
@example(uuid.UUID("01a21dee-a450-7453-b550-8553d7f0c550"), "Message-ID: <{}@lucrum.example>")
def test_an_id_in_what_somebody_quotes_is_no_reply_code(number, line):
    for text in (str(number), number.hex):
        raw = b"From: ema@primer.si\r\nSubject: Vpr\r\n\r\n" + line.format(text).encode() + b"\r\n"
        assert judge(raw, HERE, OURS) == Aside("not_understood", raw)
