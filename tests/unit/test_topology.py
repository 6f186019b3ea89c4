"""The topology as data: what the laws rest on, whatever broker it is applied to."""

import base64
import hashlib
import re

import pytest

from preklic_shared import topology
from preklic_shared.jobs import ACTORS

QUEUES = {queue.name: queue.arguments for queue in topology.queues()}
BINDINGS = {(binding.exchange, binding.queue, binding.key) for binding in topology.bindings()}


def test_every_actor_s_queue_exists_and_is_bound_by_its_name():
    for _, queue in ACTORS.values():
        assert queue in QUEUES
        assert ("jobs", queue, queue) in BINDINGS
        assert ("return", queue, queue) in BINDINGS


def test_the_log_holds_every_kind_but_questions_and_nothing_twice():
    logged = {key for exchange, queue, key in BINDINGS if queue == "jobs.log"}
    assert logged == {*topology.QUEUES, "void"} - {"ask", "webhooks"}
    assert {exchange for exchange, queue, _ in BINDINGS if queue == "jobs.log"} == {"jobs"}
    assert QUEUES["jobs.log"]["x-max-age"] == "14D"


def test_no_binding_hides_what_is_unroutable():
    assert not any("#" in key or "*" in key for _, _, key in BINDINGS)


@pytest.mark.parametrize("queue", [name for name in topology.QUEUES if name != "ask"])
def test_work_queues_lose_nothing(queue):
    arguments = QUEUES[queue]
    assert arguments["x-queue-type"] == "quorum"
    assert arguments["x-overflow"] == "reject-publish"
    assert arguments["x-max-length"] == topology.MOST
    assert arguments["x-dead-letter-exchange"] == "dead"
    assert arguments["x-dead-letter-strategy"] == "at-least-once"
    assert "x-message-ttl" not in arguments
    assert arguments.get("x-delivery-limit") == (None if queue == "revoke" else 50)


def test_a_withdrawal_is_unlimited_where_the_broker_would_limit_it():
    newer = {queue.name: queue.arguments for queue in topology.queues((4, 0))}
    assert newer["revoke"]["x-delivery-limit"] == -1
    assert newer["dead"]["x-delivery-limit"] == -1
    assert newer["send.now"]["x-delivery-limit"] == 50


def test_questions_are_dropped_after_two_seconds():
    assert QUEUES["ask"]["x-message-ttl"] == 2000
    assert "x-dead-letter-exchange" not in QUEUES["ask"]


def test_marks_are_no_jobs_and_cannot_pile_up():
    assert [queue for _, queue, key in BINDINGS if key == "mark"] == ["marks"]
    assert [key for _, queue, key in BINDINGS if queue == "marks"] == ["mark"]
    assert QUEUES["marks"]["x-message-ttl"] == 30_000
    assert "x-dead-letter-exchange" not in QUEUES["marks"]
    writers = [role for role in topology.ROLES if allowed(role, "mark")]
    assert writers == ["gateway", "topology"]


@pytest.mark.parametrize(("tier", "seconds"), topology.TIERS.items())
def test_a_tier_holds_a_job_and_gives_it_back_by_its_key(tier, seconds):
    arguments = QUEUES[topology.tier_queue(tier)]
    assert arguments["x-message-ttl"] == seconds * 1000
    assert arguments["x-dead-letter-exchange"] == "return"
    assert arguments["x-dead-letter-strategy"] == "at-least-once"
    assert "x-dead-letter-routing-key" not in arguments


@pytest.mark.parametrize(
    ("seconds", "tier"), [(0, "5s"), (5, "5s"), (5.1, "30s"), (600, "10m"), (3601, "6h"), (10**9, "6h")]
)
def test_a_wait_takes_the_nearest_tier_that_is_long_enough(seconds, tier):
    assert topology.tier_for(seconds) == tier


def allowed(role, key):
    return re.fullmatch(topology.ROLES[role].keys.removeprefix("^").removesuffix("$"), key) is not None


def test_a_probe_goes_where_jobs_go_and_into_no_log():
    bound = {(queue, key) for exchange, queue, key in BINDINGS if exchange == "probes"}
    assert bound == {(queue, queue) for queue in topology.QUEUES}
    writers = [role for role, rights in topology.ROLES.items() if re.search(rights.write, "probes")]
    assert writers == ["upkeep", "topology"]


def test_who_may_write_which_kind():
    for key in ("send.now", "send.bulk", "revoke", "record", "track", "void"):
        assert allowed("website", key)
        assert allowed("gateway", key)
    assert allowed("gateway", "ask")
    assert not allowed("website", "ask")
    assert not allowed("feedback", "send.now")
    assert not allowed("campaign", "revoke")
    may = [role for role in topology.ROLES if allowed(role, "campaign")]
    assert may == ["website", "gateway", "upkeep", "topology"]
    assert [role for role in topology.ROLES if allowed(role, "webhooks")] == ["upkeep", "topology"]
    for role in ("send", "track", "revoke", "record", "answer", "webhook"):
        assert not allowed(role, "send.now")


def test_who_may_read_which_queue():
    reads = {
        role: {queue for queue in QUEUES if re.search(rights.read, queue)} for role, rights in topology.ROLES.items()
    }
    assert reads["website"] == reads["gateway"] == reads["feedback"] == set()
    assert reads["send"] == {"send.now", "send.bulk"}
    assert reads["answer"] == {"ask"}
    assert reads["webhook"] == {"webhooks"}
    assert reads["revoke"] == {"revoke", "marks"}
    assert [role for role, read in reads.items() if "marks" in read] == ["revoke", "topology"]
    assert reads["upkeep"] == {"dead", "jobs.log"}
    assert [role for role, rights in topology.ROLES.items() if rights.configure != "^$"] == ["topology"]


def test_only_the_answerer_may_write_to_the_default_exchange():
    writers = [role for role, rights in topology.ROLES.items() if re.search(rights.write, "amq.default")]
    assert writers == ["answer", "topology"]


def test_definitions_hold_no_password_and_a_user_for_each_that_is_given():
    definitions = topology.definitions({"website.shop": "secret-word", "send": "other-word"}, vhost="v")
    assert "secret-word" not in repr(definitions)
    users = {user["name"]: user for user in definitions["users"]}
    stored = base64.b64decode(users["website.shop"]["password_hash"])
    assert stored[4:] == hashlib.sha256(stored[:4] + b"secret-word").digest()
    rights = {user["user"]: user for user in definitions["permissions"]}
    assert rights["website.shop"]["write"] == "^jobs$"
    assert {entry["vhost"] for entry in definitions["permissions"]} == {"v"}
    # Without an entry here RabbitMQ would allow every key.
    assert {entry["user"] for entry in definitions["topic_permissions"]} == {"website.shop", "send"}


def test_definitions_for_an_unknown_role_are_refused():
    with pytest.raises(KeyError):
        topology.definitions({"webmaster": "x"})
