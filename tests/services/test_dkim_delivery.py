"""What arrives at the relay verifies there, whatever stands in it."""

import re

import dkim
import pytest

from preklic_workers.compose.dkim import Signers
from preklic_workers.keyfiles import make_dkim
from preklic_workers.outcomes import Done
from sending import DATA, composer, open_desk, route, send_job

TO = "ana@primer.si"
HARD = "Žgance\n.\n..\n" + "a" * 5000 + "\nFrom here on  two blanks \t\n.\n"


@pytest.mark.attack(32, guard="preklic_workers.compose.dkim:signature")
async def test_the_signature_of_a_mail_verifies_where_it_arrives(mongo_url, mongo_database, sink, tmp_path):
    key = make_dkim(tmp_path, "lucrum.example", "s1", "rsa")
    record = "".join(re.findall('"([^"]*)"', key.record())).encode()
    desk = await open_desk(mongo_url, mongo_database, [route(sink.port)])
    await desk.grant(TO, "newsletter", switches=("engagement.clicks", "engagement.opens"))
    job = send_job()
    deps = {"composer": composer(Signers([key]))}
    assert await desk.send(job, TO, data=DATA["newsletter"] | {"intro": HARD}, deps=deps) == Done()
    await desk.close()
    (mail,) = [mail for mail in sink.mails() if mail["job"] == job.id]
    assert dkim.verify(mail["raw"], dnsfunc=lambda name, **_: record if name == f"{key.name}.".encode() else None)
