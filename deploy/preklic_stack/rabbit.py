"""A private RabbitMQ: own epmd, node name, cookie and folders, on loopback only; or one that was given."""

import base64
import json
import os
import shutil
import subprocess
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

from preklic_stack.children import Child, Children, NotReady
from preklic_stack.ports import free_ports
from preklic_stack.programs import Missing, RabbitPrograms, find_rabbit

CONFIGURATION = """\
listeners.tcp.1 = 127.0.0.1:{amqp}
management.tcp.ip = 127.0.0.1
management.tcp.port = {management}
management.rates_mode = basic
management_agent.disable_metrics_collector = false
collect_statistics_interval = 2000
log.console = false
# In a folder entered with chroot there may be no /proc to read the memory from.
vm_memory_calculation_strategy = allocated
log.file.level = warning
vm_memory_high_watermark.relative = 0.4
disk_free_limit.absolute = 50MB
"""
# No busy waiting: a development broker shares two cores with everything else.
ERLANG = "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none"


@dataclass
class Management:
    """The management API of a broker. `url` holds no credentials."""

    url: str
    user: str
    password: str

    def call(self, method: str, path: str, body: object = None, seconds: float = 20) -> object:
        """One request below `/api`; the decoded answer, or None. Raises `HTTPError`, `URLError`."""
        token = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
        request = Request(f"{self.url}/api/{path}", data=data, method=method, headers=headers)
        with urlopen(request, timeout=seconds) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def version(self) -> tuple[int, ...]:
        """The broker's version, as `preklic_shared.topology.definitions` takes it."""
        overview = self.call("GET", "overview")
        assert isinstance(overview, dict)
        return tuple(int(part) for part in str(overview["rabbitmq_version"]).split(".")[:2])

    def add_vhost(self, name: str) -> None:
        """A fresh virtual host on which this user may do everything, also set topic permissions."""
        self.call("PUT", f"vhosts/{quote(name, safe='')}")
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        self.call("PUT", f"permissions/{quote(name, safe='')}/{self.user}", everything)

    def delete_vhost(self, name: str) -> None:
        """Its queues, connections and permissions end with it."""
        self.call("DELETE", f"vhosts/{quote(name, safe='')}")

    def add_user(self, name: str, password: str, tags: str = "") -> None:
        """Create or change a user."""
        self.call("PUT", f"users/{quote(name, safe='')}", {"password": password, "tags": tags})

    def delete_user(self, name: str) -> None:
        """Its connections are closed by the broker within seconds."""
        self.call("DELETE", f"users/{quote(name, safe='')}")


@dataclass
class Rabbit:
    """A broker one can use. `child` and `epmd` are None for one that was given by `PREKLIC_AMQP_URL`."""

    host: str
    port: int
    user: str
    password: str
    management: Management
    run_dir: Path | None = None
    environment: dict[str, str] | None = None
    programs: RabbitPrograms | None = None
    child: Child | None = None
    epmd: Child | None = None

    def amqp_url(self, vhost: str = "/", user: str | None = None, password: str | None = None) -> str:
        """`amqp://user:password@host:port/vhost`, everything quoted."""
        name, word = quote(user or self.user, safe=""), quote(password or self.password, safe="")
        return f"amqp://{name}:{word}@{self.host}:{self.port}/{quote(vhost, safe='')}"

    def ctl(self, *arguments: str, seconds: float = 60) -> str:
        """`rabbitmqctl ...` on this node: its output. Raises `CalledProcessError`. Only on a private node."""
        if self.programs is None or self.environment is None:
            raise Missing("rabbitmqctl needs a broker that this stack started")
        argv = self.programs.argv("rabbitmqctl", "-q", *arguments)
        done = subprocess.run(argv, env=self.environment, check=True, capture_output=True, text=True, timeout=seconds)
        return done.stdout

    def kill(self) -> None:
        """SIGKILL to the node; its data stays for `revive`."""
        if self.child is not None:
            self.child.kill()

    def revive(self, children: Children, seconds: float = 60) -> None:
        """Start the killed node again on the same data and ports; returns when it is ready."""
        if self.child is not None:
            children.forget(self.child)
        self.child = _start_node(self, children)
        _wait(self, seconds)


