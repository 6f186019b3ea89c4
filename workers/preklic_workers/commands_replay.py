"""`preklic replay`: dead or logged jobs run again, after a preview."""

import datetime as dt
from typing import Annotated, Any

import typer

from preklic_shared.cli import Code, Json, Stop, ends_with, say, show
from preklic_shared.ids import is_id, job_id_for
from preklic_shared.jobs import ACTORS
from preklic_shared.publication import PublishError
from preklic_shared.publication import Unavailable as BrokerAway
from preklic_shared.settings import Settings
from preklic_workers import looking, replay_run, replay_show, store
from preklic_workers.dead_options import Fingerprint, Where, sieve_of
from preklic_workers.operating import operator
from preklic_workers.reasons import given
from preklic_workers.replay_plan import Source, TooMany, make_plan
from preklic_workers.replaying import Wanted
from preklic_workers.store.plans import Plans

ends_with(store.Unavailable, Code.AWAY, "is MongoDB running, and PREKLIC_MONGO_URL right? try: preklic doctor")
ends_with(BrokerAway, Code.AWAY, "is RabbitMQ running, and PREKLIC_AMQP_URL right? try: preklic doctor")
ends_with(PublishError, Code.AWAY, "the broker refused a job; the rest: preklic replay run PLAN --resume --reason ...")
ends_with(replay_run.NotRun, Code.POLICY, "preklic replay list shows the plans")
ends_with(TooMany, Code.USAGE, "preklic replay plan --help")

replay = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Run dead or logged jobs again: planned, previewed, run once."
)

Plan = Annotated[str, typer.Argument(metavar="PLAN", help="The plan's id, as `replay plan` showed it.")]
Why = Annotated[str, typer.Option("--reason", help="Why; it is recorded with the plan. No address in it.")]


@replay.command()
def plan(
    *,
    from_dead: Annotated[bool, typer.Option("--dead", help="From the dead letters.")] = False,
    where: Where = None,
    fingerprint: Fingerprint = None,
    since: Annotated[dt.datetime | None, typer.Option("--from", help="From the log, since then (UTC).")] = None,
    until: Annotated[dt.datetime | None, typer.Option("--to", help="From the log, before then (UTC).")] = None,
    recorded: Annotated[bool, typer.Option("--recorded", help="What is recorded, where the log is gone.")] = False,
    queue: Annotated[str | None, typer.Option(help="Only from this queue.")] = None,
    purpose: Annotated[str | None, typer.Option(help="Only mails for this purpose.")] = None,
    template: Annotated[str | None, typer.Option(help="Only mails of this template.")] = None,
    campaign: Annotated[str | None, typer.Option(help="Only mails of this campaign.")] = None,
    producer: Annotated[str | None, typer.Option(help="Only jobs that this user published.")] = None,
    job: Annotated[list[str] | None, typer.Option("--job", help="Only this job; may repeat.")] = None,
    key: Annotated[str | None, typer.Option("--idempotency-key", help="Only this request of --producer.")] = None,
    as_json: Json = False,
) -> None:
    """Make a plan and show the outcome that each of its jobs would have now. Nothing runs.

    Example: `preklic replay plan --dead --where "template=newsletter,age<2h"`, or
    `preklic replay plan --from 2026-11-27T14:00:00 --to 2026-11-27T14:30:00 --purpose newsletter`
    """
    jobs = _jobs(job, producer, key)
    if (not from_dead and since is None and not jobs) or (from_dead and (since is not None or recorded)):
        raise Stop(Code.USAGE, "a plan is from --dead, or --from T --to T of the log", "preklic replay plan --help")
    if not from_dead and (where or fingerprint):
        raise Stop(Code.USAGE, "--where and --fingerprint choose among --dead letters", "preklic replay plan --help")
    wanted = Wanted(queue, purpose, template, campaign, producer, jobs)
    sieve = sieve_of(where) if where else None

    async def work(opened: store.Store, config: Settings) -> dict[str, Any]:
        asked = sieve.query(opened.mongo.now()) if sieve else None
        source = Source(from_dead, recorded, fingerprint, asked, _utc(since), _utc(until), wanted)
        with replay_show.progress() as tell:
            return await make_plan(opened, config, source, by=operator(), tell=tell)

    replay_show.tell_plan(looking.with_store("read", work), as_json=as_json)


