"""What the figures were measured on: cores, memory and versions, never a name of a host or a path."""

import json
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from bench.ground import PEERS, Ground

OURS = ("aiosmtplib", "cryptography", "dramatiq", "motor", "pika", "pymongo", "starlette", "uvicorn", "uvloop")
THEIRS = (
    "aiosmtplib",
    "celery",
    "dramatiq",
    "faststream",
    "kombu",
    "pika",
    "pymongo",
    "starlette",
    "uvicorn",
    "uvloop",
)
ASK = (
    "import json, sys; from importlib.metadata import version; print(json.dumps({n: version(n) for n in sys.argv[1:]}))"
)


def describe(ground: Ground) -> dict[str, Any]:
    """Machine and versions as JSON values."""
    overview = ground.rabbit.management.call("GET", "overview")
    assert isinstance(overview, dict)
    with MongoClient(ground.mongo.url) as client:
        mongodb = client.server_info()["version"]
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "rabbitmq": overview["rabbitmq_version"],
        "mongodb": mongodb,
        "ours": {name: version(name) for name in OURS},
        "peers": _peers(),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _peers() -> dict[str, str]:
    if not PEERS.exists():
        return {}
    told = subprocess.run([str(PEERS), "-c", ASK, *THEIRS], capture_output=True, text=True, check=True)
    return dict(json.loads(told.stdout))
