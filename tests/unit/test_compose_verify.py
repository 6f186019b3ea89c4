import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from preklic_workers.compose.mime import Letter, Mailbox, assemble
from preklic_workers.compose.verify import has_long_line, split_header, verify

UNSUBSCRIBE = "https://gateway.example/u/token"
URL = "https://lucrum.example/?a=1&b=2"
LETTER = Letter(
    job="0190b5a0-0000-7000-8000-000000000001",
    sender=Mailbox("novice@lucrum.example", "LUCRUM"),
    recipient=Mailbox("ana@primer.si", "Ana"),
    subject="Novice",
    at=1_764_000_000.0,
    bounce="bounce@lucrum.example",
    unsubscribe=UNSUBSCRIBE,
)
MAIL = assemble(LETTER, "besedilo", '<a href="https://lucrum.example/?a=1&amp;b=2">x</a>', (URL,))


def test_the_mail_as_assembled_passes():
    assert verify(MAIL) is None


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (b"Subject: ", b"Bcc: x@evil.example\r\nSubject: ", "header names"),
        (b"Subject: Novice", b"Subject: Novice\r\nTo: b@evil.example", "header names"),
        (b"Subject: Novice\r\n", b"", "header names"),
        (b"Subject: Novice", b"Subject: Novice\nBcc: x@evil.example", "line ends"),
        (b"Subject: Novice", b"Subject: Novice\rBcc: x@evil.example", "line ends"),
        (b"Subject: Novice", b"Subject: " + b"x" * 999, "line length"),
        (b"Subject: Novice", b"Subject Novice", "header"),
        (b"Ana <ana@primer.si>", b"Ana <bob@primer.si>", "to"),
        (b"Ana <ana@primer.si>", b"bob@evil.example, Ana <ana@primer.si> (x)", "to"),
        (b"/u/token>", b"/u/other>", "one-click"),
        (b"<https://gateway.example/u/token>", b"=?utf-8?q?token?=", "one-click"),
        (b"One-Click", b"Two-Clicks", "one-click"),
        (b"besedilo", b"besedilo\r\n.", "lone dot"),
        (b"a=3D1", b"a=3D2", "url"),
        (b"\r\n\r\nbesedilo", b"\r\n\r\n--=_0190b5a0000070008000000000000001\r\n\r\nbesedilo", "parts"),
        (b"boundary=", b"limit=", "parts"),
    ],
)
def test_every_change_of_the_bytes_is_named(old, new, fault):
    assert old in MAIL.raw
    assert verify(replace(MAIL, raw=MAIL.raw.replace(old, new, 1))) == fault


@given(st.lists(st.integers(0, 1005) | st.sampled_from([997, 998, 999]), max_size=6))
def test_a_line_that_is_too_long_is_found_wherever_it_stands(lengths):
    raw = b"".join(b"x" * length + b"\r\n" for length in lengths)
    assert has_long_line(raw) == any(length > 998 for length in lengths)


def test_a_list_header_that_was_not_planned_is_found():
    assert verify(replace(MAIL, unsubscribe=None)) == "one-click"


def test_a_url_inside_a_longer_one_does_not_count():
    mail = assemble(LETTER, "x", '<a href="https://lucrum.example/longer">x</a>', ("https://lucrum.example/",))
    assert verify(mail) == "url"


@pytest.mark.parametrize("head", [b" folded first", b"No colon", b"Bad name!: x", b"A: b\r\n \r\nC: d"])
def test_a_header_that_is_none_does_not_split(head):
    assert split_header(head) is None
