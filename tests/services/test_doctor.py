"""`preklic doctor` on real services: a small DNS server, relays of every fault, users with wrong rights."""

import asyncio
import datetime as dt
import json
from contextlib import asynccontextmanager
from urllib.parse import quote

import pytest
from pymongo import MongoClient

from commanding import Commands
from living import users_of
from naming import NameServer
from preklic_shared import telemetry
from preklic_shared.registry import load_registry
from preklic_shared.settings import Relay
from preklic_workers import keyfiles
from preklic_workers.dkim_keys import generate
from preklic_workers.doctor.carriers import meet
from preklic_workers.envelope import WrappedKey
from preklic_workers.store.kept_keys import aside
from sink.certificate import make_certificate, server_context

DOMAIN = "bounces.lucrum.example"


@pytest.fixture
def doctor(monkeypatch, capsys, rabbit, url, mongo_url, mongo_database, sink, tmp_path):
    """Run the doctor as the administrator of a whole installation; the rows that are not good."""
    monkeypatch.setattr(telemetry, "configure", lambda: None)
    root = tmp_path / "keys"
    keyfiles.init_keys(root, dt.datetime.now(dt.UTC))
    environment = {
        "AMQP_URL": url,
        "MANAGEMENT_URL": rabbit.management.url,
        "MONGO_URL": mongo_url,
        "MONGO_DATABASE": mongo_database,
        "KEY_DIR": root,
        "STATE_DIR": tmp_path / "state",
        "SEALING_KEYS": root / "producers" / "sealing.json",
        "SEALING_PIN": (root / "producers" / "root.pub").read_text(),
        "MAIL_DOMAIN": DOMAIN,
        "RELAYS__0__NAME": "sink",
        "RELAYS__0__HOST": "127.0.0.1",
        "RELAYS__0__PORT": sink.port,
        "RELAYS__0__TLS": "off",
        "RELAYS__0__PROCESSOR": "sink",
        "PROCESSORS__0__NAME": "sink",
        "PROCESSORS__0__CONTRACT": "1",
        "PROCESSORS__0__COUNTRY": "SI",
        "PROCESSORS__0__VALID_FROM": "2026-01-01",
        "PROCESSORS__0__VALID_TO": "2099-12-31",
    }
    commands = Commands(monkeypatch, capsys, {f"PREKLIC_{name}": str(value) for name, value in environment.items()})
    assert commands("topology", "apply")[0] == 0

    def run(*arguments, expect):
        code, out, complaint = commands("doctor", "--json", *arguments)
        assert code == expect, (out, complaint)
        rows = json.loads(out)
        assert all(row["why"] and row["mend"] for row in rows if row["state"] == "finding")
        return [row for row in rows if row["state"] != "good"]

    run.root = root
    return run


def records_of(key):
    """What a domain in good order publishes."""
    senders = sorted(load_registry().sender_domains)
    good = {
        (DOMAIN, "MX"): ["10 mx.lucrum.example."],
        (DOMAIN, "TXT"): ['"v=spf1 ip4:192.0.2.1 -all"', '"unrelated"'],
        (f"_mta-sts.{DOMAIN}", "TXT"): ['"v=STSv1; id=1"'],
        (key.name, "TXT"): [key.record()],
    }
    return good | {(f"_dmarc.{domain}", "TXT"): ['"v=DMARC1; p=reject"'] for domain in senders}


def test_a_whole_installation_is_good_and_each_fault_is_named_with_its_mend(doctor, rabbit, vhost):
    assert {row["check"]: row["state"] for row in doctor(expect=0)} == {"dns": "unseen"}
    with users_of(rabbit, vhost, "feedback"):
        # The topology: a queue that is gone, a binding that is gone, and one that copies every job.
        rabbit.management.call("DELETE", f"queues/{vhost}/retry.5s")
        rabbit.management.call("DELETE", f"bindings/{vhost}/e/jobs/q/jobs.log/revoke")
        rabbit.management.call("PUT", f"queues/{vhost}/spy", {"durable": True})
        rabbit.management.call("POST", f"bindings/{vhost}/e/jobs/q/spy", {"routing_key": "#"})
        # A user of a role who may do more than it needs.
        user = f"feedback.{vhost}"
        wide = {"configure": "^$", "write": ".*", "read": "^$"}
        rabbit.management.call("PUT", f"permissions/{vhost}/{quote(user)}", wide)
        found = doctor("--only", "topology,permissions", expect=1)
    rabbit.management.call("DELETE", f"queues/{vhost}/spy")
    said = {row["what"]: row["mend"] for row in found}
    assert said["queue retry.5s missing"] == "preklic topology apply"
    assert said["binding jobs -> jobs.log (revoke) is missing"] == "preklic topology apply"
    assert "rabbitmqadmin" in said["binding jobs -> spy (#) is extra"]
    assert said[f"the user {user} may write .*, its role ^jobs$"].startswith("preklic topology definitions")
    # The keys: readable by others.
    (doctor.root / "send" / "lookup.hmac").chmod(0o640)
    (row,) = doctor("--only", "keys", expect=1)
    assert "can be read by others" in row["what"]
    assert row["mend"].startswith("chmod 600")


