"""Whom a command is about: an address, or a website's own name for the person; `-` reads it from stdin."""

import sys
from typing import Annotated

import typer

from preklic_shared.addresses import BadAddress, parse
from preklic_shared.cli import Code, Stop
from preklic_workers.blind import Blind
from preklic_workers.store import Store

Who = Annotated[str, typer.Argument(help="The address, or the website's own name; `-` reads it from stdin.")]


def given(who: str) -> str:
    """What was given; an address on a command line stays in the shell's history, one on stdin does not."""
    return sys.stdin.readline(2000).strip() if who == "-" else who


async def subjects(store: Store, blind: Blind, who: str) -> list[str]:
    """The subjects that are meant: one for an address, recorded or not; all of a website's name. Stop otherwise."""
    if "@" in who:
        try:
            return [blind.subject(parse(who))]
        except BadAddress as error:
            raise Stop(Code.USAGE, f"that is no address ({error.code})") from None
    if found := await store.persons.all_by_ref(who):
        return found
    raise Stop(Code.FINDING, "nobody of that name is recorded")
