"""What providers tell, read: pure. Nothing here is checked for its sender (see test_webhooks)."""

import doctest
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import provider_events
from preklic_producers.drafts import Drafter
from preklic_producers.feedback import documents, mailgun, postmark, sendgrid, ses
from preklic_producers.feedback.heard import KEPT, Aside, Ignored
from preklic_producers.feedback.ours import Ours
from preklic_producers.feedback.reports import Report, jobs_of
from preklic_shared import return_paths, status_codes
from preklic_shared.ids import new_id
from preklic_shared.registry import load_registry
from preklic_shared.tokens import TokenKeys
from preklic_shared.wire import Malformed

KEYS = TokenKeys({1: b"t" * 32}, 1)
DOMAIN = "lucrum.example"
OURS = Ours(DOMAIN, KEYS)
JOB = new_id()
SENDER = return_paths.mint(KEYS, return_paths.Bounce(JOB), DOMAIN)
READ = {
    "ses": lambda event: ses.read(json.dumps(event), OURS),
    "sendgrid": lambda event: sendgrid.read([event], OURS),
    "mailgun": lambda event: mailgun.read(event, OURS),
    "postmark": lambda event: postmark.read(event, OURS),
}
CASES = {
    f"{source}: {case.name}": (source, case)
    for source, made in provider_events.ALL.items()
    for case in made(JOB, DOMAIN, SENDER)
}


@pytest.mark.parametrize("name", CASES)
def test_each_documented_event_comes_to_what_it_says(name):
    source, case = CASES[name]
    heard = READ[source](case.event)
    if case.said == "ignored":
        assert [type(one) for one in heard] == [Ignored]
    elif isinstance(case.said, str):
        assert heard == [Aside(case.said, heard[0].raw)]
        assert json.loads(heard[0].raw) == case.event
    else:
        assert [(one.word, one.bounce, one.code) for one in heard] == list(case.said)
        assert {(one.source, one.message) for one in heard} == {(source, JOB)}


def test_of_the_documented_events_about_our_mail_all_are_matched():
    """The promise is 95 %; each of the others is named below."""
    told = [(name, READ[source](case.event)) for name, (source, case) in CASES.items()]
    aside = {name for name, heard in told if any(isinstance(one, Aside) for one in heard)}
    assert aside == {
        "ses: rendering",  # we send no templates of SES
        "sendgrid: account",  # of the account, not of a mail
        "mailgun: new",  # made up: no documentation has it
        "postmark: inbound",
        "postmark: template",
        *(f"{source}: of another sender" for source in provider_events.ALL),
    }
    documented = [name for name, _ in told if name != "mailgun: new" and "of another sender" not in name]
    assert len(documented) >= 80
    assert 1 - len(aside & set(documented)) / len(documented) >= 0.95
    reports = [one for _, heard in told for one in heard if isinstance(one, Report)]
    assert len({(one.source, one.key, one.word) for one in reports if one.source in {"sendgrid", "mailgun"}}) == sum(
        one.source in {"sendgrid", "mailgun"} for one in reports
    )


def test_two_hooks_of_postmark_that_tell_the_same_make_one_event():
    cases = {case.name: dict(case.event) for case in provider_events.postmark(JOB, DOMAIN, SENDER)}
    for one, other in (("complaint", "suppressed: complaint"), ("hard", "suppressed: bounce")):
        cases[other]["MessageID"] = cases[one]["MessageID"]
        (first,), (second,) = postmark.read(cases[one], OURS), postmark.read(cases[other], OURS)
        assert first.key == second.key
        drafts = Drafter("gateway", load_registry(), None)
        assert [job.job for job in jobs_of(first, drafts)] == [job.job for job in jobs_of(second, drafts)]


def test_what_a_stranger_wrote_into_a_bounce_names_no_mail():
    """Attack 42 by webhook: a bounced text that holds somebody else's Message-ID, or a return path with a false MAC."""
    victim = new_id()
    forged = SENDER[:20] + ("a" if SENDER[20] != "a" else "b") + SENDER[21:]
    for content in (f"Message-ID: <{victim}@{DOMAIN}>", f"Return-Path: <{forged}>", "b-" * 100_000, "@" * 100_000):
        record = {"RecordType": "Bounce", "Type": "HardBounce", "MessageID": "1", "Content": content}
        (heard,) = postmark.read(record, OURS)
        assert isinstance(heard, Aside)
        assert heard.reason == "unmatched"
    assert OURS.mail(f"<{victim}@{DOMAIN}.evil.si>", f"<{victim}@evil.si>", f"{victim}", forged) is None
    assert OURS.mail(f"Lucrum <{SENDER.upper()}>") == JOB


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["event", "mail", "bounce", "eventType", "RecordType", "Type", "tags", "headers", "job", "message"]
            ),
            inner | st.sampled_from(["bounce", "Bounce", "failed", "dropped", "Complaint", "Subscription", JOB]),
            max_size=6,
        )
    ),
    max_leaves=20,
)


@given(json_values)
def test_whatever_comes_is_a_report_or_ignored_or_kept(value):
    for source, read in READ.items():
        heard = read(value)
        assert heard
        drafts = Drafter("gateway", load_registry(), None) if any(isinstance(one, Report) for one in heard) else None
        for one in heard:
            if isinstance(one, Report):
                assert one.source == source
                assert jobs_of(one, drafts)
            elif isinstance(one, Aside):
                assert len(one.raw) <= KEPT


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"a":1,"a":2}', b"[" * 100_000, b"[" * 17 + b"]" * 17, b'{"a":NaN}', b"\xff", b'"\\ud800"'],
)
def test_what_is_no_plain_json_is_refused(body):
    with pytest.raises(Malformed):
        documents.document(body)


def test_a_code_is_found_and_an_address_of_the_net_is_none():
    assert status_codes.code_in("host 10.5.1.1 said 4.2.2.1", "550-5.7.26 x") == "5.7.26"
    assert status_codes.code_in("status 5.1.1.") == "5.1.1"
    assert status_codes.code_in("version 6.1.1, 5.1.1234") == ""
    assert [status_codes.severity(code, "soft") for code in ("5.1.8", "5.4.7", "5.3.0", "4.7.1")] == [
        "policy",
        "soft",
        "soft",
        "soft",
    ]
    assert doctest.testmod(status_codes).failed == doctest.testmod(documents).failed == 0


def test_the_vector_that_sendgrid_publishes_for_its_own_libraries_verifies():
    key = sendgrid.key_of(
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eN"
        "Ec6wEA3F+g=="
    )
    signature = "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM="
    event = {
        "email": "hello@world.com",
        "event": "dropped",
        "reason": "Bounced Address",
        "sg_event_id": "ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",
        "sg_message_id": "LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",
        "smtp-id": "<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>",
        "timestamp": 1600112492,
    }
    body = json.dumps([event], separators=(",", ":")).encode() + b"\r\n"
    assert sendgrid.signed(key, "1600112502", body, signature)
    assert not sendgrid.signed(key, "1600112503", body, signature)
    assert not sendgrid.signed(key, "1600112502", body.strip(), signature)
    assert documents.document(body) == [event]