def test_a_key_that_no_round_of_upkeep_moves_to_its_hold_is_found(doctor, mongo_url, mongo_database):
    now = dt.datetime.now(dt.UTC)
    waiting = [
        aside("p" * 43, group, WrappedKey(1, bytes([number]) * 60), now - dt.timedelta(minutes=minutes))
        for number, (group, minutes) in enumerate([("contact", 14), ("evidence", 16), ("payments", 600)])
    ]
    with MongoClient(mongo_url) as client:
        client[f"{mongo_database}_keys"]["keys"].insert_many(waiting)
    (row,) = doctor("--only", "holds", expect=1)
    assert row["what"].endswith("for more than 15 minutes: 2")


def test_the_dns_is_asked_at_the_given_server_alone(doctor):
    key = generate("lucrum.example", "s1", "rsa")
    (doctor.root / "send" / key.file).write_bytes(key.pem())
    (doctor.root / "send" / key.file).chmod(0o600)
    good = records_of(key)
    # A key of 2048 bits does not fit everywhere: such an answer comes over TCP.
    with NameServer(good, small=True) as server:
        assert doctor("--only", "dns", "--resolver", server.place, expect=0) == []
        assert (DOMAIN, "MX") in server.asked
    with NameServer({(key.name, "TXT"): ['"v=DKIM1; k=rsa; p="']}) as server:
        found = " ".join(row["what"] for row in doctor("--only", "dns", "--resolver", server.place, expect=1))
        for word in ("no MX record", "no SPF record", "no MTA-STS record", "no DMARC policy", "is revoked"):
            assert word in found
    with NameServer(good, silent=True) as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr("preklic_workers.doctor.resolver.Resolver.__init__.__kwdefaults__", {"seconds": 0.3})
        (row,) = doctor("--only", "dns", "--resolver", server.place, expect=1)
        assert row["what"].startswith(f"the resolver {server.place} gives no answer")


def test_what_is_no_check_and_no_resolver_is_a_usage_error(monkeypatch, capsys):
    commands = Commands(monkeypatch, capsys, {})
    assert commands("doctor", "--only", "relays,weather")[0] == 2
    assert commands("doctor", "--resolver", "localhost")[0] == 2


@asynccontextmanager
async def relay(greeting, pem=None):
    async def serve(reader, writer):
        try:
            writer.write(greeting)
            while line := await reader.readline():
                if line.upper().startswith(b"STARTTLS"):
                    writer.write(b"220 go\r\n")
                    await writer.start_tls(server_context(pem))
                else:
                    writer.write(b"250-relay\r\n250 STARTTLS\r\n" if pem else b"250 relay\r\n")
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_each_fault_of_a_relay_is_named_within_its_time(tmp_path, free_port):
    pem = make_certificate(tmp_path)

    async def said(port, **more):
        one = Relay(name="sink", host="127.0.0.1", port=port, processor="sink", **more)
        return " ".join(found.what for found in await meet(one, "worker.example", seconds=0.5))

    async with relay(b"220 relay ESMTP\r\n", pem) as port:
        # It is trusted here, and ends tomorrow.
        assert "ends in 0 days" in await said(port, ca_file=str(pem))
        assert "does not offer AUTH" in await said(port, ca_file=str(pem), username="us")
        assert "cannot prove itself: self-signed certificate" in await said(port)
        assert await said(port, tls="off") == ""
    async with relay(b"220 relay ESMTP\r\n") as port:
        assert "does not offer STARTTLS" in await said(port)
    async with relay(b"554 go away\r\n") as port:
        assert "cannot be spoken to: SMTPConnectResponseError" in await said(port)
    async with relay(b"") as port:
        assert "did not answer within" in await said(port)
    assert "cannot be spoken to" in await said(free_port)
