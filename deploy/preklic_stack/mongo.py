"""A private MongoDB replica set of one or three members, from the development wheel; or one that was given."""

import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from preklic_stack.children import Child, Children, NotReady
from preklic_stack.ports import free_ports
from preklic_stack.programs import Missing, find_mongod

SET = "preklic"
CACHE = "--wiredTigerCacheSizeGB"


@dataclass
class Mongo:
    """A replica set one can use; `members` is empty for one that was given by `PREKLIC_MONGO_URL`."""

    url: str
    members: list[Child] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    run_dir: Path | None = None
    options: Sequence[str] = ()
    urls: dict[str, str] = field(default_factory=dict)
    """The URL of each role's user, where `mongo_users` made them."""

    def url_of(self, role: str) -> str:
        """The URL for that role: as its own user, or as anybody's where there are no users."""
        return self.urls.get(role, self.url)

    def drop(self, *databases: str) -> None:
        """Forget these databases."""
        with MongoClient[dict[str, object]](self.url, serverSelectionTimeoutMS=10_000) as client:
            for name in databases:
                client.drop_database(name)

    def revive(self, children: Children, index: int = 0, seconds: float = 60) -> None:
        """Start a killed member again on its data and port; returns when the set has a primary."""
        if self.run_dir is None:
            raise Missing("a MongoDB that was given cannot be started here")
        children.forget(self.members[index])
        self.members[index] = _start_member(children, self.run_dir, index, self.ports[index], self.options)
        _wait_primary(self, time.monotonic() + seconds)


def own_cache() -> tuple[str, str]:
    """The option for the cache that mongod takes where nobody says how much: half of the memory less a gigabyte."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return CACHE, f"{max((total - 1) / 2, 0.25):.2f}"


def start_mongo(
    children: Children, run_dir: Path, members: int = 1, seconds: float = 60, options: Sequence[str] = ()
) -> Mongo:
    """A replica set with a primary: the one in `PREKLIC_MONGO_URL`, or a private one below `run_dir`.

    `options` are mongod's own; without one for its cache that is small, as tests need it. Its data is thrown away at
    the next start. Raises `Missing`, or `NotReady` with the end of a log.
    """
    if given := os.environ.get("PREKLIC_MONGO_URL"):
        return Mongo(given)
    shutil.rmtree(run_dir, ignore_errors=True)
    ports = free_ports(members)
    children.ports += ports
    started = [_start_member(children, run_dir, index, port, options) for index, port in enumerate(ports)]
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    mongo = Mongo(f"mongodb://{hosts}/?replicaSet={SET}", started, ports, run_dir, options)
    deadline = time.monotonic() + seconds
    _initiate(mongo, deadline)
    _wait_primary(mongo, deadline)
    return mongo


def _start_member(children: Children, run_dir: Path, index: int, port: int, options: Sequence[str]) -> Child:
    data = run_dir / f"data{index}"
    data.mkdir(parents=True, exist_ok=True)
    argv = [str(find_mongod()), "--dbpath", str(data), "--port", str(port), "--bind_ip", "127.0.0.1"]
    argv += ["--replSet", SET, "--noscripting", "--nounixsocket", "--quiet"]
    # Each collection and index is a file: those of databases that tests have dropped must not stay open for long.
    argv += ["--wiredTigerEngineConfigString", "file_manager=(close_idle_time=5,close_scan_interval=2)"]
    argv += ["--oplogSize", "512", *([] if CACHE in options else [CACHE, "0.25"])]
    # Fail points (`failCommand`) for the fault tests; full-time diagnostics and idle writers only cost a small machine.
    argv += ["--setParameter", "replWriterThreadCount=1", "--setParameter", "replWriterMinThreadCount=0"]
    argv += [
        "--setParameter",
        "enableTestCommands=1",
        "--setParameter",
        "diagnosticDataCollectionEnabled=false",
        *options,
    ]
    return children.start(f"mongod {index}", argv, log=run_dir / f"mongod{index}.log", disposable=True)


def _initiate(mongo: Mongo, deadline: float) -> None:
    hosts = [{"_id": i, "host": f"127.0.0.1:{port}"} for i, port in enumerate(mongo.ports)]
    settings = {"electionTimeoutMillis": 2000, "heartbeatIntervalMillis": 500}
    configuration = {"_id": SET, "members": hosts, "settings": settings}
    for child, port in zip(mongo.members, mongo.ports, strict=True):
        _until_answers(child, port, deadline)
    with MongoClient[dict[str, object]]("127.0.0.1", mongo.ports[0], directConnection=True) as client:
        client.admin.command("replSetInitiate", configuration)


def _until_answers(child: Child, port: int, deadline: float) -> None:
    while time.monotonic() < deadline and child.alive():
        try:
            with MongoClient[dict[str, object]](
                "127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=200
            ) as client:
                client.admin.command("ping")
        except PyMongoError:
            time.sleep(0.05)
        else:
            return
    raise NotReady(f"mongod did not start: {child.tail()}")


def _wait_primary(mongo: Mongo, deadline: float) -> None:
    with MongoClient[dict[str, object]](mongo.url, serverSelectionTimeoutMS=1000) as client:
        while time.monotonic() < deadline:
            try:
                if client.admin.command("hello").get("isWritablePrimary"):
                    return
            except PyMongoError:
                pass
            time.sleep(0.05)
    raise NotReady(f"the replica set elected no primary: {mongo.members[0].tail() if mongo.members else mongo.url}")
