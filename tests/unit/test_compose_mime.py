import email
import email.policy
import uuid

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from preklic_workers.compose import mime
from preklic_workers.compose.mime import BadContent, Letter, Mailbox, assemble
from preklic_workers.compose.verify import split_header, verify
from preklic_workers.smtp.conversation import stuff

GUARD = "preklic_workers.compose.mime:"
# Python's parser leaves the blanks between two encoded words of a phrase standing, against RFC 2047 6.2.
WITHOUT_BLANKS = str.maketrans("", "", " ")
CONTROLS = ["\r", "\n", "\r\n", "\0", "\u2028", "\u2029", "\x85", "\x0b", "\x1b"]
LINE_ENDS = st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"])


def letter(**changed):
    fields = {
        "job": str(uuid.uuid4()),
        "sender": Mailbox("novice@lucrum.example", "LUCRUM"),
        "recipient": Mailbox("ana@primer.si"),
        "subject": "Novice",
        "at": 1_764_000_000.0,
        "bounce": "bounce@lucrum.example",
        "unsubscribe": "https://gateway.example/u/" + "t" * 120,
        "list_id": "novice.lucrum.example",
        "feedback": "newsletter:preklic",
    }
    return Letter(**(fields | changed))


def assembled(text="besedilo", html="<p>besedilo</p>", urls=(), **changed):
    return assemble(letter(**changed), text, html, urls)


def parsed(mail):
    return email.message_from_bytes(mail.raw, policy=email.policy.default)


def test_a_mail_has_the_header_that_was_planned_and_both_parts():
    mail = assembled("Žiga\n.\n", "<p>Žiga</p>", automatic=True, reply_to=Mailbox("pomoc@lucrum.example"))
    assert verify(mail) is None
    message = parsed(mail)
    assert message["To"] == "ana@primer.si"
    assert message["Message-ID"].endswith("@lucrum.example>")
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message["List-Id"] == "<novice.lucrum.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Reply-To"] == "pomoc@lucrum.example"
    assert message["Date"].datetime.timestamp() == 1_764_000_000
    assert message.get_body(("plain",)).get_content().splitlines() == ["Žiga", "."]
    assert message.get_body(("html",)).get_content().strip() == "<p>Žiga</p>"
    assert message.defects == []


@pytest.mark.attack(21, guard=GUARD + "refuse_controls")
@pytest.mark.parametrize("sign", CONTROLS)
def test_a_control_in_subject_or_name_is_refused_with_the_field(sign):
    for field, changed in (
        ("Subject", {"subject": f"Novice{sign}Bcc: x@evil.example"}),
        ("From", {"sender": Mailbox("a@lucrum.example", f"LUCRUM{sign}x")}),
    ):
        with pytest.raises(BadContent) as caught:
            assembled(**changed)
        assert caught.value.field == field


@pytest.mark.attack(21, guard=GUARD + "check_mailbox")
@pytest.mark.attack(23, guard=GUARD + "check_mailbox")
@pytest.mark.parametrize(
    "address",
    [
        "evil@y.si> <a@x.si",
        "a@x.si, b@y.si",
        "a@x.si;b@y.si",
        "a@x.si\r\nBcc: b@y.si",
        "=?utf-8?q?bob=40evil.com=3E=2C?=@x.si",
        "a@x.si\u2028",
        "",
        "a",
    ],
)
def test_a_header_takes_exactly_one_mailbox(address):
    with pytest.raises(BadContent) as caught:
        assembled(recipient=Mailbox(address))
    assert caught.value.field == "To"


@pytest.mark.attack(30, guard=GUARD + "needs_words")
@pytest.mark.parametrize(
    "subject",
    ["=?UTF-8?Q?=0A?=Bcc: x@evil.example", "Novice =?utf-8?b?DQpCY2M6IHhAZXZpbA==?=", " Novice"],
)
def test_what_looks_encoded_arrives_as_it_was_written(subject):
    mail = assembled(subject=subject)
    assert verify(mail) is None
    assert parsed(mail)["Subject"] == subject
    assert parsed(mail)["Bcc"] is None
    assert len(parsed(mail).keys()) == len(mail.names)


