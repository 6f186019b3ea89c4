"""Who runs this command: the operator whose token it bears, and what is refused before anything is read.

Until a first operator is named the user of this machine may do everything, as in development; then nobody without a
token. A token comes by the environment or a private file, never as an argument: command lines are seen by others.
"""

import datetime as dt
import getpass
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

from preklic_shared.bearers import bearer_hash
from preklic_shared.cli import Code, Stop
from preklic_workers.officers import Denied
from preklic_workers.operators import SCOPES, Operator, Refusal, Scope, refusal
from preklic_workers.store import Act, Store
from preklic_workers.store.operators import Operators

DENIED: Final = "access_denied"
_SET: Final = "set PREKLIC_OPERATOR_TOKEN_FILE to the file of your token, or PREKLIC_OPERATOR_TOKEN"
_RENEW: Final = "ask somebody with the scope law for a new token: preklic operator add NAME"
_WORDS: Final[dict[Refusal, tuple[str, str]]] = {
    "no_token": ("commands here are for named operators, and no token is given", _SET),
    "unknown": ("the operator token is not known here", f"{_SET}; preklic operator whoami says whose it is"),
    "removed": ("the operator {name} was removed", _RENEW),
    "expired": ("the token of the operator {name} has expired", _RENEW),
    "no_scope": (
        "the operator {name} lacks the scope {scope}",
        "ask somebody with the scope law for another token: preklic operator remove, then preklic operator add",
    ),
}


@dataclass(frozen=True, slots=True)
class Acting:
    """Who acts, and for what: by a `token`, or as the user of this machine while nobody is named yet."""

    name: str
    scopes: tuple[Scope, ...]
    until: dt.datetime | None
    token: str | None = field(repr=False)
    scope: Scope | None

    @property
    def named(self) -> bool:
        """Whether it is an operator."""
        return self.token is not None


_ACTING: ContextVar[Acting] = ContextVar("acting")


def operator() -> str:
    """The name that is recorded with what this command does. LookupError before somebody was admitted."""
    return _ACTING.get().name


async def admit(opened: Store, token: str | None, scope: Scope | None) -> Acting:
    """Who bears this token, admitted for this scope (None: for any). Stop, status 4, and an act, when that is refused.

    Raises Unavailable.
    """
    operators = Operators(opened.mongo)
    found = None if token is None else await operators.of_token(bearer_hash(token))
    if token is None and not await operators.named():
        acting = Acting(getpass.getuser(), SCOPES, None, None, scope)
    else:
        no = refusal(found, scope, opened.mongo.now(), borne=token is not None)
        if no is not None:
            await _refuse(operators, found, scope, no)
        assert found is not None  # a token that nobody has is refused
        acting = Acting(found.name, found.scopes, found.until, token, scope)
    _ACTING.set(acting)
    return acting


async def still_admitted(opened: Store) -> None:
    """What runs for long asks again, for its operator may have been removed meanwhile. Raises Stop, Unavailable."""
    acting = _ACTING.get(None)
    if acting is not None:
        await admit(opened, acting.token, acting.scope)


def check_officer(officer: str) -> None:
    """Denied when a named operator uses somebody else's key: where two people must act, two operators do."""
    acting = _ACTING.get()
    if acting.named and acting.name != officer:
        raise Denied("other_operator", f"the key is of the officer {officer}, the token of the operator {acting.name}")


async def _refuse(operators: Operators, found: Operator | None, scope: Scope | None, no: Refusal) -> None:
    by = found.name if found else getpass.getuser()
    await operators.denied(Act(DENIED, by, no, facts={"scope": scope or "any"}))
    message, hint = (text.format(name=by, scope=scope) for text in _WORDS[no])
    raise Stop(Code.POLICY, message, hint)
