"""The real servers that all other tests stand on."""

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pika
import pytest
from pymongo import MongoClient

from preklic_stack.children import Children
from preklic_stack.mongo import Mongo
from preklic_stack.rabbit import Rabbit
from waiting import until


def test_rabbit_gives_a_fresh_vhost(rabbit: Rabbit, vhost: str, amqp_url: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        channel = connection.channel()
        channel.queue_declare("q", durable=True, arguments={"x-queue-type": "quorum"})
        channel.basic_publish("", "q", b"x")
    queues = rabbit.management.call("GET", f"queues/{vhost}")
    assert [queue["name"] for queue in queues] == ["q"]


@pytest.mark.attack(65)
def test_mongo_commits_with_majority_and_runs_no_javascript(mongo: Mongo, mongo_database: str) -> None:
    with MongoClient(mongo.url, w="majority", journal=True) as client:
        things = client[mongo_database].things
        assert things.insert_one({"_id": 1}).acknowledged
        with pytest.raises(Exception, match=r"[Jj]ava[Ss]cript|scripting|where"):
            list(things.find({"$where": "true"}))


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
