"""A website installs the wheel beside a `shared` package of its own, and publishes as a user with few rights."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import pytest

from preklic_shared.topology import definitions
from preklic_stack.system import System
from waiting import until

ROOT = Path(__file__).parents[2]
WEBSITE = """
import importlib.util, json, sys
import shared.prices
from preklic_producers import Producer, Proof

heavy = [name for name in ("motor", "aiosmtplib", "starlette", "typer") if importlib.util.find_spec(name)]
with Producer.from_env() as preklic:
    proof = Proof(wording="novice-1", source="https://trgovina.example/novice", method="form")
    grant = preklic.grant("ana@trgovina.example", ["newsletter"], proof=proof, confirmed=True)
    sent = preklic.send("ana@trgovina.example", "newsletter", "newsletter", json.loads(sys.argv[1]), after=grant)
print(json.dumps({"heavy": heavy, "price": shared.prices.PRICE, "sent": sent.job_id}))
"""


@pytest.fixture
def website(tmp_path) -> Path:
    """A virtual environment with the wheel and what it needs from the hashed lock, and nothing else."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    wheel_args = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run([*pip, *wheel_args], check=True)
    (wheel,) = tmp_path.glob("preklic-*.whl")
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    into = [*pip, "--python", str(python), "install"]
    lock = ["--require-hashes", "-r", str(ROOT / "requirements" / "producer.txt")]
    installed = subprocess.run([*into, *lock], capture_output=True, text=True, check=False)
    if installed.returncode != 0 and os.environ.get("CI") != "true":
        pytest.skip("no package index to be reached")
    assert installed.returncode == 0, installed.stderr
    subprocess.run([*into, "--no-deps", str(wheel)], check=True)
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "__init__.py").touch()
    (tmp_path / "shared" / "prices.py").write_text("PRICE = 42\n")
    return tmp_path


@pytest.mark.timeout(180)
def test_a_website_with_few_rights_and_few_packages_gets_its_mail_out(
    website, rabbit, mongo, mongo_database, vhost, sink, processes
):
    system = System(website / "system", processes, rabbit, mongo, sink, vhost=vhost, database=mongo_database)
    system.prepare()
    rabbit.management.call("POST", "definitions", definitions({"website.shop": "pass-of-the-shop"}, vhost))
    for role in ("record", "send"):
        system.start("worker", role, role=role)
    data = {"title": "Novice", "intro": "Jesen.", "articles": []}
    environment = {
        "PREKLIC_AMQP_URL": as_user(rabbit.amqp_url(vhost), "website.shop", "pass-of-the-shop"),
        "PREKLIC_SEALING_KEYS": str(system.keys / "producers" / "sealing.json"),
        "PYTHONPATH": str(website),
    }
    done = subprocess.run(
        [str(website / "venv" / "bin" / "python"), "-c", WEBSITE, json.dumps(data)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["heavy"], said["price"]) == ([], 42)
    until(lambda: said["sent"] in sink_ids(sink), 60, f"the mail {said['sent']} arrives")


def sink_ids(sink) -> set[str]:
    return {line["job"] for line in sink.lines() if line["phase"] == "accepted"}


def as_user(url: str, user: str, password: str) -> str:
    parts = urlsplit(url)
    netloc = f"{quote(user)}:{quote(password)}@{parts.hostname}:{parts.port}"
    return urlunsplit(parts._replace(netloc=netloc))
