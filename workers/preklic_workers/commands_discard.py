"""`preklic dead discard` and `undiscard`: a person lets dead letters go, with a reason, and takes them back."""

import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from preklic_shared.cli import Code, Json, Stop, ends_with, say, show_json
from preklic_workers import discarding, looking
from preklic_workers.dead_options import Where, sieve_of
from preklic_workers.discarding import Chosen, Outcome
from preklic_workers.operating import operator
from preklic_workers.reasons import given
from preklic_workers.sifting import Sieve
from preklic_workers.store import Store

ends_with(
    discarding.Withdrawal,
    Code.POLICY,
    "a dead withdrawal is a no until it is applied (preklic replay plan --dead --where queue=revoke; preklic revoke). "
    "If you know that it is applied, or is none, name it alone with --law, and say in --reason how you know",
)

Letters = Annotated[list[str] | None, typer.Argument(metavar="LETTER...", help="Ids of dead letters or of their jobs.")]
Why = Annotated[str, typer.Option("--reason", help="Why; it is recorded. No address in it.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask, however many a filter finds.")]
Law = Annotated[bool, typer.Option("--law", help="The one letter is a withdrawal, and you answer for letting it go.")]
Do = Callable[..., Awaitable[Outcome]]  # the store, what is chosen, whom to tell of progress, and `by` whom


def discard(
    letters: Letters = None,
    *,
    where: Where = None,
    reason: Why,
    law: Law = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Let dead letters go: they are kept with who, when and why, and count as discarded. Twice is once.

    A withdrawal is let go only by its own id and with `--law`; no filter takes one.

    Example: `preklic dead discard --where "template=spring,reason=template_error" --reason "sent anew, case 17"`
    """
    why = _checked(reason)
    chosen = _chosen(letters, sieve_of(where), "dead", "discarded")
    _confirm(chosen, "discard", yes=yes)
    result = _done(chosen, partial(discarding.discard, why=why, law=law))
    _tell(chosen, result, "discarded", as_json=as_json)


def undiscard(
    letters: Letters = None, *, where: Where = None, reason: Why, yes: Yes = False, as_json: Json = False
) -> None:
    """Take discarded letters back: they are dead again, and may be replayed. A withdrawal stops all marketing again.

    Example: `preklic dead undiscard 0193a1b2-... --reason "the wrong group, case 17"`
    """
    why = _checked(reason)
    chosen = _chosen(letters, sieve_of(where), "discarded", "dead")
    _confirm(chosen, "take back", yes=yes)
    result = _done(chosen, partial(discarding.undiscard, why=why))
    _tell(chosen, result, "dead", as_json=as_json)


def _checked(reason: str) -> str:
    why = given(reason)
    if why is None:
        raise Stop(Code.USAGE, "--reason is a text of at most 500 characters without an address")
    return why


def _chosen(letters: Sequence[str] | None, sieve: Sieve, old: str, new: str) -> Chosen:
    """The letters that are meant: those that are named, or all in state `old` that pass."""
    if bool(letters) == bool(sieve.terms):
        raise Stop(Code.USAGE, "name letters, or a filter: --where", "preklic dead groups shows what there is")

    async def work(store: Store, _: Any) -> Chosen:
        if letters:
            return await discarding.named(store, letters, old, new)
        return await discarding.matching(store, old, sieve.query(store.mongo.now()), str(sieve))

    return looking.with_store("replay", work)


def _confirm(chosen: Chosen, what: str, *, yes: bool) -> None:
    """Ask before a filter touches more than one; where nobody can answer, `--yes` must."""
    if yes or "where" not in chosen.what or len(chosen.letters) < 2:
        return
    for (queue, reason), count in Counter((one["queue"], one["reason"]) for one in chosen.letters).most_common(10):
        say(f"{count:>8}  {escape(queue)}  {escape(reason)}", err=True)
    many = _letters(len(chosen.letters))
    if not sys.stdin.isatty():
        raise Stop(Code.USAGE, f"that would {what} {many}", "say --yes, or name them; nothing was changed")
    typer.confirm(f"{what} {many}?", abort=True, err=True)


def _done(chosen: Chosen, do: Do) -> Outcome:
    """Do it, with a bar where somebody looks. Only the letters that were counted, however many came since."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("letters", total=len(chosen.letters))
        return looking.with_store(
            "replay", lambda store, _: do(store, chosen, lambda count: progress.advance(task, count), by=operator())
        )


def _tell(chosen: Chosen, result: Outcome, state: str, *, as_json: bool) -> None:
    left = max(0, result.asked - result.changed)
    used = sorted(one["_id"] for one in chosen.otherwise)
    if as_json:
        told = {"state": state, "changed": result.changed, "already": len(chosen.already), "stayed": left}
        told |= {"replayed": used, "unknown": chosen.unknown, "withdrawals": len(chosen.withdrawals)}
        show_json(told | {"act": result.act, "marketing_stopped": result.marketing_stopped})
    else:
        already = f"; so before: {len(chosen.already)}" if chosen.already else ""
        say(f"{state}: {_letters(result.changed)}{already}" + (f" (act {result.act})" if result.act else ""))
        if result.marketing_stopped:
            say("all marketing stands still until: preklic go --marketing --reason ...")
    if chosen.withdrawals:
        what = f"withdrawals that were left: {len(chosen.withdrawals)}; no filter lets one go"
        raise Stop(Code.POLICY, what, "preklic dead list --queue revoke shows them")
    if left or used or chosen.unknown:
        what = f"not changed: {left} under way or emptied, {len(used)} replayed, {len(chosen.unknown)} unknown"
        hint = "a job that runs again ends by itself, and of an erased person nothing is left to run: preklic why JOB"
        raise Stop(Code.FINDING, what, hint)


def _letters(count: int) -> str:
    return "1 letter" if count == 1 else f"{count} letters"
