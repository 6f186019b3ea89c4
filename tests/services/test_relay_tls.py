"""A relay that cannot prove itself (attack 36): no mail, a later attempt, an alarm; another relay carries it."""

import asyncio
import datetime as dt
import re
import ssl
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from preklic_workers.outcomes import Done, RetryLater
from preklic_workers.smtp.pool import Limits, RelayPool, Target
from relaying import desk_for
from scripted import scripted
from sending import route, send_job
from sink.certificate import server_context

TO = "ana@primer.si"
VERIFYING = "preklic_workers.smtp.pool:verifying"


def certificate(folder, *, name="localhost", days=1):
    """A self-signed certificate for `name` that is valid for so many days from now; negative: it has expired."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=9))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    path = folder / "relay.pem"
    path.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + made.public_bytes(pem))
    return path


@asynccontextmanager
async def starttls(pem):
    """A relay that offers STARTTLS with this certificate, and takes whatever comes after it; the verbs it heard."""
    heard = []

    async def serve(reader, writer):
        try:
            writer.write(b"220 relay ESMTP\r\n")
            while line := await reader.readline():
                verb = line[:8].split()[0].upper()
                heard.append(verb)
                if verb == b"STARTTLS":
                    writer.write(b"220 go\r\n")
                    await writer.start_tls(server_context(pem))
                    continue
                writer.write(b"354 go\r\n" if verb == b"DATA" else b"250-relay\r\n250 STARTTLS\r\n")
                if verb == b"DATA":
                    await reader.readuntil(b"\r\n.\r\n")
                    heard.append(b"body")
                    writer.write(b"250 2.0.0 ok\r\n")
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], heard
    finally:
        server.close()


def secure(port, trusted):
    """A route to it that trusts this certificate and no other, or what the system trusts."""
    context = ssl.create_default_context(cafile=str(trusted)) if trusted else None
    pool = RelayPool(Target("localhost", port, "worker.lucrum.example"), Limits(connect_seconds=5), context)
    return replace(route(port, name="a"), pool=pool, weight=1_000_000)


@pytest.fixture
async def desk(mongo_url, mongo_database, sink):
    async with desk_for(mongo_url, mongo_database, [route(sink.port, name="b")], TO) as desk:
        yield desk


async def test_a_relay_that_proves_itself_gets_the_mail(desk, tmp_path):
    pem = certificate(tmp_path)
    async with starttls(pem) as (port, heard):
        assert await desk.send(send_job(), TO, deps={"routes": [secure(port, pem)]}) == Done()
    assert heard.count(b"body") == 1


FAULTS = {
    "nobody vouches for it": ({}, False),
    "expired": ({"days": -1}, True),
    "of another name": ({"name": "mail.example"}, True),
}


@pytest.mark.attack(36, guard=VERIFYING)
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_bad_certificate_gets_no_mail_an_alarm_and_another_relay(desk, sink, tmp_path, capsys, fault):
    how, trusted = FAULTS[fault]
    pem = certificate(tmp_path, **how)
    async with starttls(pem) as (port, heard):
        bad, job = secure(port, pem if trusted else None), send_job()
        outcome = await desk.send(job, TO, deps={"routes": [bad]})
        assert outcome == RetryLater(30, "relay_tls")
        alarmed(desk, capsys)
        assert await desk.send(job, TO, attempt=1, deps={"routes": [bad, *desk.deps.routes]}) == Done()
    assert set(heard) <= {b"EHLO", b"STARTTLS"}
    assert len(sink.mails()) == 1


@pytest.mark.attack(36, guard="preklic_workers.smtp.standing:failed")
async def test_a_relay_without_starttls_gets_no_mail_an_alarm_and_another_relay(desk, sink, capsys):
    async with scripted() as relay:
        bare, job = secure(relay.port, None), send_job()
        assert await desk.send(job, TO, deps={"routes": [bare]}) == RetryLater(30, "relay_tls")
        alarmed(desk, capsys)
        assert await desk.send(job, TO, attempt=1, deps={"routes": [bare, *desk.deps.routes]}) == Done()
    assert set(relay.heard) <= {"EHLO", "QUIT"}
    assert len(sink.mails()) == 1


def alarmed(desk, capsys):
    """The metric that pages, and a line in the log that names the relay and nobody else."""
    assert desk.replies == [("a", "tls")]
    said = capsys.readouterr()
    (line,) = [line for line in (said.out + said.err).splitlines() if "cannot prove itself" in line]
    assert re.search(r"relay\W+a\b", line)
    assert TO not in line
