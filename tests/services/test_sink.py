"""The sink is the ground truth of every other test, so each of its modes is tried on the wire."""

import hashlib
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.request import urlopen

import aiosmtplib
import pytest

from preklic_stack.children import Children
from preklic_stack.mailsink import MailSink, start_sink
from sink import read_ledger
from waiting import until

BODY = b"Message-ID: <job-1@preklic.test>\r\nSubject: hello\r\n\r\nline\r\n..two\r\n"
UNSTUFFED = BODY.replace(b"\r\n..", b"\r\n.")
TO_DATA = b"MAIL FROM:<a@preklic.test>\r\nRCPT TO:<b@preklic.test>\r\nDATA\r\n"


class Wire:
    """A raw client: says bytes, reads reply codes."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.file = self.socket.makefile("rb")

    def close(self) -> None:
        self.file.close()
        self.socket.close()

    def say(self, data: bytes) -> None:
        self.socket.sendall(data)

    def codes(self, count: int) -> list[int]:
        return [self.code() for _ in range(count)]

    def code(self) -> int:
        """The next reply's code; 0 when the connection was closed instead."""
        try:
            while line := self.file.readline():
                if line[3:4] == b" ":
                    return int(line[:3])
        except ConnectionResetError:
            pass
        return 0

    def silent(self, seconds: float) -> bool:
        self.socket.settimeout(seconds)
        try:
            self.socket.recv(1)
        except TimeoutError:
            return True
        return False


@pytest.fixture
def wire(sink: MailSink) -> Iterator[Wire]:
    with closing(Wire(sink.port)) as client:
        client.say(b"EHLO x\r\n")
        assert client.codes(2) == [220, 250]
        yield client


@pytest.fixture
def phases(sink: MailSink) -> Callable[[], list[str]]:
    offset = sink.ledger.stat().st_size
    return lambda: [line["phase"] for line in sink.lines(offset)]


async def test_writes_a_line_per_phase(sink: MailSink) -> None:
    offset = sink.ledger.stat().st_size
    client = aiosmtplib.SMTP(hostname="127.0.0.1", port=sink.port, start_tls=False)
    async with client:
        await client.mail("a@preklic.test")
        await client.rcpt("b@preklic.test")
        code, _ = await client.data(UNSTUFFED)
    assert code == 250
    lines = sink.lines(offset)
    assert [line["phase"] for line in lines] == ["rcpt", "data", "body", "accepted"]
    assert (lines[2]["job"], lines[2]["to"]) == ("job-1", "b@preklic.test")
    assert lines[2]["sha256"] == hashlib.sha256(UNSTUFFED).hexdigest()
    assert [(mail["to"], mail["raw"]) for mail in sink.mails()] == [(["b@preklic.test"], UNSTUFFED)]
    assert read_ledger(sink.ledger)[-1].phase == "accepted"


async def test_speaks_starttls(sink: MailSink) -> None:
    client = aiosmtplib.SMTP(hostname="127.0.0.1", port=sink.port, start_tls=True, cert_bundle=str(sink.certificate))
    async with client:
        await client.sendmail("a@preklic.test", ["b@preklic.test"], BODY)
    assert len(sink.mails()) == 1


def test_two_pipelined_mails_answer_in_order(sink: MailSink, wire: Wire, phases: Callable[[], list[str]]) -> None:
    wire.say(TO_DATA + BODY + b".\r\n" + TO_DATA + BODY + b".\r\nQUIT\r\n")
    assert wire.codes(9) == [250, 250, 354, 250] * 2 + [221]
    assert phases() == ["rcpt", "data", "body", "accepted"] * 2


def test_a_bare_newline_ends_no_body(wire: Wire, phases: Callable[[], list[str]]) -> None:
    wire.say(TO_DATA + b"Subject: x\r\n\r\nbody\n.\nMAIL FROM:<evil@preklic.test>\r\n.\r\n")
    assert wire.codes(4) == [250, 250, 354, 250]
    assert phases().count("body") == 1


@pytest.mark.parametrize("kept", [True, False])
def test_drops_after_the_dot(
    sink: MailSink,
    wire: Wire,
    phases: Callable[[], list[str]],
    kept: bool,  # noqa: FBT001 - pytest passes parameters by name
) -> None:
    sink.mode("drop_after_dot", kept=kept, times=1)
    wire.say(TO_DATA + BODY + b".\r\n")
    assert wire.codes(4) == [250, 250, 354, 0]
    until(lambda: phases()[-1] == "lost", 20, "the lost line")
    assert phases() == ["rcpt", "data", "body", "lost"]
    assert len(sink.mails()) == int(kept)


