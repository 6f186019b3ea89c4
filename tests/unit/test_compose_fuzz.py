"""Compositions of anything: whatever the data, the header is as planned, lines are short, and a receiver verifies it.

`PREKLIC_FUZZ=100000` makes as many; every twentieth is signed by RSA as well, whose checking is slow.
"""

import os
from functools import lru_cache

import dkim
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preklic_shared.addresses import BadAddress, parse
from preklic_shared.attachments import TYPES, Attachment, name_fault
from preklic_shared.jobs import SendPayload
from preklic_shared.return_paths import Leave, check
from preklic_shared.tokens import Unsubscribe
from preklic_workers.compose.composer import NotComposed
from preklic_workers.compose.dkim import Signers
from preklic_workers.compose.verify import split_header
from preklic_workers.keyfiles import make_dkim
from sending import REGISTRY, RING, composer, send_job
from unit.test_compose_composer import PERSON
from unit.test_dkim import DOMAIN, dns

COUNT = int(os.environ.get("PREKLIC_FUZZ", "150"))
PLANNED = {
    "DKIM-Signature", "Date", "From", "To", "Subject", "Message-ID", "Reply-To", "List-Unsubscribe",
    "List-Unsubscribe-Post", "List-Id", "Feedback-ID", "CFBL-Address", "CFBL-Feedback-ID", "Auto-Submitted",
    "MIME-Version", "Content-Type",
}  # fmt: skip
HOSTILE = [
    "\r\nBcc: x@evil.si",
    "=?utf-8?q?=0A?=",
    "\n.\n",
    "\u2028",
    "<b>",
    '"',
    "]]>",
    "{{ 1 }}",
    "ž" * 900,
    "x" * 3000,
    "\0",
    "🎉",
]
CLEAN = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=60)
LONG = st.text("a ž.=?\"'<>&", max_size=900)
# Most of it can stand in a header: what is refused proves nothing about a mail.
TEXT = st.integers(0, 19).flatmap(
    lambda n: st.text(max_size=60) if n == 0 else st.sampled_from(HOSTILE) if n == 1 else LONG if n < 4 else CLEAN
)
URL = st.one_of(
    st.just("https://lucrum.example/x?a=1&b=2"),
    st.builds("https://lucrum.example/{}".format, st.text("abž/?=&%.-", max_size=90)),
)
ARTICLE = st.fixed_dictionaries({"title": TEXT, "summary": TEXT, "url": URL})
DATA = {
    "newsletter": st.fixed_dictionaries({"title": TEXT, "intro": TEXT, "articles": st.lists(ARTICLE, max_size=3)}),
    "offer": st.fixed_dictionaries({"title": TEXT, "text": TEXT, "url": URL}, optional={"price": TEXT}),
    "payment": st.fixed_dictionaries({"invoice": TEXT, "amount": TEXT, "due": TEXT}, optional={"name": TEXT}),
}
PURPOSES = {"newsletter": "newsletter", "offer": "offers", "payment": "payment"}
LOCALS = st.one_of(st.just("ana@primer.si"), st.just("čšž@primer.si"), st.emails(), TEXT)
FILES = st.lists(
    st.builds(
        lambda name, end, content: Attachment(name=f"{name}.{end}", type=TYPES[end], content=content),
        st.text("aZž 'č_-", min_size=1, max_size=40).filter(lambda name: name_fault(f"{name}.x") is None),
        st.sampled_from(sorted(TYPES)),
        st.binary(max_size=200),
    ),
    max_size=2,
)
seen = {"composed": 0, "refused": 0, "marketing": 0, "longest": 0}


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    place = tmp_path_factory.mktemp("keys")
    return make_dkim(place / "ed", DOMAIN, "s2", "ed25519"), make_dkim(place / "rsa", DOMAIN, "s1", "rsa")


@lru_cache
def composers(ed, rsa):
    return composer(Signers([ed])), composer(Signers([rsa, ed]))


@st.composite
def mails(draw):
    template = draw(st.sampled_from(sorted(DATA)))
    files = draw(FILES) if draw(st.integers(0, 9)) == 0 else []
    data = draw(DATA[template]) | ({"language": "en"} if draw(st.booleans()) else {})
    return template, data, draw(LOCALS), draw(st.one_of(st.none(), st.just("pomoc@lucrum.example"), st.emails())), files


@pytest.mark.attack(30, guard="preklic_workers.compose.mime:needs_words")
@pytest.mark.timeout(0 if COUNT > 1000 else 120)
def test_whatever_is_composed_has_its_planned_header_short_lines_and_a_signature_that_holds(keys):
    ours, answers = composers(*keys), dns(*keys)

    @settings(max_examples=COUNT, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(mails())
    def each(mail):
        one_mail(ours[number() % 20 == 0], answers, *mail)

    each()
    assert seen["composed"] > COUNT / 3
    assert seen["longest"] <= 998
    assert seen["marketing"]


def number():
    return seen["composed"] + seen["refused"]


def one_mail(composes, answers, template, data, to, reply_to, files):
    try:
        address = parse(to)
    except BadAddress:
        address = parse("ana@primer.si")
    purpose = REGISTRY.get(PURPOSES[template])
    job = send_job(purpose.key, template)
    payload = SendPayload(to=address.text, data=data, reply_to=reply_to, attachments=files)
    mail = composes.compose(job, payload, purpose, PERSON, address)
    if isinstance(mail, NotComposed):
        assert mail.reason in {"bad_content", "template_error"}, mail
        seen["refused"] += 1
        return
    seen["composed"] += 1
    head = mail.raw.partition(b"\r\n\r\n")[0]
    names = [name for name, _ in split_header(head)]
    signatures = names.count("DKIM-Signature")
    assert set(names) <= PLANNED
    assert len(names) == len(set(names)) + signatures - 1
    seen["longest"] = max(seen["longest"], *map(len, mail.raw.split(b"\r\n")))
    assert mail.raw.count(b"\n") == mail.raw.count(b"\r\n") == mail.raw.count(b"\r")
    signed = dkim.DKIM(mail.raw)
    for index in range(signatures):
        assert signed.verify(idx=index, dnsfunc=answers)
    one_click(dict(split_header(head)), purpose, job)


def one_click(values, purpose, job):
    """RFC 8058: https first, a POST, both covered and oversigned; for marketing always, for a payment never."""
    if not purpose.revocable:
        assert "List-Unsubscribe" not in values
        return
    seen["marketing"] += 1
    web, by_mail = values["List-Unsubscribe"].decode().split(", ")
    token = RING.tokens.check(web.strip("<>").removeprefix("https://gateway.lucrum.example/u/"), Unsubscribe)
    leave = check(RING.tokens, by_mail.removeprefix("<mailto:").partition("@")[0], Leave)
    assert (token.message, token.purpose, leave.message) == (job.id, purpose.key, job.id)
    assert values["List-Unsubscribe-Post"] == b"List-Unsubscribe=One-Click"
    covered = b"".join(values["DKIM-Signature"].partition(b"\th=")[2].partition(b";")[0].split()).split(b":")
    for name in (b"list-unsubscribe", b"list-unsubscribe-post", b"from", b"subject", b"cfbl-address", b"feedback-id"):
        assert covered.count(name) == 2
