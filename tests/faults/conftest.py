"""The kill run spends most of its time waiting for leases: it runs beside the other tests, and is looked at last."""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

TESTS = Path(__file__).resolve().parents[1]
RUNNING = pytest.StashKey["Running"]()


class Running:
    """`python -m MODULE` as a process of its own, with its report and output in a folder."""

    def __init__(self, module: str, *options: str) -> None:
        self._folder = TemporaryDirectory(prefix="preklic-kill-run-")
        self.report = Path(self._folder.name) / "report.json"
        self.log = Path(self._folder.name) / "log"
        argv = [sys.executable, "-m", module, *options, "--json", str(self.report)]
        with self.log.open("wb") as out:
            environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, sys.path)])}
            self.process = subprocess.Popen(argv, env=environment, stdout=out, stderr=subprocess.STDOUT)

    def close(self) -> None:
        """End it, as a person would: it stops its servers on SIGTERM."""
        self.process.terminate()
        self.process.wait(timeout=60)
        self._folder.cleanup()


def _is_kill_run(item: pytest.Item) -> bool:
    return "a_killed_worker_loses_nothing" in item.name


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_is_kill_run)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    if not session.config.option.collectonly and any(_is_kill_run(item) for item in session.items):
        session.config.stash[RUNNING] = Running("faults.kill_run", "--sends", "500", "--kills", "1", "--persons", "100")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if RUNNING in session.config.stash:
        session.config.stash[RUNNING].close()


@pytest.fixture
def kill_run(request: pytest.FixtureRequest) -> Running:
    return request.config.stash[RUNNING]
