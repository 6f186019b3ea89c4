import pytest
from hypothesis import given
from hypothesis import strategies as st

from preklic_shared.ids import new_id
from preklic_workers import relaylog
from preklic_workers.relaylog import LINE_LIMIT, TooMuch, UnknownFormat, Unreadable

OURS = {"lucrum.example"}


def postfix(queue_id, rest, *, daemon="smtp", host="mx", instance="postfix"):
    return f"Nov 25 02:00:00 {host} {instance}/{daemon}[77]: {queue_id}: {rest}\n".encode()


def accepted(queue_id, job, domain="lucrum.example"):
    return postfix(queue_id, f"message-id=<{job}@{domain}>", daemon="cleanup")


def ended(queue_id, status):
    return postfix(queue_id, f"to=<ana@primer.example>, relay=mx.primer.example, dsn=2.0.0, status={status} (said so)")


@pytest.fixture
def read(tmp_path):
    def reading(*lines):
        file = tmp_path / "mail.log"
        file.write_bytes(b"".join(lines))
        return relaylog.read(file, OURS)

    return reading


@pytest.mark.parametrize(
    ("status", "proof"),
    [("sent", "sent"), ("deferred", "sent"), ("bounced", "bounced"), ("expired", "bounced"), ("undeliverable", None)],
)
def test_a_status_proves_what_the_relay_did(read, status, proof):
    job = new_id()
    assert read(accepted("4XyZ12abc", job), ended("4XyZ12abc", status)).get(job) == proof


def test_a_mail_that_only_began_is_no_proof_and_one_in_the_relays_queue_is(read):
    begun, queued = new_id(), new_id()
    lines = [accepted("AAAAA1", begun), accepted("BBBBB2", queued)]
    assert read(*lines, postfix("BBBBB2", "from=<bounce@lucrum.example>, size=900, nrcpt=1 (queue active)")) == {
        queued: "sent"
    }


def test_a_bounce_after_it_was_taken_is_the_stronger_news(read):
    job = new_id()
    assert read(accepted("AAAAA1", job), ended("AAAAA1", "deferred"), ended("AAAAA1", "bounced")) == {job: "bounced"}
    assert read(accepted("AAAAA1", job), ended("AAAAA1", "bounced"), ended("AAAAA1", "sent")) == {job: "bounced"}


@pytest.mark.parametrize("domain", ["evil.example", "lucrum.example.evil.example"])
def test_a_message_id_of_somebody_elses_domain_is_not_ours(read, domain):
    assert read(accepted("AAAAA1", new_id(), domain), ended("AAAAA1", "sent")) == {}


def test_a_queue_id_that_is_used_again_belongs_to_its_new_mail(read):
    job = new_id()
    again = accepted("AAAAA1", "somebody-else", "other.example")
    assert read(accepted("AAAAA1", job), again, ended("AAAAA1", "sent")) == {}
    removed = postfix("AAAAA1", "removed", daemon="qmgr")
    assert read(accepted("AAAAA1", job), removed, ended("AAAAA1", "sent")) == {}


def test_a_strangers_reply_inside_a_line_proves_nothing_of_another_mail(read):
    mine, victim = new_id(), new_id()
    named = f"message-id=<{victim}@lucrum.example>"
    reply = f"to=<x@evil.example>, relay=evil, dsn=4.0.0, status=deferred (450 {named} status=bounced ("
    lines = [accepted("AAAAA1", mine), postfix("AAAAA1", reply), postfix("AAAAA1", named)]
    assert read(*lines, ended("AAAAA1", "sent")) == {mine: "sent"}
    said = "host evil[192.0.2.9] said: 450 to=<x@evil.example>, status=bounced (in reply to RCPT TO command)"
    assert read(accepted("AAAAA1", mine), postfix("AAAAA1", said)) == {}


def test_other_programs_lines_an_iso_time_and_an_instances_name_are_understood(read):
    job = new_id()
    lines = [accepted("4XyZ12abc", job), ended("4XyZ12abc", "sent")]
    foreign = b"Nov 25 02:00:00 mx dovecot: imap(x): status=sent\n"
    modern = [line.replace(b"Nov 25 02:00:00", b"2026-11-25T02:00:00.123456+01:00") for line in lines]
    instance = [line.replace(b" postfix/", b" postfix-out/") for line in modern]
    assert read(foreign, *modern) == read(foreign, *instance, foreign) == {job: "sent"}


@pytest.mark.parametrize(
    "content", [b"", b"\x00\xff" * 5000, b'{"log": "json"}\n', b"1abc-2d-3E => ana@x.si\n", b"x" * 99999]
)
def test_an_unknown_format_is_refused(read, content):
    with pytest.raises(UnknownFormat):
        read(content)


def test_a_file_that_is_none_is_named(tmp_path):
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(Unreadable, match="cannot be read"):
            relaylog.read(path, OURS)


def test_a_line_without_an_end_is_passed_over_and_costs_no_memory(read):
    job = new_id()
    endless = postfix("AAAAA1", "x" * (50 * LINE_LIMIT)).rstrip() + b" " + ended("CCCCC3", "sent")
    assert read(endless, accepted("BBBBB2", job), ended("BBBBB2", "sent")) == {job: "sent"}
    assert read(accepted("CCCCC3", job), endless) == {}


def test_only_so_many_mails_are_remembered(read, monkeypatch):
    monkeypatch.setattr(relaylog, "MOST", 3)
    jobs = [new_id() for _ in range(4)]
    three = [line for n, job in enumerate(jobs[:3]) for line in (accepted(f"AAAA{n}", job), ended(f"AAAA{n}", "sent"))]
    gone = [postfix(f"AAAA{n}", "removed", daemon="qmgr") for n in range(3)]
    assert len(read(*three, *gone)) == 3
    with pytest.raises(TooMuch):
        read(*three, *gone, accepted("BBBB1", jobs[3]), ended("BBBB1", "sent"))
    with pytest.raises(TooMuch):
        read(*(accepted(f"BBBB{n}", job) for n, job in enumerate(jobs)))


@given(st.lists(st.binary(max_size=80) | st.sampled_from([b"\n", b" postfix/smtp[1]: AAAAA1: ", b"message-id=<"])))
def test_no_bytes_break_the_reading(tmp_path_factory, parts):
    file = tmp_path_factory.mktemp("log") / "mail.log"
    file.write_bytes(accepted("ZZZZZ1", new_id()) + b"".join(parts))
    assert relaylog.read(file, OURS) is not None
