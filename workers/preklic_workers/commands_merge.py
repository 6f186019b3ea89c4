"""`preklic subject merge`: two persons who are one."""

from typing import Annotated, Any, Final

import typer

from preklic_shared.cli import Code, Json, Stop, say, settings, show, show_json
from preklic_shared.ids import job_id_for
from preklic_shared.registry import load_registry
from preklic_workers import looking
from preklic_workers.keyring import KeyRing
from preklic_workers.operating import operator
from preklic_workers.reasons import given
from preklic_workers.rings import ring_of
from preklic_workers.store import Act, Merge, Merged, Store
from preklic_workers.whom import given as meant
from preklic_workers.whom import subjects

_WHO: Final = "An address, or the website's own name; `-` reads it from a line of stdin."
_REFUSED: Final = {
    "unknown": (Code.FINDING, "one of the two is not recorded", "preklic subject show says who is"),
    "erased": (Code.POLICY, "one of the two was erased", "erase the other one too, if they are the same person"),
    "merged_elsewhere": (Code.POLICY, "one of the two was merged into somebody else", "name the person that stayed"),
}


def merge(
    source: Annotated[str, typer.Argument(metavar="FROM", help=_WHO)],
    target: Annotated[str, typer.Argument(metavar="INTO", help=_WHO)],
    *,
    reason: Annotated[str, typer.Option(help="Why; it is recorded. No address in it.")],
    as_json: Json = False,
) -> None:
    """Let FROM and INTO be one person: the stricter answer of both stands, and FROM's address stays as a no.

    A yes stands only where both said yes; suppressions are united; names of websites lead to INTO. Nothing is deleted,
    and no field, address or key moves. Killed or repeated, it is done once. Needs the key directory of upkeep.

    Example: `preklic subject merge - - --reason "case 17"`, then both addresses, each on a line of its own
    """
    why = given(reason)
    if why is None:
        raise Stop(Code.USAGE, "--reason is a text of at most 500 characters without an address")
    who = [meant(each) for each in (source, target)]
    config = settings()
    ring = ring_of(config, "upkeep")
    registry = load_registry(config.registry)

    async def work(opened: Store, _: Any) -> tuple[Merge, Merged | str]:
        found = await _merge(opened, ring, who)
        no = await opened.merges.outlook(found)
        if no is not None:
            return found, no
        facts = {"into": found.target, "job": found.job}
        await opened.acts.record(Act("merge", operator(), why, person=found.source, facts=facts))
        return found, await opened.merges.merge(found, registry)

    found, answer = looking.with_store("law", work, ring)
    _tell(found, answer, as_json=as_json)


async def _merge(opened: Store, ring: KeyRing, who: list[str]) -> Merge:
    source, target = [await _subject(opened, ring, each) for each in who]
    if source == target:
        raise Stop(Code.USAGE, "that is one person already")
    return Merge(job_id_for("merge", f"{source}\0{target}"), source, target, opened.mongo.now())


async def _subject(opened: Store, ring: KeyRing, who: str) -> str:
    found = await subjects(opened, ring.blind, who)
    if len(found) != 1:
        raise Stop(Code.FINDING, f"{len(found)} persons are recorded under that name", "name the address")
    return found[0]


def _tell(found: Merge, answer: Merged | str, *, as_json: bool) -> None:
    if isinstance(answer, str) and answer in _REFUSED:
        raise Stop(*_REFUSED[answer])
    changed = isinstance(answer, Merged)
    answers, ended = (dict(answer.answers), list(answer.ended)) if isinstance(answer, Merged) else ({}, [])
    if as_json:
        names = {"job": found.job, "from": found.source, "into": found.target, "changed": changed}
        show_json(names | {"answers": answers, "ended": ended})
        return
    say(f"{found.source} {'is' if changed else 'was already'} merged into {found.target}")
    rows = [{"purpose": key, "state": state} for key, state in answers.items()]
    if changed:
        show(rows, ("purpose", "state"), title="Answers that stand", as_json=False)
    if ended:
        say(f"ended, for the other one does not say yes: {', '.join(ended)}")
