"""MAIL and RCPT in one write, where the relay offers it; what it refuses is known by its phase all the same."""

import pytest

from preklic_workers.smtp.conversation import Accepted, Connection, Lost, Patience, Rejected, stuff
from preklic_workers.smtp.pool import Limits, RelayPool, Target
from preklic_workers.smtp.replies import Phase, Reply
from scripted import scripted

BODY = stuff(b"Message-ID: <pool@lucrum.example>\r\n\r\nx\r\n")
OFFERED = {True: b"250-scripted\r\n250 PIPELINING\r\n", False: b"250-scripted\r\n250 8BITMIME\r\n"}


def begin(session):
    return session.begin("bounce@lucrum.example", "ana@primer.si")


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize(
    ("verb", "answer", "ended"),
    [
        ("MAIL", b"451 4.3.0 later\r\n", Rejected(Reply(451, "4.3.0"), Phase.MAIL)),
        ("RCPT", b"550 5.1.1 nobody\r\n", Rejected(Reply(550, "5.1.1"), Phase.RCPT)),
        ("RCPT", b"421 4.3.2 closing\r\n", Rejected(Reply(421, "4.3.2"), Phase.RCPT)),
        ("RCPT", b"334 what\r\n", Lost(Phase.RCPT, body_sent=False)),
    ],
)
async def test_a_refusal_is_known_by_its_phase(pipelining, verb, answer, ended):
    async with scripted(EHLO=OFFERED[pipelining], **{verb: answer}) as relay:
        pool = RelayPool(Target("127.0.0.1", relay.port, "worker.lucrum.example", tls="off"), Limits())
        async with pool.session() as session:
            assert await begin(session) == ended
        await pool.close()
    assert ("RCPT" in relay.heard) == (pipelining or verb == "RCPT")
    assert "DATA" not in relay.heard


@pytest.mark.parametrize("rcpt", [b"", b"25"])
async def test_a_refusal_of_mail_is_certain_whatever_becomes_of_the_rest(rcpt):
    refusal = {"MAIL": b"550 5.7.26 not authenticated\r\n", "RCPT": rcpt}
    async with scripted(EHLO=OFFERED[True], **refusal) as relay:
        limits = Limits(patience=Patience(envelope=0.3))
        pool = RelayPool(Target("127.0.0.1", relay.port, "worker.lucrum.example", tls="off"), limits)
        async with pool.session() as session:
            assert await begin(session) == Rejected(Reply(550, "5.7.26"), Phase.MAIL)
            assert not session.connection.usable
        await pool.close()


@pytest.mark.parametrize("pipelining", [True, False])
async def test_a_session_goes_on_after_a_refusal(pipelining):
    async with scripted(EHLO=OFFERED[pipelining], MAIL=b"451 4.3.0 later\r\n") as relay:
        pool = RelayPool(Target("127.0.0.1", relay.port, "worker.lucrum.example", tls="off"), Limits())
        async with pool.session() as session:
            await begin(session)
        relay.answers["MAIL"] = b"250 2.1.0 ok\r\n"
        async with pool.session() as session:
            connection = await begin(session)
            assert isinstance(connection, Connection)
            assert isinstance(await connection.data(BODY), Accepted)
        await pool.close()
    rest = ["RSET", "MAIL", "RCPT", "DATA", "body", "QUIT"]
    assert relay.heard == ["EHLO", "MAIL", *(["RCPT"] if pipelining else []), *rest]
