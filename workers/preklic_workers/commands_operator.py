"""`preklic operator`: who may run commands, each by name, with a token and its scopes."""

import datetime as dt
import re
from typing import Annotated, Any, Final

import typer

from preklic_shared.bearers import bearer_hash, new_bearer
from preklic_shared.cli import Code, Json, Stop, ends_with, say, show, show_json
from preklic_shared.settings import Settings
from preklic_workers import looking, store
from preklic_workers.operating import admit
from preklic_workers.operating import operator as acting
from preklic_workers.operators import SCOPES, Operator, Scope, keeps_law
from preklic_workers.reasons import given
from preklic_workers.store import Act, Fact, Store
from preklic_workers.store.operators import Operators

ends_with(store.Unavailable, Code.AWAY, "is MongoDB running, and PREKLIC_MONGO_URL right? try: preklic doctor")

operator = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Who may run commands: names, tokens, scopes and their ends."
)
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)  # as officers' names
_LISTED: Final = ("operator", "state", "scopes", "until", "added", "by")
_LAST: Final = "one operator with the scope law and without an end must stay"
Name = Annotated[str, typer.Argument(help="Letters, digits, _ . -; an officer's own name for who has a key, too.")]
Why = Annotated[str, typer.Option("--reason", help="Why; it is recorded. No address in it.")]


@operator.command()
def add(
    name: Name,
    *,
    scope: Annotated[list[str], typer.Option(help=f"{', '.join(SCOPES)}; may repeat.")],
    days: Annotated[int | None, typer.Option(min=1, max=3660, help="It ends by itself after so many.")] = None,
    reason: Why,
    as_json: Json = False,
) -> None:
    """Name an operator and print the token, once: only its hash is kept. The first needs `law`, and has no end.

    From the first operator on, every command that reads or changes data asks for a token with its scope.

    Example: `preklic operator add ana --scope read --scope replay --days 90 --reason "on call, case 17"`
    """
    why = _checked(name, reason)
    token, scopes = new_bearer(), _scopes(scope)

    async def work(opened: Store, _: Settings) -> Operator:
        now = opened.mongo.now()
        until = None if days is None else now + dt.timedelta(days=days)
        return await _add(opened, Operator(name, scopes, now, acting(), until), why, bearer_hash(token))

    _tell_token(looking.with_store("law", work), token, as_json=as_json)


@operator.command()
def remove(name: Name, *, reason: Why) -> None:
    """Refuse an operator's token from now on, also of a replay that runs. The name stays in the listing.

    Example: `preklic operator remove ana --reason "left the company"`
    """
    why = _checked(name, reason)

    async def work(opened: Store, _: Settings) -> bool:
        operators = Operators(opened.mongo)
        there = {one.name: one for one in await operators.all()}
        if name not in there or there[name].removed is not None:
            return False
        if keeps_law(there.values()) and not keeps_law(one for one in there.values() if one.name != name):
            raise Stop(Code.POLICY, _LAST, "add another one first: preklic operator add NAME --scope law")
        await opened.acts.record(Act("operator_removed", acting(), why, facts={"operator": name}))
        return await operators.remove(name)

    if not looking.with_store("law", work):
        raise Stop(Code.FINDING, f"there is no operator {name}", "preklic operator list shows who there is")
    say(f"removed: {name}")


@operator.command("list")
def list_operators(*, as_json: Json = False) -> None:
    """Everybody who was ever named: with which scopes, until when, and by whom. Tokens are not known here.

    Example: `preklic operator list --json`
    """

    async def work(opened: Store, _: Settings) -> list[dict[str, Any]]:
        now = opened.mongo.now()
        return [_row(one, now) for one in await Operators(opened.mongo).all()]

    show(looking.with_store("read", work), _LISTED, title="Operators", as_json=as_json)


@operator.command()
def whoami(*, as_json: Json = False) -> None:
    """Say who this token acts as and with which scopes; ends with 4 when it is refused.

    Example: `preklic operator whoami`
    """
    who = looking.with_store("open", lambda opened, config: admit(opened, config.operator_token, None))
    if as_json:
        show_json({"operator": who.name, "named": who.named, "scopes": who.scopes, "until": who.until})
        return
    end = f"until {who.until:%Y-%m-%d %H:%M} UTC" if who.until else "without an end"
    say(f"{who.name}: {', '.join(who.scopes)}, {end}" + ("" if who.named else "; no operator is named yet"))


async def _add(opened: Store, new: Operator, why: str, digest: str) -> Operator:
    """Recorded, then done. Stop for a name that is taken, and for a first operator who could name nobody."""
    operators = Operators(opened.mongo)
    there = await operators.all()
    if any(one.name == new.name and one.removed is None for one in there):
        raise Stop(Code.POLICY, f"there is an operator {new.name} already", f"preklic operator remove {new.name}")
    if not keeps_law([*there, new]):
        raise Stop(Code.POLICY, _LAST, "the first one has --scope law and no --days")
    facts: dict[str, Fact] = {"operator": new.name, "scopes": ",".join(new.scopes)}
    facts |= {"until": new.until} if new.until else {}
    await opened.acts.record(Act("operator_added", new.by, why, facts=facts))
    if not await operators.add(new, digest, first=not there):
        raise Stop(Code.POLICY, "somebody else was named at this moment", "preklic operator list shows who")
    return new


def _tell_token(made: Operator, token: str, *, as_json: bool) -> None:
    """The token alone goes to standard output: into a file of mode 600, say."""
    if as_json:
        show_json({"operator": made.name, "scopes": made.scopes, "until": made.until, "token": token})
        return
    end = f"until {made.until:%Y-%m-%d}" if made.until else "without an end"
    say(f"{made.name}: {', '.join(made.scopes)}, {end}", err=True)
    say("the token, shown this once; keep it in a file of mode 600 (PREKLIC_OPERATOR_TOKEN_FILE):", err=True)
    typer.echo(token)


def _row(one: Operator, now: dt.datetime) -> dict[str, Any]:
    row = {"operator": one.name, "state": one.state(now), "scopes": ",".join(one.scopes), "until": one.until}
    return row | {"added": one.added, "by": one.by, "removed": one.removed}


def _scopes(names: list[str]) -> tuple[Scope, ...]:
    if strange := sorted({*names} - {*SCOPES}):
        raise Stop(Code.USAGE, f"there is no scope {', '.join(strange)}", f"scopes: {', '.join(SCOPES)}")
    return tuple(one for one in SCOPES if one in names)


def _checked(name: str, reason: str) -> str:
    why = given(reason)
    if why is None:
        raise Stop(Code.USAGE, "--reason is a text of at most 500 characters without an address")
    if not _NAME.fullmatch(name):
        raise Stop(Code.USAGE, "a name has letters, digits, _ . -, at most 64")
    return why
