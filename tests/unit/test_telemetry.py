import ast
import doctest
import json
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preklic_shared import metrics, telemetry

GUARD = "preklic_shared.telemetry:"
ROOMS = [Path(__file__).parents[2] / room for room in ("shared", "producers", "workers")]
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}


@pytest.fixture
def lines(capsys):
    def read():
        return [json.loads(line) for line in capsys.readouterr().err.split("\n") if line]

    return read


@pytest.mark.attack(66, guard=GUARD + "plain")
@pytest.mark.parametrize(
    "value",
    [
        'x\n{"event": "forged"}',
        "\x1b[31mred\x1b[0m",
        "a\rb",
        "a\u2028b",
        "\u202egnp",
        "ana@primer.si",
        "\0",
        ["ana"],
        {"a": 1},
        b"ana",
        10**400,
    ],
)
def test_a_value_that_could_carry_more_is_withheld(value, lines):
    telemetry.logger("room").info("job settled", reason=value)
    (line,) = lines()
    assert line["reason"] == telemetry.WITHHELD


@pytest.mark.attack(66, guard=GUARD + "plain")
def test_a_megabyte_is_cut(lines):
    telemetry.logger("room").info("job settled", reason="a" * 1_000_000)
    (line,) = lines()
    assert len(line["reason"]) == telemetry.MAX_VALUE


@pytest.mark.attack(66, guard=GUARD + "static")
@pytest.mark.parametrize("message", ["sent to ana@primer.si", "a\nb", "x" * 1000, "\x1b[31m", "", {"a": 1}])
def test_a_message_that_is_no_static_text_is_withheld(message, lines):
    telemetry.logger("room").warning(message)
    (line,) = lines()
    assert line["event"] == telemetry.WITHHELD


def test_an_unknown_key_is_dropped_and_counted(lines):
    telemetry.logger("room").info("job settled", job="j", to="ana", address="x", seconds=0.25)
    (line,) = lines()
    assert line.items() >= {"event": "job settled", "logger": "room", "job": "j", "seconds": 0.25, "dropped": 2}.items()
    assert {"to", "address"}.isdisjoint(line)


def test_an_exception_is_type_frames_and_code(lines):
    class OddError(ValueError):
        code = "odd"

    try:
        try:
            int("ana@primer.si")
        except ValueError as error:
            raise OddError("Ana Novak") from error
    except OddError:
        telemetry.logger("room").exception("job failed")
    (line,) = lines()
    assert line["error"].endswith("OddError")
    assert (line["causes"], line["code"]) == (["ValueError"], "odd")
    assert line["frames"][-1].endswith("test_an_exception_is_type_frames_and_code")
    assert "Ana" not in json.dumps(line)
    assert "primer" not in json.dumps(line)


@pytest.fixture
def configured():
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers[:] = [telemetry.ForeignHandler(logging.WARNING)]
    yield
    root.handlers[:] = before
    root.setLevel(level)


@pytest.mark.usefixtures("configured")
@given(st.text(max_size=50))
def test_a_librarys_message_is_dropped(text):
    record = logging.LogRecord("pika.x", logging.ERROR, "f", 1, "for %s", (text,), None)
    line = json.loads(telemetry.render(None, "error", {"event": "foreign message", "logger": record.name}))
    assert set(line) == {"at", "level", "event", "logger"}


@pytest.mark.usefixtures("configured")
def test_a_foreign_logger_writes_its_name_and_level_alone(lines):
    logging.getLogger("aiosmtplib.protocol").error("RCPT TO:<%s>", "ana@primer.si")
    (line,) = lines()
    assert {key: line[key] for key in ("level", "event", "logger")} == {
        "level": "error",
        "event": "foreign message",
        "logger": "aiosmtplib.protocol",
    }
    assert "primer" not in json.dumps(line)


@given(st.dictionaries(st.sampled_from(sorted(telemetry.ALLOWED)), st.text(max_size=400), max_size=5))
def test_a_line_is_one_line_of_json_without_an_address(fields):
    text = telemetry.render(None, "info", {"event": "job settled", **fields})
    assert text.isascii()
    assert "\n" not in text
    assert "@" not in text
    assert json.loads(text)["event"] == "job settled"


def log_calls():
    for room in ROOMS:
        for file in room.rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                    continue
                owner = node.func.value
                if node.func.attr in LEVELS and isinstance(owner, ast.Name) and owner.id in {"log", "logger", "_log"}:
                    yield f"{file.name}:{node.lineno}", node


def test_every_log_call_has_a_static_message_and_allowed_keys():
    faults, seen = [], 0
    for place, call in log_calls():
        seen += 1
        message = call.args[0] if call.args else None
        if not isinstance(message, ast.Constant) or telemetry.static(message.value) == telemetry.WITHHELD:
            faults.append(f"{place}: message")
        keys = {keyword.arg for keyword in call.keywords} - telemetry.ALLOWED - {"exc_info", "frames"}
        faults += [f"{place}: {key}" for key in sorted(keys, key=str)]
    assert seen
    assert not faults


def test_each_metric_says_when_to_page():
    named = {metric.name: metric.documentation for metric in metrics.REGISTRY.collect()}
    assert all("Page when" in text for text in named.values())
    assert {
        "preklic_jobs",
        "preklic_job_seconds",
        "preklic_queue_age_seconds",
        "preklic_withdrawal_effect_seconds",
        "preklic_jobs_unaccounted",
        "preklic_in_doubt",
        "preklic_dead",
        "preklic_outbox_age_seconds",
        "preklic_track_events",
        "preklic_relay_replies",
    } <= set(named)
    assert b"preklic_jobs_unaccounted 0.0" in metrics.exposition()
    assert doctest.testmod(metrics).failed == 0