@pytest.mark.attack(30, guard=GUARD + "needs_words")
@given(st.text(LINE_ENDS, max_size=300))
def test_no_subject_changes_the_header(subject):
    mail = assembled(subject=subject)
    assert verify(mail) is None
    assert len(parsed(mail).keys()) == len(mail.names)
    assert parsed(mail)["Subject"] == subject


@pytest.mark.attack(29, guard=GUARD + "phrase")
@pytest.mark.parametrize(
    "name",
    ['Ana "Bo" Kos', "Kos, Ana", "Ana <x@evil.example>", "a" * 300, "č" * 300, "Ana\\", '"', "a@b, c@d", "(Ana)"],
)
def test_a_display_name_leaves_one_recipient(name):
    mail = assembled(recipient=Mailbox("ana@primer.si", name))
    assert verify(mail) is None
    (only,) = parsed(mail)["To"].addresses
    assert only.addr_spec == "ana@primer.si"
    assert only.display_name.translate(WITHOUT_BLANKS) == name.translate(WITHOUT_BLANKS)


@pytest.mark.attack(29, guard=GUARD + "phrase")
@given(st.text(LINE_ENDS, min_size=1, max_size=300))
def test_no_display_name_adds_a_recipient(name):
    mail = assembled(recipient=Mailbox("ana@primer.si", name))
    assert verify(mail) is None
    assert [box.addr_spec for box in parsed(mail)["To"].addresses] == ["ana@primer.si"]


@pytest.mark.attack(31, guard=GUARD + "url")
@pytest.mark.parametrize("length", [60, 500, 950])
def test_a_one_click_url_stands_verbatim_on_one_line(length):
    target = "https://gateway.example/u/" + "t" * length
    mail = assembled(unsubscribe=target)
    assert verify(mail) is None
    assert f"\r\nList-Unsubscribe: <{target}>\r\n".encode() in mail.raw


@pytest.mark.attack(31, guard=GUARD + "url")
@pytest.mark.parametrize(
    "target", ["https://gateway.example/u/" + "t" * 2000, "https://g.si/ x", "https://g.si/>x", "ftp://g.si/"]
)
def test_a_one_click_url_that_does_not_fit_is_refused_at_build(target):
    with pytest.raises(BadContent) as caught:
        assembled(unsubscribe=target)
    assert caught.value.field == "List-Unsubscribe"


@pytest.mark.attack(32, guard=GUARD + "quoted")
@pytest.mark.parametrize("body", ["x" * 5000, ".\n.\n..\n.", "a\rb\nc\r\nd", "č" * 3000, "", "x \ny\t\n", "a\0b"])
def test_a_hostile_body_leaves_crlf_and_short_lines_and_no_lone_dot(body):
    mail = assembled(body, body)
    assert verify(mail) is None
    assert max(map(len, mail.raw.split(b"\r\n"))) <= 998
    wire = stuff(mail.raw)
    assert wire.count(b"\r\n.\r\n") == 1
    assert wire.endswith(b"\r\n.\r\n")
    expected = body.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")
    assert parsed(mail).get_body(("plain",)).get_content().replace("\r\n", "\n") == f"{expected}\n"


@pytest.mark.attack(32, guard=GUARD + "quoted")
@given(st.text(st.characters(exclude_categories=["Cs"])))
@example("0000000" + "\x1f" * 3 + "\x80" * 10 + "\U00010000" * 6 + ".")  # a soft line break before the dot
def test_any_text_survives_quoted_printable(body):
    lines = mime.quoted(body).split(b"\r\n")
    assert all(len(line) <= 76 and line != b"." and b"\n" not in line and b"\r" not in line for line in lines)


def test_a_local_part_beyond_ascii_asks_for_smtputf8():
    mail = assembled(recipient=Mailbox("čšž@primer.si"))
    assert mail.smtputf8
    assert verify(mail) is None
    assert "\r\nTo: čšž@primer.si\r\n".encode() in mail.raw
    assert not assembled().smtputf8


def test_folded_words_unfold_to_the_header_that_was_planned():
    mail = assembled(subject="ž" * 200)
    headers = split_header(mail.raw.partition(b"\r\n\r\n")[0])
    assert tuple(name for name, _ in headers) == mail.names
    assert parsed(mail)["Subject"] == "ž" * 200
