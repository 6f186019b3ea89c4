"""Processors (U8): a contract that ends stops what is under way, and each hand-over names who got the address."""

import datetime as dt
import json

import pytest

from commanding import Commands
from preklic_shared.settings import SettingsError, load_settings
from preklic_workers import send_plan
from preklic_workers.doctor.carriers import contracts
from preklic_workers.doctor.finding import Patient
from preklic_workers.outcomes import Done, Refused, RetryLater
from preklic_workers.smtp import routes
from preklic_workers.smtp.pool import RelayPool, Session
from preklic_workers.store import Messages
from sending import PROCESSOR, open_desk, route, send_job

TO = "ana@primer.si"
LAPSED = "preklic_workers.smtp.routes:lapsed"
TODAY = dt.datetime.now(dt.UTC).date()


@pytest.fixture
async def desk(mongo_url, mongo_database, sink):
    desk = await open_desk(mongo_url, mongo_database, [route(sink.port)])
    await desk.grant(TO, "newsletter")
    yield desk
    await desk.close()


@pytest.fixture
def tomorrow(monkeypatch):
    """Turns the page of the calendar by which contracts are judged."""

    def turn():
        for module in (routes, send_plan):
            monkeypatch.setattr(module, "today", lambda: TODAY + dt.timedelta(days=1))

    return turn


def until_today(desk):
    """The desk's relay with a contract that ends today, and its pool as it is."""
    (here,) = desk.deps.routes
    fields = {name: getattr(PROCESSOR, name) for name in PROCESSOR.__struct_fields__}
    return routes.Route(here.name, type(PROCESSOR)(**fields | {"valid_to": TODAY.isoformat()}), here.pool)


def after(original, turn):
    """The method, and then the next day."""

    async def turned(*arguments, **named):
        answer = await original(*arguments, **named)
        turn()
        return answer

    return turned


@pytest.mark.clause("U8", guard=LAPSED)
@pytest.mark.parametrize("owner", [(Messages, "claim"), (RelayPool, "take_slot")], ids=["claimed", "waited for a slot"])
async def test_a_contract_that_ends_after_the_claim_stops_the_mail_before_its_address_is_told(
    desk, sink, monkeypatch, tomorrow, owner
):
    kind, name = owner
    ending = {"routes": [until_today(desk)]}
    before = sink.counts()
    with monkeypatch.context() as turning:
        turning.setattr(kind, name, after(getattr(kind, name), tomorrow))
        job = send_job()
        assert await desk.send(job, TO, deps=ending) == RetryLater(5, "processor_invalid", count=False)
    assert sink.counts() == before
    assert (await desk.person(TO)).open == ()
    assert await desk.send(job, TO, deps=ending) == Refused("processor_invalid")
    assert (await desk.state(job)).state == "refused"


@pytest.mark.clause("U8", guard=LAPSED)
async def test_no_body_follows_when_the_contract_ends_between_envelope_and_gate(desk, sink, monkeypatch, tomorrow):
    monkeypatch.setattr(Session, "begin", after(Session.begin, tomorrow))
    job = send_job()
    outcome = await desk.send(job, TO, deps={"routes": [until_today(desk)]})
    assert outcome == RetryLater(5, "processor_invalid", count=False)
    assert [line["phase"] for line in sink.lines() if line.get("job") == job.id] == []
    assert (await desk.person(TO)).open == ()


@pytest.mark.clause("U8", guard="preklic_workers.smtp.routes:contracted")
async def test_a_session_that_was_kept_open_is_not_used_after_the_last_day(desk, sink, tomorrow):
    ending = {"routes": [until_today(desk)]}
    assert await desk.send(send_job(), TO, deps=ending) == Done()
    tomorrow()
    assert await desk.send(send_job(), TO, deps=ending) == Refused("processor_invalid")
    assert len(sink.mails()) == 1


@pytest.mark.clause("U8", guard="preklic_workers.store.claims:fixed_fields")
async def test_who_gets_the_address_is_recorded_before_it_is_told(desk, sink, monkeypatch):
    seen = []

    async def looked(session, *arguments, **named):
        seen.append(await desk.state(job))
        return await begin(session, *arguments, **named)

    begin = Session.begin
    monkeypatch.setattr(Session, "begin", looked)
    job = send_job()
    await desk.send(job, TO)
    assert [(doc.relay, doc.processor) for doc in seen] == [("sink", PROCESSOR.name)]


REGISTER = """
[[processors]]
name = "Mail company"
contract = "2026/1"
country = "SI"
valid_from = "2020-01-01"
valid_to = "{valid_to}"

[[relays]]
name = "first"
host = "mail.example"
processor = "{processor}"
"""


@pytest.fixture
def preklic(monkeypatch, capsys, tmp_path):
    def run(*arguments, days=300, processor="Mail company"):
        file = tmp_path / "preklic.toml"
        file.write_text(REGISTER.format(valid_to=TODAY + dt.timedelta(days=days), processor=processor))
        return Commands(monkeypatch, capsys, {"PREKLIC_CONFIG": str(file)})(*arguments)

    return run


def test_the_register_is_listed_with_days_left_and_relays(preklic):
    code, out, _ = preklic("processors", "--json")
    (row,) = json.loads(out)
    assert code == 0
    assert (row["name"], row["contract"], row["country"]) == ("Mail company", "2026/1", "SI")
    assert (row["days_left"], row["relays"], row["state"]) == (300, ["first"], "valid")
    assert "first" in preklic("processors")[1]


def test_a_relay_without_a_valid_processor_is_a_finding(preklic):
    code, out, _ = preklic("processors", "--json", days=-1)
    assert (code, [(row["state"], row["days_left"]) for row in json.loads(out)]) == (1, [("invalid", 0)])
    code, out, _ = preklic("processors", "--json", processor="Nobody")
    assert (code, [row["state"] for row in json.loads(out)]) == (1, ["valid", "unregistered"])


@pytest.mark.parametrize(("days", "warned"), [(0, True), (29, True), (30, False)])
def test_the_doctor_warns_a_month_ahead(preklic, tmp_path, days, warned):
    preklic("processors", days=days)
    config = load_settings({"PREKLIC_CONFIG": str(tmp_path / "preklic.toml")})
    found = list(contracts(Patient(config)))
    assert [one.what for one in found] == [f"the contract with Mail company ends in {days} days"] * warned


@pytest.mark.clause("U8", guard="preklic_workers.smtp.routes:contracted")
def test_a_worker_with_such_a_relay_does_not_start(preklic, tmp_path):
    preklic("processors", days=-1)
    settings = load_settings({"PREKLIC_CONFIG": str(tmp_path / "preklic.toml")})
    with pytest.raises(SettingsError, match="PROCESSORS"):
        routes.open_routes(settings, TODAY)
