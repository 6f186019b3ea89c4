"""The broker's topology as data: names, queues, bindings, and what each role may do. `topology_apply` declares it.

Producers write to `jobs` alone. A job that has to wait goes to `retry` with the header `tier` and comes back
through `return`, which `jobs.log` does not bind: the log holds each job once for each time it was asked for.
"""

import base64
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

JOBS = "jobs"
RETRY = "retry"
RETURN = "return"
DEAD = "dead"
LOG = "jobs.log"
MARKS = "marks"
# A probe asks how old the head of a queue is. Only upkeep may write here, and no log is bound.
PROBES = "probes"

QUEUES = ("send.now", "send.bulk", "track", "revoke", "record", "campaign", "ask", "webhooks")
# Seconds that each tier holds a job, by the value of its `tier` header.
TIERS: Mapping[str, int] = {"5s": 5, "30s": 30, "2m": 120, "10m": 600, "1h": 3600, "6h": 21600}
# A void says in the log that a publish was never confirmed: replay and the account skip that job.
VOID = "void"
# A gateway's mark: which withdrawals it has published. The key is bound to `marks` alone, so no log holds one.
MARK = "mark"
# A question is over at once; a webhook says again what is recorded, and is made again from the record.
UNLOGGED = ("ask", "webhooks")
LOGGED = (*(queue for queue in QUEUES if queue not in UNLOGGED), VOID)

