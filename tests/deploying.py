"""The tools that check deploy/: found, or the test is skipped on a laptop and fails in continuous integration."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from preklic_workers import __file__ as workers

ROOT = Path(workers).parents[2]
DEPLOY = ROOT / "deploy"


def tool(name):
    """The program's path: of this environment first."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        missing = f"{name} is not installed: run deploy/bootstrap checks"
        pytest.fail(missing) if os.environ.get("CI", "").lower() == "true" else pytest.skip(missing)
    return found


def checked(name, *arguments, **options):
    """Run a tool to its end: what it printed. Fails with that when the tool is not content."""
    done = subprocess.run(
        [tool(name), *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False, **options
    )
    assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
    return done.stdout


def documents(text):
    return [found for found in yaml.safe_load_all(text) if found is not None]
