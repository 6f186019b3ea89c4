"""Preklic itself on a running stack: its settings, keys and topology, and its processes."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from preklic_stack.children import Child, Children
from preklic_stack.mailsink import MailSink
from preklic_stack.mongo import Mongo
from preklic_stack.rabbit import Rabbit

SETTINGS = """\
amqp_url = "{amqp}"
management_url = "{management}"
mongo_url = "{mongo}"
mongo_database = "{database}"
sealing_keys = "{keys}/producers/sealing.json"
{state}mail_domain = "preklic.example"

[[relays]]
name = "{relay}"
host = "127.0.0.1"
port = {smtp}
tls = "off"
processor = "sink"
connections = {connections}

[[processors]]
name = "sink"
contract = "development only"
country = "SI"
valid_from = "2026-01-01"
valid_to = "2099-12-31"
{more}"""


class CommandFailed(Exception):
    """A `preklic` command ended with another status than expected; the message shows what it printed."""


@dataclass
class System:
    """Where one Preklic lives: `folder` holds its settings file, keys and logs. The `vhost` must exist.

    `relay` is what the sink is called, `more` is text at the end of the settings.
    """

    folder: Path
    children: Children
    rabbit: Rabbit
    mongo: Mongo
    sink: MailSink
    vhost: str = "/"
    database: str = "preklic"
    connections: int = 32
    more: str = ""
    relay: str = "sink"

    @property
    def keys(self) -> Path:
        """The folder with a key directory for each role."""
        return self.folder / "keys"

    def environment(self, role: str = "") -> dict[str, str]:
        """The environment of a process: of `PREKLIC_*` the settings file alone, and the key directory of `role`."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PREKLIC_")}
        kept["PREKLIC_CONFIG"] = str(self.folder / "preklic.toml")
        if self.mongo.urls:
            kept["PREKLIC_MONGO_URL"] = self.mongo.url_of(role or "topology")
        return kept | ({"PREKLIC_KEY_DIR": str(self.keys / role)} if role else {})

    def prepare(self) -> None:
        """Write the settings, make keys, declare the topology."""
        self.configure()
        for command in self.preparing:
            self.run(*command)

    @property
    def preparing(self) -> Sequence[Sequence[str]]:
        """The commands that make keys and topology, once the settings are written."""
        return (("keys", "init", "--root", str(self.keys)), ("topology", "apply"))

    def configure(self) -> None:
        """Write the settings."""
        self.folder.mkdir(parents=True, exist_ok=True)
        text = SETTINGS.format(
            amqp=self.rabbit.amqp_url(self.vhost),
            management=self.rabbit.management.url,
            mongo=self.mongo.url,
            database=self.database,
            keys=self.keys,
            # A database that was given outlives this folder, and would be taken for a restored one.
            state=f'state_dir = "{self.folder / "state"}"\n' if self.mongo.members else "",
            relay=self.relay,
            smtp=self.sink.port,
            connections=self.connections,
            more=self.more,
        )
        (self.folder / "preklic.toml").write_text(text)

    def run(
        self, *arguments: str, role: str = "", keys: Path | None = None, expect: int | None = 0, seconds: float = 60
    ) -> str:
        """Run `preklic ...` to its end; its standard output. Raises `CommandFailed` unless it ends with `expect`.

        `keys` is another key directory than the role's own.
        """
        done = subprocess.run(
            [*PREKLIC, *arguments],
            env=self.environment(role) | ({"PREKLIC_KEY_DIR": str(keys)} if keys else {}),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if expect is not None and done.returncode != expect:
            raise CommandFailed(f"preklic {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def start(self, *arguments: str, role: str, extra: Mapping[str, str] | None = None) -> Child:
        """Start `preklic ...` as a process with the keys of `role`; its output goes to `<folder>/log/<role>.log`."""
        environment = self.environment(role) | dict(extra or {})
        log = self.folder / "log" / f"{role}.log"
        return self.children.start(role, [*PREKLIC, *arguments], env=environment, log=log)


PREKLIC = (str(Path(sys.executable).with_name("preklic")),)