DELIVERY_LIMIT = 50
# No queue gets so long. But where a policy's limit is taken away and none is left, RabbitMQ never tells those whom it
# had refused to go on, channels and dead-letter workers alike: with this one, a limit that goes is a limit that rises.
MOST = 1_000_000_000
ASK_SECONDS = 2
# An older mark says nothing that a newer one does not; without a reader the queue holds no more than these.
MARK_SECONDS = 30
LOG_DAYS = 14
# Retention drops whole segments only, so a quiet log needs small ones.
LOG_SEGMENT_BYTES = 20_000_000
# From this version on an absent delivery limit means 20; before it, -1 is refused.
UNLIMITED_SINCE = (4, 0)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A durable exchange and its type."""

    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable queue. Arguments are for ever: they hold what the laws rest on, and policies hold the rest."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Binding:
    """Queue bound to exchange by key (or, for `retry`, by headers)."""

    exchange: str
    queue: str
    key: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Role:
    """What one user may do: regular expressions for write and read, and the routing keys allowed on `jobs`."""

    write: str = "^$"
    read: str = "^$"
    keys: str = "^$"
    configure: str = "^$"
    tags: str = ""


_KINDS = {JOBS: "topic", RETRY: "headers", RETURN: "direct", PROBES: "direct", DEAD: "fanout"}
EXCHANGES = tuple(Exchange(name, kind) for name, kind in _KINDS.items())

_INTAKE = r"send\.now|send\.bulk|track|revoke|record"
_SETTLE = "^(retry|dead)$"
ROLES: Mapping[str, Role] = {
    "website": Role(write="^jobs$", keys=rf"^({_INTAKE}|campaign|void)$"),
    "gateway": Role(write="^jobs$", keys=rf"^({_INTAKE}|campaign|ask|void|mark)$"),
    "feedback": Role(write="^jobs$", keys="^(track|revoke|record|void)$"),
    "send": Role(write=_SETTLE, read=r"^send\.(now|bulk)$"),
    "track": Role(write=_SETTLE, read="^track$"),
    "revoke": Role(write=_SETTLE, read="^(revoke|marks)$"),
    "record": Role(write=_SETTLE, read="^record$"),
    # Replies go to the default exchange, which cannot be limited by key: hence a user of its own.
    "answer": Role(write=r"^(retry|dead|amq\.default)$", read="^ask$"),
    "campaign": Role(write="^(jobs|retry|dead)$", read="^campaign$", keys=r"^(send\.now|send\.bulk|void)$"),
    "upkeep": Role(
        write="^(jobs|retry|dead|probes)$", read=r"^(dead|jobs\.log)$", keys=rf"^({_INTAKE}|campaign|webhooks|void)$"
    ),
    "webhook": Role(write=_SETTLE, read="^webhooks$"),
    "ledger": Role(),  # it works on the database alone
    "topology": Role(write=".*", read=".*", keys=".*", configure=".*", tags="administrator"),
}


def queues(version: tuple[int, ...] = (3, 10)) -> tuple[Queue, ...]:
    """Every queue, with the arguments that this version of RabbitMQ understands."""
    work = [Queue(name, _work_arguments(name, version)) for name in QUEUES]
    tiers = [Queue(tier_queue(tier), _tier_arguments(seconds)) for tier, seconds in TIERS.items()]
    log: dict[str, Any] = {"x-queue-type": "stream", "x-max-age": f"{LOG_DAYS}D"}
    log["x-stream-max-segment-size-bytes"] = LOG_SEGMENT_BYTES
    dead = _refusing() | _unlimited(version)
    marks = {"x-queue-type": "quorum", "x-message-ttl": MARK_SECONDS * 1000, "x-delivery-limit": DELIVERY_LIMIT}
    return (*work, *tiers, Queue(DEAD, dead), Queue(MARKS, marks), Queue(LOG, log))


def bindings() -> tuple[Binding, ...]:
    """Every binding, each by an explicit key: a catch-all would hide unroutable jobs from `mandatory`."""
    return (
        *(Binding(exchange, name, name) for exchange in (JOBS, RETURN, PROBES) for name in QUEUES),
        *(Binding(JOBS, LOG, key) for key in LOGGED),
        *(Binding(RETRY, tier_queue(tier), "", {"x-match": "all", "tier": tier}) for tier in TIERS),
        Binding(DEAD, DEAD, ""),
        Binding(JOBS, MARKS, MARK),
    )


def tier_queue(tier: str) -> str:
    """The queue that holds the jobs of one tier."""
    return f"{RETRY}.{tier}"


def tier_for(seconds: float) -> str:
    """The shortest tier that is at least `seconds`, or the longest there is.

    >>> tier_for(0.1), tier_for(30), tier_for(31), tier_for(1e9)
    ('5s', '30s', '2m', '6h')
    """
    return next((tier for tier, held in TIERS.items() if held >= seconds), "6h")


def role_of(user: str) -> str:
    """The role of a user: `website.shop` is a website, `send` is send.

    >>> role_of("website.shop")
    'website'
    """
    return user.partition(".")[0]


def definitions(passwords: Mapping[str, str], vhost: str = "/", version: tuple[int, ...] = (3, 10)) -> dict[str, Any]:
    """RabbitMQ's definitions format for one virtual host, with a user for each entry of `passwords`.

    The keys of `passwords` are user names: a role, or a role and a name (`website.shop`). Raises KeyError for
    a user whose role does not exist. Passwords are stored salted and hashed (SHA-256), never as they are; a user whose
    password is empty cannot log in with one.
    """
    roles = {user: ROLES[role_of(user)] for user in passwords}
    return {
        "vhosts": [{"name": vhost}],
        "users": [_user(user, passwords[user], role) for user, role in roles.items()],
        "permissions": [_permission(user, role, vhost) for user, role in roles.items()],
        "topic_permissions": [
            {"user": user, "vhost": vhost, "exchange": JOBS, "write": keys_of(role), "read": "^$"}
            for user, role in roles.items()
        ],
        "exchanges": [_exchange(exchange, vhost) for exchange in EXCHANGES],
        "queues": [_queue(queue, vhost) for queue in queues(version)],
        "bindings": [_binding(binding, vhost) for binding in bindings()],
    }


def keys_of(role: Role) -> str:
    """The routing keys that the role may use on `jobs`, as the regular expression of its topic permission."""
    return role.keys


def _refusing() -> dict[str, Any]:
    """A queue that loses nothing: when it is full, whoever publishes keeps the job."""
    return {"x-queue-type": "quorum", "x-overflow": "reject-publish", "x-max-length": MOST}


def _unlimited(version: tuple[int, ...]) -> dict[str, Any]:
    return {"x-delivery-limit": -1} if version >= UNLIMITED_SINCE else {}


def _work_arguments(name: str, version: tuple[int, ...]) -> dict[str, Any]:
    arguments = _refusing()
    if name == "ask":
        # A question that nobody answered in time is dropped: there is nothing to replay.
        return arguments | {"x-message-ttl": ASK_SECONDS * 1000, "x-delivery-limit": DELIVERY_LIMIT}
    arguments |= {"x-dead-letter-exchange": DEAD, "x-dead-letter-strategy": "at-least-once"}
    # A withdrawal is tried until it is applied.
    return arguments | (_unlimited(version) if name == "revoke" else {"x-delivery-limit": DELIVERY_LIMIT})


def _tier_arguments(seconds: int) -> dict[str, Any]:
    return _refusing() | {
        "x-message-ttl": seconds * 1000,
        "x-dead-letter-exchange": RETURN,
        "x-dead-letter-strategy": "at-least-once",
    }


def _user(name: str, password: str, role: Role) -> dict[str, Any]:
    salt = os.urandom(4)
    hashed = base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode() if password else ""
    return {
        "name": name,
        "password_hash": hashed,
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": role.tags,
    }


def _permission(user: str, role: Role, vhost: str) -> dict[str, Any]:
    return {"user": user, "vhost": vhost, "configure": role.configure, "write": role.write, "read": role.read}


def _exchange(exchange: Exchange, vhost: str) -> dict[str, Any]:
    return {
        "name": exchange.name,
        "vhost": vhost,
        "type": exchange.kind,
        "durable": True,
        "auto_delete": False,
        "internal": False,
        "arguments": {},
    }


def _queue(queue: Queue, vhost: str) -> dict[str, Any]:
    arguments = dict(queue.arguments)
    return {"name": queue.name, "vhost": vhost, "durable": True, "auto_delete": False, "arguments": arguments}


def _binding(binding: Binding, vhost: str) -> dict[str, Any]:
    return {
        "source": binding.exchange,
        "vhost": vhost,
        "destination": binding.queue,
        "destination_type": "queue",
        "routing_key": binding.key,
        "arguments": dict(binding.arguments),
    }
