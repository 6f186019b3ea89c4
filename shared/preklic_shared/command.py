"""The program `preklic`. It says what to install where the libraries of the command line are not there."""

import sys
from importlib import import_module
from typing import NoReturn

from preklic_shared.cores import leave_no_core


def main() -> NoReturn:
    """Run the command line of `cli`, or end with 2 and a line that names what is missing."""
    leave_no_core()
    try:
        frame = import_module("preklic_shared.cli")
    except ModuleNotFoundError as error:
        sys.stderr.write(f'preklic: the command line needs {error.name}: pip install "preklic[cli]"\n')
        sys.exit(2)
    frame.main()
    raise SystemExit(0)