def start_rabbit(children: Children, run_dir: Path, seconds: float = 60) -> Rabbit:
    """A ready broker: the one in `PREKLIC_AMQP_URL`, or a private one below `run_dir`.

    Its data is thrown away at the next start. Raises `Missing`, or `NotReady` with the end of the log.
    """
    if given := os.environ.get("PREKLIC_AMQP_URL"):
        return given_rabbit(given)
    programs = find_rabbit()
    place = programs.root / "run/preklic" / uuid.uuid4().hex[:8] if programs.root else run_dir
    shutil.rmtree(run_dir, ignore_errors=True)
    (place / "home").mkdir(parents=True)
    run_dir.mkdir(parents=True, exist_ok=True)
    epmd_port, distribution, amqp, management = free_ports(4)
    children.ports += [epmd_port, distribution, amqp, management]
    url = f"http://127.0.0.1:{management}"
    (place / "rabbitmq.conf").write_text(CONFIGURATION.format(amqp=amqp, management=management))
    (place / "plugins").write_text("[rabbitmq_management].\n")
    rabbit = Rabbit("127.0.0.1", amqp, "guest", "guest", Management(url, "guest", "guest"), run_dir, programs=programs)
    rabbit.environment = _environment(programs.inside(place), epmd_port, distribution)
    epmd = programs.enter("epmd", "-port", str(epmd_port), "-address", "127.0.0.1")
    rabbit.epmd = children.start("epmd", epmd, env=rabbit.environment, log=run_dir / "epmd.log", disposable=True)
    rabbit.child = _start_node(rabbit, children)
    _wait(rabbit, seconds)
    return rabbit


def given_rabbit(url: str) -> Rabbit:
    """A broker that runs already; its management API is at `PREKLIC_MANAGEMENT_URL` or on port 15672."""
    parts = urlsplit(url)
    host, user, password = parts.hostname or "127.0.0.1", parts.username or "guest", parts.password or "guest"
    management = os.environ.get("PREKLIC_MANAGEMENT_URL", f"http://{host}:15672").rstrip("/")
    return Rabbit(host, parts.port or 5672, user, password, Management(management, user, password))


def _environment(place: str, epmd_port: int, distribution_port: int) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
    return kept | {
        "HOME": f"{place}/home",
        "ERL_EPMD_PORT": str(epmd_port),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": f"preklic-{uuid.uuid4().hex[:8]}@localhost",
        "RABBITMQ_DIST_PORT": str(distribution_port),
        "RABBITMQ_MNESIA_BASE": f"{place}/data",
        "RABBITMQ_LOG_BASE": f"{place}/log",
        "RABBITMQ_CONFIG_FILE": f"{place}/rabbitmq.conf",
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_ENABLED_PLUGINS_FILE": f"{place}/plugins",
        "RABBITMQ_PID_FILE": f"{place}/pid",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": ERLANG,
        # The start script then execs the Erlang machine, so that the pid we hold is the broker's own.
        "RUNNING_UNDER_SYSTEMD": "true",
    }


def _start_node(rabbit: Rabbit, children: Children) -> Child:
    if rabbit.programs is None or rabbit.run_dir is None:
        raise Missing("a broker that was given cannot be started here")
    argv, log = rabbit.programs.argv("rabbitmq-server"), rabbit.run_dir / "rabbitmq.log"
    return children.start("rabbitmq", argv, env=rabbit.environment, log=log, disposable=True)


def _wait(rabbit: Rabbit, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if rabbit.child is not None and not rabbit.child.alive():
            break
        try:
            rabbit.management.call("GET", "health/checks/local-alarms", seconds=2)
            rabbit.management.call("GET", f"health/checks/port-listener/{rabbit.port}", seconds=2)
        except (HTTPError, URLError, OSError):
            time.sleep(0.1)
        else:
            return
    raise NotReady(f"RabbitMQ did not start: {rabbit.child.tail() if rabbit.child else rabbit.management.url}")
