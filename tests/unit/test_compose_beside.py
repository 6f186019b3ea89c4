"""Files that go out with a mail and images inside it: what is allowed, and that they arrive octet for octet."""

import email
import email.policy
import json
import os

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from preklic_producers.drafts import Drafter
from preklic_producers.seals import Seals
from preklic_shared import wire
from preklic_shared.addresses import parse
from preklic_shared.attachments import MAX_OCTETS, TYPES, Attachment, fault, name_fault
from preklic_shared.jobs import SendPayload
from preklic_workers.compose import images
from preklic_workers.compose.composer import NotComposed
from preklic_workers.compose.content import TemplateError
from preklic_workers.compose.mails import Beside
from preklic_workers.compose.parts import attached, part
from preklic_workers.compose.reading import read
from preklic_workers.compose.templates import Templates
from preklic_workers.compose.trial import Trial
from preklic_workers.compose.verify import verify
from producing import sealing
from sending import DATA, HOUSE, REGISTRY, composer, send_job
from unit.test_compose_composer import PERSON, TO
from unit.test_compose_mime import assemble, letter
from unit.test_compose_templates import folder
from unit.test_compose_text import _only
from yardstick import heavy_parsing, work

COMPOSER = composer()
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 3
PDF = Attachment(name="Račun št. 17.pdf", type="application/pdf", content=b"%PDF-1.7\r\n.\r\n\0\xff" * 40)
NAMES = st.builds(
    "{}.{}".format,
    st.text(min_size=1, max_size=70).filter(lambda text: name_fault(text + "x") is None),
    st.sampled_from(sorted(TYPES)),
).filter(lambda name: name_fault(name) is None)


def composed(*files):
    payload = SendPayload(to=TO.text, data=DATA["payment"], attachments=list(files))
    return COMPOSER.compose(send_job("payment"), payload, REGISTRY.get("payment"), PERSON, TO)


def files_of(mail):
    message = email.message_from_bytes(mail.raw, policy=email.policy.default)
    return [
        (one.get_filename(), one.get_content_type(), one.get_payload(decode=True)) for one in message.iter_attachments()
    ]


def test_a_file_arrives_octet_for_octet_and_the_text_as_without_it():
    mail = composed(PDF, Attachment(name="plain.txt", type="text/plain", content=b"a\n.\nb"))
    assert files_of(mail) == [
        ("Račun št. 17.pdf", "application/pdf", PDF.content),
        ("plain.txt", "text/plain", b"a\n.\nb"),
    ]
    assert "2026-17" in read(mail).text
    assert mail.names.count("Content-Type") == 1


@given(st.lists(st.tuples(NAMES, st.binary(max_size=400)), min_size=1, max_size=4))
def test_any_name_and_any_octets_arrive_whole(files):
    planned = [(name, TYPES[name.rpartition(".")[2].lower()], content) for name, content in files]
    beside = Beside(attachments=attached([Attachment(name=n, type=t, content=c) for n, t, c in planned]))
    mail = assemble(letter(), "besedilo", "<p>besedilo</p>", (), beside)
    assert verify(mail) is None
    assert files_of(mail) == planned
    assert max(map(len, mail.raw.split(b"\r\n"))) <= 998


@pytest.mark.attack(21, guard="preklic_shared.attachments:name_fault")
@pytest.mark.parametrize(
    "name",
    [
        "../a.pdf",
        "a/b.pdf",
        "a\\b.pdf",
        "a\r\nBcc: x@y.si.pdf",
        "a\0.pdf",
        "\u202efdp.exe.pdf",
        'a".pdf',
        " .pdf",
        "\xa0.pdf",
        "a\u2028b.pdf",
        "x" * 90 + ".pdf",
    ],
)
def test_a_name_that_hides_something_is_refused(name):
    assert composed(replace_name(PDF, name)) == NotComposed("bad_content", "attachments.0.name")


def replace_name(file, name):
    return msgspec.structs.replace(file, name=name)


@pytest.mark.attack(33, guard="preklic_shared.attachments:type_fault")
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.exe", "application/pdf"),
        ("a.pdf", "application/x-msdownload"),
        ("a.html", "text/html"),
        ("a.pdf.js", "text/javascript"),
        ("a", "text/plain"),
        ("a.svg", "image/svg+xml"),
        ("a.pdf", 'application/pdf"; x="'),
    ],
)
def test_what_a_mail_program_could_run_is_refused(name, kind):
    assert composed(Attachment(name=name, type=kind, content=b"")) == NotComposed("bad_content", "attachments.0.type")


