"""The command `preklic` without the guards that `GUARDS_OFF` names: how a test's own processes lose theirs, too."""

import os

import pytest

from guards import switch_off
from preklic_producers.gateway import app
from preklic_shared.command import main
from preklic_workers import roles

# Loaded first, so that a guard is replaced wherever it was imported to.
LOADED = (app, roles)


def without_guards() -> None:
    patch = pytest.MonkeyPatch()
    for guard in filter(None, os.environ.get("GUARDS_OFF", "").split(",")):
        switch_off(guard, patch)
    main()


if __name__ == "__main__":
    without_guards()