@pytest.mark.parametrize(
    ("mode", "fields", "codes"),
    [
        ("refuse_mail", {}, [451, 503, 503]),
        ("refuse_rcpt", {}, [250, 550, 503]),
        ("refuse_rcpt", {"code": 421}, [250, 421, 0]),
        ("greylist", {}, [250, 451, 503]),
        ("refuse_after_dot", {}, [250, 250, 354, 451]),
        ("refuse_after_dot", {"code": 554}, [250, 250, 354, 554]),
        ("close_in_data", {}, [250, 250, 354, 0]),
    ],
)
def test_refuses(sink: MailSink, wire: Wire, mode: str, fields: dict[str, int], codes: list[int]) -> None:
    sink.mode(mode, **fields)
    wire.say(TO_DATA)
    seen = wire.codes(3)
    if seen[-1] == 354:
        wire.say(BODY + b".\r\n")
        seen.append(wire.code())
    assert seen == codes
    assert sink.mails() == []


def test_greylisting_passes_the_second_time(sink: MailSink, wire: Wire) -> None:
    sink.mode("greylist")
    wire.say(b"MAIL FROM:<a@preklic.test>\r\nRCPT TO:<b@preklic.test>\r\nRCPT TO:<b@preklic.test>\r\n")
    assert wire.codes(3) == [250, 451, 250]


@pytest.mark.parametrize(("mode", "bodies"), [("silence", 1), ("half_open", 0)])
def test_says_nothing(sink: MailSink, wire: Wire, phases: Callable[[], list[str]], mode: str, bodies: int) -> None:
    sink.mode(mode)
    wire.say(TO_DATA)
    assert wire.codes(3) == [250, 250, 354]
    wire.say(BODY + b".\r\n")
    assert wire.silent(0.3)
    assert phases().count("body") == bodies
    assert sink.counts()["open"] >= 1


@pytest.mark.parametrize(("mode", "answers"), [("tarpit", 3), ("slow_accept", 1)])
def test_takes_its_time(sink: MailSink, wire: Wire, mode: str, answers: int) -> None:
    sink.mode(mode, seconds=0.1)
    started = time.monotonic()
    wire.say(TO_DATA + BODY + b".\r\nNOOP\r\n")
    assert wire.codes(5) == [250, 250, 354, 250, 250]
    assert time.monotonic() - started >= 0.1 * answers


def test_a_mode_holds_for_so_many_mails_and_some_recipients(sink: MailSink, wire: Wire) -> None:
    sink.mode("refuse_rcpt", times=1, match="b@")
    wire.say(b"MAIL FROM:<a@preklic.test>\r\nRCPT TO:<c@preklic.test>\r\nRSET\r\n")
    assert wire.codes(3) == [250, 250, 250]
    wire.say(TO_DATA[:-6] + b"RSET\r\n" + TO_DATA[:-6])
    assert wire.codes(5) == [250, 550, 250, 250, 250]


def test_smtputf8_can_be_withdrawn(sink: MailSink) -> None:
    sink.smtputf8(on=False)
    with closing(Wire(sink.port)) as client:
        client.say(b"EHLO x\r\nMAIL FROM:<a@preklic.test> SMTPUTF8\r\n")
        assert client.codes(3) == [220, 250, 555]


def test_fsynced_ledger_is_whole_when_the_sink_is_killed(processes: Children, tmp_path: Path) -> None:
    fsynced = start_sink(processes, tmp_path, "--fsync")
    with closing(Wire(fsynced.port)) as client:
        client.say(b"EHLO x\r\n" + TO_DATA + BODY + b".\r\n" + TO_DATA + BODY + b".\r\n")
        assert client.codes(10) == [220, 250] + [250, 250, 354, 250] * 2
    fsynced.child.kill()
    assert [line["phase"] for line in fsynced.lines()][:8] == ["rcpt", "data", "body", "accepted"] * 2


def test_inbox_shows_mails_and_runs_nothing_of_theirs(sink: MailSink, wire: Wire) -> None:
    hostile = b"Subject: <script>alert(1)</script>\r\nContent-Type: text/html\r\n\r\n<script>1</script>\r\n.\r\n"
    wire.say(TO_DATA + hostile)
    assert wire.codes(4)[-1] == 250
    number = sink.mails()[0]["number"]
    inbox, mail = _page(sink.url), _page(f"{sink.url}/mails/{number}")
    assert "&lt;script&gt;alert(1)" in inbox
    assert "<script" not in inbox + mail
    assert 'sandbox="allow-popups"' in mail
    assert _page(f"{sink.url}/mails/{number}/html") == "<script>1</script>\r\n"
    assert "sandbox" in _header(f"{sink.url}/mails/{number}/html", "Content-Security-Policy")


def _page(url: str) -> str:
    with urlopen(url, timeout=5) as answer:
        return answer.read().decode()


def _header(url: str, name: str) -> str:
    with urlopen(url, timeout=5) as answer:
        return answer.headers[name] or ""
