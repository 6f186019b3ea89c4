"""The real servers that all other tests stand on."""

import hashlib
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import aiosmtplib
import pika
import pytest
from pymongo import MongoClient

from preklic_stack.children import Children
from preklic_stack.mailsink import MailSink
from preklic_stack.mongo import Mongo
from preklic_stack.rabbit import Rabbit
from waiting import until

BODY = b"Message-ID: <job-1@preklic.test>\r\nSubject: hello\r\n\r\nline\r\n..two\r\n"


def test_rabbit_gives_a_fresh_vhost(rabbit: Rabbit, vhost: str, amqp_url: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        channel = connection.channel()
        channel.queue_declare("q", durable=True, arguments={"x-queue-type": "quorum"})
        channel.basic_publish("", "q", b"x")
    queues = rabbit.management.call("GET", f"queues/{vhost}")
    assert [queue["name"] for queue in queues] == ["q"]


def test_mongo_commits_with_majority_and_runs_no_javascript(mongo: Mongo, mongo_database: str) -> None:
    with MongoClient(mongo.url, w="majority", journal=True) as client:
        things = client[mongo_database].things
        assert things.insert_one({"_id": 1}).acknowledged
        with pytest.raises(Exception, match=r"[Jj]ava[Ss]cript|scripting|where"):
            list(things.find({"$where": "true"}))


async def test_sink_writes_a_line_per_phase(sink: MailSink) -> None:
    offset = sink.ledger.stat().st_size
    client = aiosmtplib.SMTP(hostname="127.0.0.1", port=sink.port, start_tls=False)
    async with client:
        await client.mail("a@preklic.test")
        await client.rcpt("b@preklic.test")
        code, _ = await client.data(BODY.replace(b"\r\n..", b"\r\n."))
    assert code == 250
    lines = sink.lines(offset)
    assert [line["phase"] for line in lines] == ["rcpt", "data", "body", "accepted"]
    assert lines[2]["job"] == "job-1"
    assert lines[2]["sha256"] == hashlib.sha256(BODY.replace(b"..", b".")).hexdigest()
    assert sink.mails()[0]["to"] == ["b@preklic.test"]


async def test_sink_drops_after_the_dot(sink: MailSink) -> None:
    offset = sink.ledger.stat().st_size
    sink.mode("drop_after_dot", kept=True, times=1)
    client = aiosmtplib.SMTP(hostname="127.0.0.1", port=sink.port, start_tls=False)
    await client.connect()
    await client.mail("a@preklic.test")
    await client.rcpt("b@preklic.test")
    with pytest.raises(aiosmtplib.SMTPServerDisconnected):
        await client.data(BODY)
    client.close()
    until(lambda: sink.lines(offset)[-1]["phase"] == "lost", 5, "the lost line")
    assert [line["phase"] for line in sink.lines(offset)] == ["rcpt", "data", "body", "lost"]


@pytest.mark.parametrize(
    ("mode", "fields", "code"),
    [("refuse_rcpt", {}, 550), ("refuse_rcpt", {"code": 421}, 421), ("greylist", {}, 451)],
)
async def test_sink_refuses_recipients(sink: MailSink, mode: str, fields: dict[str, int], code: int) -> None:
    sink.mode(mode, **fields)
    client = aiosmtplib.SMTP(hostname="127.0.0.1", port=sink.port, start_tls=False)
    await client.connect()
    await client.mail("a@preklic.test")
    with pytest.raises(aiosmtplib.SMTPResponseException) as refused:
        await client.rcpt("b@preklic.test")
    assert refused.value.code == code
    if mode == "greylist":
        assert (await client.rcpt("b@preklic.test")).code == 250
    client.close()


async def test_sink_speaks_starttls(sink: MailSink) -> None:
    client = aiosmtplib.SMTP(hostname="127.0.0.1", port=sink.port, start_tls=True, cert_bundle=str(sink.certificate))
    async with client:
        code, _ = await client.sendmail("a@preklic.test", ["b@preklic.test"], BODY)
    assert sink.counts()["kept"] >= 1, code


def test_children_die_with_a_killed_parent(tmp_path: Path, processes: Children) -> None:
    code = f"""
        import sys, time
        from pathlib import Path
        from preklic_stack.children import Children
        child = Children().start("sleeper", ["sleep", "600"], log=Path({str(tmp_path / "log")!r}))
        print(child.pid, flush=True)
        time.sleep(600)
    """
    argv = [sys.executable, "-c", textwrap.dedent(code)]
    parent = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert Path(f"/proc/{pid}").exists()
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    until(lambda: not Path(f"/proc/{pid}").exists() or "Z" in _state(pid), 10, "the sleeper gone")


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