def test_too_many_and_too_large_ones_are_refused():
    assert fault([PDF] * 10) is None
    assert fault([PDF] * 11)[0] == "attachments"
    assert fault([msgspec.structs.replace(PDF, content=b"x" * (MAX_OCTETS // 2 + 1))] * 2)[0] == "attachments"


def test_the_largest_files_fit_the_wire_after_sealing():
    payload = SendPayload(
        to=TO.text, data={"a": "x" * 60_000}, attachments=[msgspec.structs.replace(PDF, content=b"\xff" * MAX_OCTETS)]
    )
    plain = msgspec.json.encode(payload)
    assert len(plain) * 4 // 3 + 2_000 < wire.MAIL_LIMIT
    assert wire.limit_of("track") == wire.limit_of("revoke") == wire.BODY_LIMIT


@pytest.mark.parametrize(
    "spoil",
    [
        (b"JVBERi", b"JVBERj"),
        (b"--=_m", b"--=_n"),
        (b"Content-Type: multipart/alternative", b"Content-Type: text/plain"),
    ],
)
def test_a_changed_part_is_found_before_anything_is_sent(spoil):
    mail = composed(PDF)
    assert spoil[0] in mail.raw
    assert verify(replace(mail, raw=mail.raw.replace(*spoil, 1))) in {"attachments", "parts"}
    assert verify(replace(mail, attachments=())) == "parts"
    assert verify(replace(mail, attachments=(*mail.attachments, b"x"))) == "attachments"


def with_image(
    tmp_path,
    content=PNG,
    name="logo.png",
    html='<p>{{ word }}</p><img src="cid:logo.png" alt="Logo"><a href="{{ unsubscribe_url }}">x</a>',
):
    there = folder(tmp_path, html, text="{{ word }} {{ unsubscribe_url }}")
    (there / "letter/images").mkdir()
    (there / "letter/images" / name).write_bytes(content)
    return there


def test_an_image_is_inside_the_mail_and_shown_by_its_identity(tmp_path):
    there = with_image(tmp_path)
    (there / "letter").rename(there / "newsletter")
    trial = Trial(there, Templates(there), _only("newsletter"), HOUSE)
    mail = trial.mail(trial.templates.get("newsletter"), {"word": "č"})
    assert verify(mail) is None
    message = email.message_from_bytes(mail.raw, policy=email.policy.default)
    (related,) = [one for one in message.walk() if one.get_content_type() == "multipart/related"]
    page, image = related.iter_parts()
    assert image.get_payload(decode=True) == PNG
    assert f'src="cid:{image["Content-ID"].strip("<>")}"' in page.get_content()
    assert message.get_content_type() == "multipart/alternative"
    assert "data:image/png;base64," in read(mail).page
    assert verify(replace(mail, images=(b"other",))) == "images"


@pytest.mark.parametrize(
    ("content", "name", "html"),
    [
        (b"GIF89a", "logo.png", '<img src="cid:logo.png" alt="">'),
        (b"<svg/>", "logo.svg", '<img src="cid:logo.svg" alt="">'),
        (PNG, "logo.png", '<img src="cid:other.png" alt="">'),
        (PNG, "logo.png", '<img src="cid:{{ word }}" alt="">'),
        (PNG + b"x" * images.MAX_OCTETS, "logo.png", '<img src="cid:logo.png" alt="">'),
    ],
)
def test_an_image_that_is_none_or_not_there_is_refused_at_the_start(tmp_path, content, name, html):
    with pytest.raises(TemplateError, match="letter"):
        Templates(with_image(tmp_path, content, name, f"<p>{{{{ word }}}}</p>{html}"))


def test_an_image_that_nobody_shows_does_not_go_out(tmp_path):
    template = Templates(with_image(tmp_path, html="<p>{{ word }}</p>")).get("letter")
    assert template.images == ()


def test_a_part_in_base64_has_short_lines():
    raw = part("image/png", "inline", PNG * 4, "a@image").raw
    assert max(map(len, raw.split(b"\r\n"))) <= 76
    assert parse(TO.text)


def test_the_heaviest_mails_are_judged_within_50_ms_of_work():
    numbers = json.dumps({str(n): n for n in range(60_000)})
    bodies = [
        b'{"a":' * (wire.MAIL_LIMIT // 5),
        numbers.encode()[: wire.MAIL_LIMIT],
        json.dumps({"queue_name": "send.now", "kwargs": {"job": json.loads(numbers)}}).encode()[: wire.MAIL_LIMIT],
        b"{" + b",".join([b'"a":1'] * (wire.MAIL_LIMIT // 7)) + b"}",
        b" " * (wire.MAIL_LIMIT + 1),
    ]
    for body in bodies:
        assert work(lambda refused=body: refuse(refused)) < max(0.05, 3 * heavy_parsing()), body[:20]


def refuse(body):
    with pytest.raises(wire.Malformed):
        wire.decode(body, "send.now")


@pytest.mark.attack(7, guard="preklic_shared.wire:check_size")
def test_only_a_mail_may_be_as_large_as_one_with_files():
    with pytest.raises(wire.Malformed, match="too_large"):
        wire.decode(b"[]" + b" " * wire.BODY_LIMIT, "track")
    with pytest.raises(wire.Malformed, match="too_large"):
        wire.decode(b"[]" + b" " * wire.MAIL_LIMIT, "send.bulk")


def test_files_pass_from_the_producer_into_the_mail(tmp_path):
    sealed = sealing(tmp_path)
    drafter = Drafter("website", REGISTRY, Seals(sealed.path, bytes.fromhex(sealed.pin)))
    file = {"name": PDF.name, "type": PDF.type, "content": PDF.content}
    draft = drafter.send(TO.text, "payment", "payment", DATA["payment"], attachments=[file])
    assert PDF.content not in draft.body
    _, job = wire.decode(draft.body, "send.now")
    assert job.purpose == "payment"
    large = file | {"content": os.urandom(MAX_OCTETS)}
    assert len(drafter.send(TO.text, "payment", "payment", DATA["payment"], attachments=[large]).body) < wire.MAIL_LIMIT
