"""Where the commands about keys find the root of all roles' directories."""

from pathlib import Path
from typing import Annotated

import typer

from preklic_shared.cli import Code, Stop, settings

Root = Annotated[Path | None, typer.Option(help="The root of all roles' directories; default: PREKLIC_KEY_DIR.")]


def root_of(given: Path | None) -> Path:
    """The root that was given, or the one of the settings; Stop where there is none."""
    place = given or settings().key_dir
    if place is None:
        raise Stop(Code.USAGE, "no root is named", "give --root, or set PREKLIC_KEY_DIR")
    return place
