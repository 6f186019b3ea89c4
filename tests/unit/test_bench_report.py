"""The arithmetic of the benchmark's report."""

import pytest

from bench.report import Limit, Row, Spread, by_cpu, heading, kept, lines, markdown, of, ratio, show, spread, verdict

SEND = Row("send against celery", "send", "ours", "celery", "times", 3, 8)
SHARE = Row("share of a raw pool", "share", "ours", "raw", "share", 0.12, 0.35)
GATE = Row("what the gate costs", "send", "ours", "without", "cost", 2, 1.35)


def sample(rate: float, cpu: float = 5.0) -> dict[str, object]:
    return {"rate": rate, "jobs": 10, "cpu": {"worker": cpu, "mongod": 1.0}, "memory": {"worker": 50.0}, "more": {}}


def test_spread_is_the_median_with_its_ends() -> None:
    assert spread([3, 1, 2, 10]) == Spread(2.5, 1, 10)
    assert spread([]) is None


def test_a_ratio_is_of_medians_and_its_ends_are_of_turns() -> None:
    assert ratio(SEND, [200, 300, 400], [100, 100, 50]) == Spread(3, 2, 8)


def test_a_cost_turns_the_ratio_round() -> None:
    assert ratio(GATE, [100], [150]) == Spread(1.5, 1.5, 1.5)


def test_what_did_not_run_has_no_ratio() -> None:
    assert ratio(SEND, [100], []) is None
    assert of(SEND, {"send": {"ours": [sample(5)]}}) is None
    assert verdict(SEND, None) == "not measured"


@pytest.mark.parametrize(
    ("row", "value", "said"),
    [
        (SEND, 8, "goal"),
        (SEND, 3, "floor"),
        (SEND, 2.99, "below the floor"),
        (GATE, 1.35, "goal"),
        (GATE, 1.9, "floor"),
        (GATE, 2.1, "below the floor"),
    ],
)
def test_verdict(row: Row, value: float, said: str) -> None:
    assert verdict(row, Spread(value, value, value)) == said


def test_ratios_are_shown_as_the_targets_write_them() -> None:
    assert [show(SEND, value) for value in (1.234, 15.4, None)] == ["1.2x", "15x", "-"]
    assert show(SHARE, 0.1234) == "12%"


def test_the_table_names_every_contender_and_leaves_out_what_was_not_asked_for() -> None:
    groups = {"send": {"ours": [sample(900), sample(1000)], "celery": [sample(300), sample(310)], "without": []}}
    text = "\n".join(lines([SEND, SHARE, GATE], [], groups))
    assert "send against celery" in text
    assert "3.1x" in text
    assert "worker 5" in text
    assert "without" in text
    assert "does not run" in text
    assert "raw pool" not in text


def test_cpu_of_all_processes_together_gives_the_same_kind_of_ratio() -> None:
    groups = {"send": {"ours": [sample(1, 3)], "celery": [sample(1, 11)], "without": [sample(1, 1)]}}
    assert by_cpu(SEND, groups) == 3
    assert by_cpu(GATE, groups) == 2
    assert by_cpu(SHARE, groups) is None


def test_the_heading_names_versions() -> None:
    machine = {"cores": 2, "processor": "x", "memory_gb": 4, "system": "s", "python": "3.11", "rabbitmq": "3.10"}
    text = heading({**machine, "mongodb": "6.0", "ours": {"pika": "1.4.4"}, "peers": {"celery": "5.7.0"}})
    assert "2 cores" in text
    assert "pika 1.4.4" in text
    assert "celery 5.7.0" in text


@pytest.mark.parametrize(("megabytes", "word"), [(80, "goal"), (90, "goal"), (119, "floor"), (121, "above the floor")])
def test_a_limit_is_kept_from_above(megabytes: float, word: str) -> None:
    limit = Limit("memory, MB", "life", "ours", "all_mb", 120, 90)
    groups = {"life": {"ours": [sample(1) | {"more": {"all_mb": megabytes}}]}}
    assert kept(limit, groups) == (megabytes, word)
    assert word in "\n".join(lines([], [limit], groups))
    assert kept(limit, {}) is None


def test_the_readmes_table_has_what_was_measured_and_nothing_else() -> None:
    groups = {"send": {"ours": [sample(900)], "celery": [sample(300)]}}
    limit = Limit("memory, MB", "life", "ours", "all_mb", 120, 90)
    assert markdown([SEND, SHARE], [limit], groups)[2:] == ["| send against celery | **3x** | 3x - 3x | 3x | 8x |"]
