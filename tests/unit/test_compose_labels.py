"""What a mail says to its relay's provider and to who complains, and what it never says there."""

import doctest
import email
import json
from dataclasses import replace

import dkim
import pytest
from msgspec import structs

from bounced import MESSAGE, OURS, return_path
from preklic_shared.addresses import parse
from preklic_shared.jobs import SendPayload
from preklic_shared.settings import SettingsError, load_settings
from preklic_workers.compose import labels as module
from preklic_workers.compose.composer import SHIPPED, Composer
from preklic_workers.compose.dkim import Signers
from preklic_workers.compose.labels import UNLABELLED, Labels
from preklic_workers.compose.templates import Templates
from preklic_workers.compose.verify import verify
from preklic_workers.keyfiles import make_dkim
from sending import DATA, HOUSE, REGISTRY, RING, send_job
from unit.test_compose_composer import PERSON
from unit.test_dkim import DOMAIN, dns

TO = parse("ana.novak@primer.si")
TEMPLATES = Templates(SHIPPED)
JOB = "0193a000-0000-7000-8000-000000000017"
EACH = {
    "ses": {"X-SES-CONFIGURATION-SET": "main", "X-SES-MESSAGE-TAGS": f"job={JOB}"},
    "sendgrid": {"X-SMTPAPI": None},
    "mailgun": {"X-Mailgun-Variables": None, "X-Mailgun-Track": "no"},
    "postmark": {
        "X-PM-Message-Stream": "broadcast",
        "X-PM-Metadata-job": JOB,
        "X-PM-KeepID": "true",
        "X-PM-TrackOpens": "false",
        "X-PM-TrackLinks": "None",
    },
}
ALL = {
    name: Labels(name, "main" if name == "ses" else None, "broadcast" if name == "postmark" else None) for name in EACH
}


def composed(labels=UNLABELLED, house=HOUSE, keys=()):
    composer = Composer(TEMPLATES, REGISTRY, RING.tokens, house, Signers(keys))
    payload = SendPayload(to=TO.text, data=DATA["newsletter"])
    job = send_job(job_id=JOB)
    return composer.compose(job, payload, REGISTRY.get("newsletter"), PERSON, TO, labels=labels)


def header(mail):
    return dict(email.message_from_bytes(mail.raw).items())


def test_the_words_of_the_module():
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("name", EACH)
def test_a_mail_bears_what_its_relays_provider_asks_for_and_nothing_else(name):
    plain, labelled = header(composed()), header(composed(ALL[name]))
    assert [one for one in plain if one.startswith("X-")] == []
    added = {key: value for key, value in labelled.items() if key not in plain}
    assert added.keys() == EACH[name].keys()
    assert all(added[key] == value for key, value in EACH[name].items() if value is not None)
    said = " ".join(added.values())
    assert not any(word in said for word in (TO.text, "novak", "primer", "Novice", "LUCRUM", PERSON.id))
    told = {"sendgrid": ("X-SMTPAPI", "unique_args"), "mailgun": ("X-Mailgun-Variables", None)}.get(name)
    if told is not None:
        values = json.loads(added[told[0]])
        assert (values if told[1] is None else values[told[1]]) == {"job": JOB}


@pytest.mark.clause("U12", guard="preklic_workers.compose.labels:_UNTRACKED")
def test_sendgrid_counts_neither_opens_nor_clicks_of_its_own():
    (value,) = [value for name, value in ALL["sendgrid"].fields(JOB) if name == "X-SMTPAPI"]
    filters = json.loads(value)["filters"]
    assert [filters[name]["settings"]["enable"] for name in ("clicktrack", "opentrack")] == [0, 0]


@pytest.mark.parametrize("name", EACH)
def test_a_provider_may_take_its_fields_out_and_the_signature_still_verifies(name, tmp_path):
    key = make_dkim(tmp_path, DOMAIN, "s1", "ed25519")
    mail = composed(ALL[name], keys=[key])
    assert verify(structs.replace(mail, raw=mail.raw[mail.raw.index(b"Date: ") :])) is None
    lines = mail.raw.split(b"\r\n")
    left = b"\r\n".join(line for line in lines if not line.startswith((b"X-SES-", b"X-SMTPAPI", b"X-M", b"X-PM-")))
    assert left != mail.raw
    for raw in (mail.raw, left):
        assert dkim.DKIM(raw).verify(dnsfunc=dns(key))


def test_the_second_reading_finds_a_label_that_says_something_else():
    mail = composed(ALL["postmark"])
    assert verify(structs.replace(mail, raw=mail.raw.replace(f"job: {JOB}".encode(), b"job: ana"))) == "labels"
    more = mail.raw.replace(b"X-PM-KeepID: true", b"X-PM-KeepID: true\r\nX-PM-Tag: ana")
    assert verify(structs.replace(mail, raw=more)) == "header names"


@pytest.mark.parametrize(
    ("mail_domain", "address"),
    [
        ("lucrum.example", "fbl@lucrum.example; report=arf"),
        ("bounces.lucrum.example", "fbl@bounces.lucrum.example; report=arf"),
        ("example", None),
        ("notlucrum.example", None),
        ("lucrum.example.evil.si", None),
        ("mailer.example", None),
    ],
)
def test_complaints_are_asked_for_only_where_froms_domain_speaks_for_the_address(mail_domain, address):
    message = header(composed(house=replace(HOUSE, mail_domain=mail_domain)))
    assert message.get("CFBL-Address") == address
    assert ("CFBL-Feedback-ID" in message) == (address is not None)


def test_the_feedback_id_is_one_word_of_the_rfc_and_names_its_mail():
    word = header(composed())["CFBL-Feedback-ID"]
    assert word.replace("-", "").isalnum()  # atext alone: no at sign
    assert OURS.quoted([f"CFBL-Feedback-ID: {return_path().partition('@')[0]}\r\n"]) == MESSAGE
    assert OURS.quoted([f"CFBL-Feedback-ID: {return_path().partition('@')[0]}x\r\n"]) is None


RELAY = {"NAME": "a", "HOST": "mx", "PROCESSOR": "p"}


@pytest.mark.parametrize(
    "more",
    [
        {"PROVIDER": "sparkpost"},
        {"CONFIGURATION_SET": "main"},
        {"PROVIDER": "ses", "MESSAGE_STREAM": "outbound"},
        {"PROVIDER": "ses", "CONFIGURATION_SET": "a\r\nBcc: x@evil.si"},
        {"PROVIDER": "postmark", "MESSAGE_STREAM": "a b"},
    ],
)
def test_a_label_that_is_not_understood_is_refused(more):
    with pytest.raises(SettingsError, match="PREKLIC_RELAYS"):
        load_settings({f"PREKLIC_RELAYS__0__{name}": value for name, value in (RELAY | more).items()})


def test_the_settings_name_the_provider():
    more = {"PROVIDER": "ses", "CONFIGURATION_SET": "main"}
    settings = load_settings({f"PREKLIC_RELAYS__0__{name}": value for name, value in (RELAY | more).items()})
    assert module.labels_of(settings.relays[0]) == ALL["ses"]
