import datetime as dt
import doctest

import pytest

from preklic_shared.relay_settings import Relay
from preklic_shared.settings import Processor, Settings, SettingsError
from preklic_workers import handover, send
from preklic_workers.handover import too_late
from preklic_workers.smtp import conversation
from preklic_workers.smtp.routes import contracted, open_routes

TODAY = dt.date(2026, 11, 23)


def processor(**changes):
    fields = {"name": "P", "contract": "1", "country": "SI", "valid_from": "2026-01-01", "valid_to": "2026-12-31"}
    return Processor(**(fields | changes))


def settings(*processors, **relay):
    fields = {"name": "r", "host": "mail.example", "processor": "P"}
    return Settings(relays=(Relay(**(fields | relay)),), processors=processors)


def test_the_examples_in_the_module_hold():
    assert doctest.testmod(send).failed == 0


@pytest.mark.parametrize(
    ("seconds", "alive", "reason"),
    [(0.0, True, None), (1.99, True, None), (2.0, True, "gate_late"), (0.0, False, "channel_gone")],
)
def test_data_begins_within_two_seconds_on_an_open_channel(seconds, alive, reason):
    assert too_late(seconds, lambda: alive) == reason


def test_the_clock_of_the_gate_runs_forward():
    assert 0 <= handover.since_boot() <= handover.since_boot()


@pytest.mark.clause("U8", guard="preklic_workers.smtp.routes:contracted")
@pytest.mark.parametrize(
    "dates",
    [
        {"valid_to": "2026-11-22"},
        {"valid_from": "2026-11-24"},
        {"valid_to": ""},
        {"valid_to": "for ever"},
        {"valid_from": "22. 11. 2026"},
    ],
)
def test_a_relay_without_a_valid_contract_does_not_start(dates):
    with pytest.raises(SettingsError, match="PROCESSORS"):
        open_routes(settings(processor(**dates)), TODAY)


def test_a_relay_of_nobody_or_no_relay_does_not_start():
    with pytest.raises(SettingsError, match="RELAYS"):
        open_routes(settings(), TODAY)
    with pytest.raises(SettingsError, match="RELAYS"):
        open_routes(Settings(), TODAY)
    with pytest.raises(SettingsError, match="RELAYS"):
        open_routes(settings(processor(), password_file="/no/such/file"), TODAY)


def test_a_contract_covers_its_first_and_last_day():
    assert contracted(processor(valid_from="2026-11-23", valid_to="2026-11-23"), TODAY)
    (route,) = open_routes(settings(processor()), TODAY)
    assert (route.name, route.processor.name) == ("r", "P")


@pytest.mark.parametrize(
    "address", ["evil@y.si> <a@x.si", "a@x.si, b@y.si", "a@x.si;b@y.si", "a@x.si\r\nDATA", "a", ""]
)
def test_an_envelope_takes_exactly_one_mailbox(address):
    with pytest.raises(ValueError, match="exactly one"):
        conversation.mailbox(address)


@pytest.mark.attack(32, guard="preklic_workers.smtp.conversation:stuff")
@pytest.mark.parametrize("raw", [b".\r\n", b"a\r\n.\r\nb\r\n", b"a\r\n..b\r\n", b".a\r\n.\r\n"])
def test_dots_at_line_starts_are_doubled(raw):
    wire = conversation.stuff(raw)
    assert wire.index(b"\r\n.\r\n") == len(wire) - 5
    lines = wire[:-3].split(b"\r\n")
    assert b"\r\n".join(line.removeprefix(b".") for line in lines) == raw
