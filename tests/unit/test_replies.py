import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preklic_workers.smtp import replies
from preklic_workers.smtp.replies import Phase, Reply, Verdict

GUARD = "preklic_workers.smtp.replies:"


def test_the_examples_in_the_module_hold():
    assert doctest.testmod(replies).failed == 0


@pytest.mark.attack(38, guard=GUARD + "classify")
@pytest.mark.parametrize(
    ("code", "text", "phase", "verdict"),
    [
        (250, "2.0.0 ok", Phase.BODY, Verdict.SENT),
        (421, "4.3.2 closing", Phase.RCPT, Verdict.DEFERRED),
        (450, "4.2.0 greylisted", Phase.RCPT, Verdict.DEFERRED),
        (451, "4.7.1 later", Phase.BODY, Verdict.DEFERRED),
        (452, "4.2.2 full", Phase.RCPT, Verdict.DEFERRED),
        (550, "5.1.1 no such user", Phase.RCPT, Verdict.BOUNCED),
        (550, "5.1.1 no such user", Phase.BODY, Verdict.BOUNCED),
        (556, "5.1.10 null MX", Phase.RCPT, Verdict.BOUNCED),
        (550, "5.2.1 disabled", Phase.RCPT, Verdict.BOUNCED),
        (550, "no such user", Phase.RCPT, Verdict.BOUNCED),
        (553, "mailbox name", Phase.RCPT, Verdict.BOUNCED),
        (550, "refused", Phase.MAIL, Verdict.FAILED),
        (550, "refused", Phase.BODY, Verdict.FAILED),
        (552, "5.2.2 quota", Phase.RCPT, Verdict.FAILED),
        (554, "5.7.1 content", Phase.BODY, Verdict.FAILED),
        (550, "5.7.26 unauthenticated", Phase.BODY, Verdict.POLICY_STOP),
        (550, "5.7.515 sender requirements", Phase.RCPT, Verdict.POLICY_STOP),
        (550, "5.7.25 reverse DNS", Phase.MAIL, Verdict.POLICY_STOP),
        (550, "5.7.606 banned", Phase.RCPT, Verdict.POLICY_STOP),
    ],
)
def test_a_reply_means(code, text, phase, verdict):
    assert replies.classify(replies.read(code, text), phase) is verdict


@pytest.mark.attack(39, guard=GUARD + "read")
@given(st.integers(200, 599), st.text())
def test_only_codes_are_kept_of_any_text(code, text):
    reply = replies.read(code, text)
    assert len(reply.enhanced) <= len("5.999.999")
    assert set(reply.enhanced) <= set("0123456789.")
    assert replies.read(code, f"4.5.6 {text}").enhanced == ("4.5.6" if code // 100 == 4 else "")


@given(st.integers(-1, 999), st.from_regex(r"\A([245]\.\d{1,3}\.\d{1,3})?\Z"), st.sampled_from(Phase))
def test_sent_is_only_a_2yz_reply_to_the_body_and_only_5yz_is_final(code, enhanced, phase):
    verdict = replies.classify(Reply(code, enhanced), phase)
    assert (verdict is Verdict.SENT) == (200 <= code <= 299 and phase is Phase.BODY)
    if verdict in (Verdict.BOUNCED, Verdict.FAILED, Verdict.POLICY_STOP):
        assert 500 <= code <= 599
    if verdict is Verdict.BOUNCED:
        assert phase in (Phase.RCPT, Phase.BODY)
