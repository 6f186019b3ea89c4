"""`preklic keys officer`: the key with which one person signs what another must approve."""

import re
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from preklic_shared.cli import Code, Stop, ends_with, say
from preklic_workers.officers import ALL_RIGHTS, make_key
from preklic_workers.private_files import NotWritten

ends_with(NotWritten, Code.USAGE, "take a new name in a directory of yours; nothing is ever replaced")

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def officer(
    name: Annotated[str, typer.Argument(help="The officer's name, as it is recorded.")],
    *,
    out: Annotated[Path, typer.Option(help="The new private key file; it belongs to this person alone.")],
    may: Annotated[str, typer.Option(help="For what: hold, disclose, breakglass, by comma.")] = ",".join(ALL_RIGHTS),
) -> None:
    """Make an officer's key, and print the lines that name the officer in the settings.

    Example: `preklic keys officer mojca --out mojca.ed25519 --may hold,disclose`
    """
    rights = [part.strip() for part in may.split(",") if part.strip()]
    if not _NAME.fullmatch(name) or not rights or set(rights) - set(ALL_RIGHTS):
        raise Stop(Code.USAGE, "a name has letters, digits, _ . -; rights are hold, disclose, breakglass")
    public = make_key(out)
    listed = ", ".join(f'"{right}"' for right in rights)
    sys.stdout.write(f'[[officers]]\nname = "{name}"\nkey = "{public.hex()}"\nmay = [{listed}]\n')
    say("put these lines into the settings of every host that runs commands of law", err=True)