@replay.command()
def run(
    plan_id: Plan,
    *,
    reason: Why,
    rate: Annotated[float, typer.Option(min=0.1, max=10_000, help="Jobs a second.")] = 100,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the rest of an interrupted plan.")] = False,
    watch: Annotated[float, typer.Option(min=0, max=600, help="Seconds to wait for the ends of the last jobs.")] = 20,
    as_json: Json = False,
) -> None:
    """Run a plan once: its jobs that would run are published again, and judged again by the gate.

    Ends by itself, status 1, when five (and a fifth) of them die again of the same cause.

    Example: `preklic replay run 3f2a... --rate 50 --reason "template mended, case 17"`
    """
    why = given(reason)
    if why is None:
        raise Stop(Code.USAGE, "--reason is a text of at most 500 characters without an address")

    async def work(opened: store.Store, config: Settings) -> dict[str, Any]:
        with replay_show.progress() as tell:
            return await replay_run.run_plan(
                opened, config, plan_id, reason=why, by=operator(), rate=rate, resume=resume, watch=watch, tell=tell
            )

    result = looking.with_store("replay", work)
    replay_show.tell_run(result, as_json=as_json)
    if result["cause"]:
        again = f"what was replayed dies again: fingerprint {result['cause']}"
        raise Stop(Code.FINDING, again, f"preklic dead list --fingerprint {result['cause']}")
    if result["stopped"]:
        raise Stop(Code.FINDING, "the plan was stopped before its end", "for the rest make a new plan")


@replay.command()
def stop(
    plan_id: Plan, *, reason: Annotated[str, typer.Option(help="Why; it is recorded.")] = "stopped by an operator"
) -> None:
    """Stop a plan within a second; what it published goes its way. For the rest make a new plan.

    Example: `preklic replay stop 3f2a... --reason "wrong window"`
    """
    why = given(reason)
    if why is None:
        raise Stop(Code.USAGE, "--reason is a text of at most 500 characters without an address")

    async def work(opened: store.Store, _: Settings) -> bool:
        await opened.acts.record(store.Act("replay_stop", operator(), why, facts={"plan": plan_id[:64]}))
        return await Plans(opened.mongo).stop(plan_id)

    if not looking.with_store("replay", work):
        raise Stop(Code.FINDING, "no such plan is running", "preklic replay list shows the plans")
    say(f"stopped {plan_id}")


@replay.command("show")
def show_plan(
    plan_id: Plan,
    *,
    limit: Annotated[int, typer.Option(min=0, help="How many items are listed; JSON has all.")] = 20,
    as_json: Json = False,
) -> None:
    """A plan and its jobs: the outcome that was foreseen, what the run did, and their state now.

    Example: `preklic replay show 3f2a...`
    """
    told = looking.with_store("read", lambda opened, _: replay_show.looked_at(opened, plan_id))
    if told is None:
        raise Stop(Code.FINDING, f"there is no plan {plan_id}", "preklic replay list shows the plans")
    replay_show.tell_items(told, limit=limit, as_json=as_json)


@replay.command("list")
def list_plans(*, as_json: Json = False) -> None:
    """Plans, the newest first: who made and ran them, and why.

    Example: `preklic replay list`
    """
    rows = looking.with_store("read", lambda opened, _: Plans(opened.mongo).recent())
    columns = ("_id", "source", "state", "jobs", "chosen", "done", "by", "made", "run_by", "reason")
    show(rows, columns, title="Replay plans", as_json=as_json)


def _jobs(named: list[str] | None, producer: str | None, key: str | None) -> frozenset[str]:
    """The jobs by id, and those that the producer's request of this key may have become."""
    if strange := [one for one in named or () if not is_id(one)]:
        raise Stop(Code.USAGE, f"{len(strange)} of --job are no job ids", "an id is what `send` returned")
    if key is None:
        return frozenset(named or ())
    if producer is None:
        raise Stop(Code.USAGE, "--idempotency-key needs --producer: keys are each producer's own")
    kinds = {kind.KIND for kind, _ in ACTORS.values()}
    return frozenset(named or ()) | {job_id_for(producer, f"{kind}:{key}") for kind in kinds}


def _utc(moment: dt.datetime | None) -> dt.datetime | None:
    return None if moment is None else moment.replace(tzinfo=moment.tzinfo or dt.UTC)
