"""The benchmarks run: a few jobs for each way of measuring, no figures asserted."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import erasing, importing
from bench.__main__ import PACES, draw, run_group
from bench.costs import costs
from bench.ground import PEERS, Ground, prepared
from bench.machine import describe
from bench.report import lines
from bench.rows import GROUPS, LIMITS, ROWS
from preklic_stack.children import Children
from preklic_stack.mailsink import MailSink
from preklic_stack.mongo import Mongo
from preklic_stack.rabbit import Rabbit

# One contender for each way of measuring; `make bench-quick` runs them all.
SOME = {
    "publish": ("preklic send_many", "pika, confirm each"),
    "noop": ("preklic 1x64", "dramatiq async 1x32"),
    "send": ("preklic 2 processes", "preklic ungated"),
    "share": ("raw aiosmtplib pool",),
    "track": ("preklic 2 processes", "pika, insert_many"),
    "click": ("preklic gateway", "starlette, empty"),
    "growth": ("preklic, 1,000 messages", "preklic, many messages"),
    "ledger": ("preklic, lag",),
    "latency": ("preklic payment", "preklic click"),
    "life": ("preklic, idle", "preklic, long run"),
}


@pytest.fixture
def ground(processes: Children, rabbit: Rabbit, mongo: Mongo, sink: MailSink, tmp_path: Path) -> Iterator[Ground]:
    with prepared(Ground(tmp_path, processes, rabbit, mongo, sink)) as ground:
        yield ground


def test_every_row_names_contenders() -> None:
    for row in ROWS:
        assert {row.ours, row.theirs} <= set(GROUPS[row.group])
    for limit in LIMITS:
        assert limit.ours in GROUPS[limit.group]


def test_erasing_runs(ground: Ground) -> None:
    found = erasing.run(ground, people=60, erasures=10)
    assert 0 < found["p50"] <= found["p99"] <= found["max"]


def test_the_benchmarks_run(ground: Ground) -> None:
    found = {}
    for name, chosen in SOME.items():
        contenders = {contender: GROUPS[name][contender] for contender in chosen}
        samples, faults = run_group(ground, name, contenders, PACES["smoke"], peers=PEERS.exists())
        assert not faults
        assert set(samples) == {c for c in chosen if c.startswith("preklic") or PEERS.exists()}
        found[name] = samples
    assert len(lines(ROWS, LIMITS, found)) > len(ROWS) + len(LIMITS)
    assert costs(found, describe(ground)) is not None
    if PEERS.exists():
        told, picture = ground.run_dir / "bench.json", ground.run_dir / "bench.svg"
        told.write_text(json.dumps({"machine": describe(ground), "groups": found}))
        draw(told, picture)
        assert "</svg>" in picture.read_text()


def test_the_import_is_measured(mongo: Mongo, tmp_path: Path) -> None:
    found = importing.measure(tmp_path, mongo, 50)
    assert (found["rows"], found["most memory, MB"] < 200) == (50, True)
