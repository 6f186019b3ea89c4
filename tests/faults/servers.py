"""Faults of the broker and of MongoDB, each with its end. A server that was given is neither stopped nor starved."""

import random
import time
from contextlib import suppress
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import quote

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from faults.world import World
from preklic_shared.topology import ROLES, role_of

_LIMITED: Final = ("send", "revoke", "record", "track", "website.site")
_FAILING: Final = (
    {"failCommands": ["update"], "errorCode": 91, "errorLabels": ["RetryableWriteError"]},
    {"failCommands": ["update", "insert", "findAndModify"], "closeConnection": True},
    {"failCommands": ["update"], "writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out"}},
    {"failCommands": ["insert"], "writeConcernError": {"code": 91, "errmsg": "shutdown in progress"}},
    {"failCommands": ["find"], "closeConnection": True},
)
# Queues by the pattern that a policy names: what producers publish to, and what workers put aside.
HOLDING: Final = r"^(retry\.(5s|30s|2m)|dead)$"
_FULL: Final = (r"^send\.bulk$", r"^revoke$", HOLDING)


class Servers:
    """Breaks servers and mends them again; each method returns when that fault is over."""

    def __init__(self, world: World, chance: random.Random) -> None:
        self._world = world
        self._chance = chance
        self._private = world.system.rabbit.child is not None
        self.alone = len(world.system.mongo.members) < 2
        """Whether the replica set has one member."""
        self._tiers = None if world.lease is None else round(1000 * world.lease / 2)

    def hasten_tiers(self) -> None:
        """With short leases long waits are as short: the policy's time counts where it is less than the queue's own."""
        if self._tiers is not None:
            self._policy("tiers", r"^retry\.(30s|2m|10m|1h|6h)$", {"message-ttl": self._tiers}, priority=1)
        else:
            self._policy("tiers", r"^retry\.(10m|1h|6h)$", {"message-ttl": 120_000}, priority=1)

    def close_connections(self) -> None:
        """Some connections end, as an administrator ends them."""
        there: Any = self._world.manage("GET", "vhosts/{vhost}/connections")
        for one in self._chance.sample(there, min(len(there), self._chance.randint(1, 4))):
            with suppress(HTTPError, URLError):
                self._world.manage("DELETE", f"connections/{quote(one['name'], safe='')}")

    def lose_permission(self) -> None:
        """One user may not write, or not read, for a while."""
        if not self._world.passwords:
            return
        user = self._chance.choice(_LIMITED)
        role = ROLES[role_of(user)]
        whole = {"configure": role.configure, "write": role.write, "read": role.read}
        lost = {"write": "^$"} if user.startswith("website") else self._chance.choice([{"write": "^$"}, {"read": "^$"}])
        self._permit(user, whole | lost)
        try:
            time.sleep(self._chance.uniform(1, 4))
        finally:
            self._permit(user, whole)

    def fill_queue(self, pattern: str = "") -> None:
        """A queue takes no more."""
        self._policy("full", pattern or self._chance.choice(_FULL), {"max-length": 1}, priority=9)
        try:
            time.sleep(self._chance.uniform(2, 4))
        finally:
            self._world.manage("DELETE", "policies/{vhost}/full")

    def memory_alarm(self) -> None:
        """The broker blocks whoever publishes."""
        if not self._private:
            return
        rabbit = self._world.system.rabbit
        rabbit.ctl("set_vm_memory_high_watermark", "absolute", "1000000")
        try:
            time.sleep(self._chance.uniform(1, 4))
        finally:
            rabbit.ctl("set_vm_memory_high_watermark", "0.4")

    def stop_broker(self) -> None:
        """The node dies, and starts again on its data."""
        if not self._private:
            return
        self._world.system.rabbit.kill()
        time.sleep(self._chance.uniform(0, 2))
        self._world.system.rabbit.revive(self._world.stack.children)

    def fail_command(self) -> None:
        """MongoDB answers some commands wrongly, or not at all, after it has done them or without."""
        fault = {**self._chance.choice(_FAILING), "appName": "preklic"}
        self._admin({"configureFailPoint": "failCommand", "mode": {"times": self._chance.randint(1, 6)}, "data": fault})

    def step_down(self) -> None:
        """The primary steps down; another one, or the same one a little later, is elected."""
        with suppress(PyMongoError):
            self._admin({"replSetStepDown": 3, "secondaryCatchUpPeriodSecs": 1, "force": True})
        self._until_primary()

    def kill_mongo(self) -> None:
        """The primary dies with what it was committing, and starts again."""
        mongo = self._world.system.mongo
        if not mongo.members:
            return
        index = self._primary()
        mongo.members[index].kill()
        time.sleep(self._chance.uniform(0, 2))
        mongo.revive(self._world.stack.children, index)

    def shrink(self) -> None:
        """The set goes on with its primary alone."""
        mongo, index = self._world.system.mongo, self._primary()
        with self._client() as client:
            config: Any = client.admin.command("replSetGetConfig")["config"]
            config["members"] = [one for one in config["members"] if one["host"].endswith(f":{mongo.ports[index]}")]
            client.admin.command("replSetReconfig", config, force=True)
        for place, member in enumerate(mongo.members):
            if place != index:
                member.kill()
        self.alone = True

    def mend(self) -> None:
        """Whatever was interrupted: policies, permissions, fail points."""
        with suppress(HTTPError):
            self._world.manage("DELETE", "policies/{vhost}/full")
        with suppress(PyMongoError):
            self._admin({"configureFailPoint": "failCommand", "mode": "off"})
        self._until_primary()

    def _policy(self, name: str, pattern: str, definition: dict[str, object], *, priority: int) -> None:
        body = {"pattern": pattern, "definition": definition, "apply-to": "queues", "priority": priority}
        self._world.manage("PUT", f"policies/{{vhost}}/{name}", body)

    def _permit(self, user: str, rights: dict[str, str]) -> None:
        self._world.manage("PUT", f"permissions/{{vhost}}/{quote(user, safe='')}", rights)

    def _admin(self, command: dict[str, object]) -> None:
        with self._client() as client:
            client.admin.command(command)

    def _client(self) -> MongoClient[dict[str, Any]]:
        return MongoClient(self._world.system.mongo.url, serverSelectionTimeoutMS=10_000)

    def _primary(self) -> int:
        with self._client() as client:
            client.admin.command("ping")
            address = client.primary
        ports = self._world.system.mongo.ports
        return ports.index(address[1]) if address and address[1] in ports else 0

    def _until_primary(self, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        with self._client() as client:
            while time.monotonic() < deadline:
                with suppress(PyMongoError):
                    if client.admin.command("hello").get("isWritablePrimary"):
                        return
                time.sleep(0.1)
