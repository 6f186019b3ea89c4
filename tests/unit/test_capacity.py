"""What a load needs, reckoned from costs; and costs that are none."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.costs import costs as costs_of
from preklic_shared.cli import run
from preklic_workers.capacity import BUSY, Cost, Costs, Load, Unusable, ceilings, parts, peak, read_costs, waits

COSTS = Costs(
    "a machine",
    publish=Cost(100, 20),
    mail=Cost(700, 50, 200),
    request=Cost(150, 60),
    event=Cost(50, 30, 25),
    queue=20_000,
)
LOAD = Load(mails=1000, opens=1500, clicks=500)


def test_each_program_has_its_share_of_the_work() -> None:
    busy = {part.name: (round(part.cores, 3), part.processes) for part in parts(LOAD, COSTS)}
    assert busy == {
        "website (publishing)": (0.1, 1),
        "worker send": (0.7, 1),
        "gateway": (0.3, 1),
        "worker track": (0.1, 1),
        "RabbitMQ": (0.25, None),
        "MongoDB": (0.25, None),
    }


def test_a_process_is_planned_for_a_part_of_its_core_only() -> None:
    send = next(part for part in parts(Load(mails=1001), COSTS) if part.name == "worker send")
    assert send.processes == 2
    assert send.cores / BUSY > 1


def test_what_is_full_first_comes_first_and_comes_twice_as_early_at_twice_the_load() -> None:
    one, two = ceilings(LOAD, COSTS, 2), ceilings(Load(2000, 3000, 1000), COSTS, 2)
    assert [ceiling.times for ceiling in one] == sorted(ceiling.times for ceiling in one)
    assert [a.times / b.times for a, b in zip(one, two, strict=True)] == pytest.approx([2.0] * 4)
    assert {c.name: c.times for c in one}["MongoDB's primary"] == pytest.approx(BUSY * 2 / 0.25)
    # A queue that nobody writes to is no ceiling.
    assert {c.name for c in ceilings(Load(mails=10), COSTS, 2)} & {"the queue track"} == set()


def test_a_peak_is_waited_for_and_is_over_some_time() -> None:
    # One process does 1,428 mails a second: twice 1,000 for 10 s leaves 5,714, which 428 a second more than usual
    # work off in 13.3 s.
    bulk, track = peak(LOAD, COSTS, 2, 10)
    assert (bulk.queue, round(bulk.longest, 1), bulk.over) == ("send.bulk", 4.0, 23.0)
    assert (track.queue, track.longest, track.over) == ("track", 0.0, 0.0)


def test_no_peak_no_wait() -> None:
    assert list(waits(10, 20, 1, 3)) == [0.0] * 4


def test_the_costs_of_this_version_are_there() -> None:
    assert read_costs().queue > 1000


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"costs": null}',
        '{"costs": {"machine": "m"}}',
        json.dumps(
            {"costs": {"machine": "m", "queue": 0} | {key: {} for key in ("publish", "mail", "event", "request")}}
        ),
        "\xff",
        " " * (1 << 20) + "{}",
    ],
)
def test_what_holds_no_costs_is_refused(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bench.json"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(Unusable):
        read_costs(file)
    assert run(["capacity", "--mails", "1", "--costs", str(file)]) == 2
    assert "make bench" in capsys.readouterr().err


def test_the_command_says_what_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["capacity", "--mails", "10000", "--opens", "5000"]) == 0
    said = capsys.readouterr().out
    assert all(word in said for word in ("worker send", "MongoDB", "Full first", "send.bulk waits", "Measured on"))
    assert run(["capacity", "--mails", "10000", "--opens", "5000", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {"load", "measured", "parts", "ceilings", "peak"}
    assert told["load"] == {"mails": 10000.0, "opens": 5000.0, "clicks": 0.0}


@pytest.mark.parametrize(
    "argv", [["--mails", "0"], ["--mails", "-1"], ["--mails", "nan"], ["--mails", "1", "--costs", "no"]]
)
def test_a_load_that_is_none_is_refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["capacity", *argv]) == 2
    assert capsys.readouterr().err


def test_a_bench_run_becomes_costs_that_can_be_read(tmp_path: Path) -> None:
    def shown(name: str, own: str) -> dict[str, Any]:
        return {name: [{"rate": 9.0, "cpu": {own: 7.0, "rabbitmq": 0.5, "mongod": 2.0, "sink": 1.0}}]}

    groups = {
        "publish": shown("preklic send_many", "client"),
        "send": shown("preklic 2 processes", "worker"),
        "track": shown("preklic 2 processes", "worker"),
    }
    machine = {"cores": 2, "processor": "p", "python": "3", "rabbitmq": "3", "mongodb": "6"}
    assert costs_of(groups, machine) is None
    found = costs_of(groups | {"click": shown("preklic gateway", "server")}, machine)
    file = tmp_path / "bench.json"
    file.write_text(json.dumps({"version": 2, "costs": found}))
    assert read_costs(file).mail == Cost(ours=700, rabbitmq=50, mongod=200)
