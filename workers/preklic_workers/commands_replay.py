"""`preklic replay`: dead or logged jobs run again, after a preview."""

import datetime as dt
import getpass
from typing import Annotated, Any

import typer

from preklic_shared.cli import Code, Json, Stop, ends_with, say, show, show_json
from preklic_shared.publication import PublishError
from preklic_shared.publication import Unavailable as BrokerAway
from preklic_shared.settings import Settings
from preklic_workers import looking, replay_run, store
from preklic_workers.replaying import outcomes

ends_with(store.Unavailable, Code.AWAY, "is MongoDB running, and PREKLIC_MONGO_URL right? try: preklic doctor")
ends_with(BrokerAway, Code.AWAY, "is RabbitMQ running, and PREKLIC_AMQP_URL right? try: preklic doctor")
ends_with(PublishError, Code.AWAY, "the broker refused a job; what was published is noted in the plan")
ends_with(replay_run.NotRun, Code.POLICY)

replay = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Run dead or logged jobs again: planned, previewed, run once."
)

Fingerprint = Annotated[str | None, typer.Option(help="Only this group.")]
Queue = Annotated[str | None, typer.Option(help="Only from this queue.")]
Why = Annotated[str, typer.Option("--reason", help="Why; it is recorded with the plan.")]


@replay.command()
def plan(
    *,
    from_dead: Annotated[bool, typer.Option("--dead", help="From the dead letters.")] = False,
    fingerprint: Fingerprint = None,
    queue: Queue = None,
    since: Annotated[dt.datetime | None, typer.Option("--from", help="From the log, since then (UTC).")] = None,
    until: Annotated[dt.datetime | None, typer.Option("--to", help="From the log, before then (UTC).")] = None,
    as_json: Json = False,
) -> None:
    """Make a plan and show the outcome that each of its jobs would have now. Nothing runs.

    Example: `preklic replay plan --dead --queue send.bulk`
    """
    if from_dead == (since is not None):
        raise Stop(Code.USAGE, "a plan is from --dead, or --from T --to T of the log", "preklic replay plan --help")
    source = replay_run.Source(
        dead=from_dead, fingerprint=fingerprint, queue=queue, since=_utc(since), until=_utc(until)
    )

    async def work(opened: store.Store, config: Settings) -> dict[str, Any]:
        return await replay_run.make_plan(opened, config, source, by=getpass.getuser())

    made = looking.with_store(work)
    _tell_plan(made, as_json=as_json)


@replay.command()
def run(
    plan_id: Annotated[str, typer.Argument(metavar="PLAN", help="The plan's id, as `replay plan` showed it.")],
    *,
    reason: Why,
    rate: Annotated[float, typer.Option(min=0.1, max=10_000, help="Jobs a second.")] = 100,
    as_json: Json = False,
) -> None:
    """Run a plan once: its jobs that would run are published again, and judged again by the gate.

    Example: `preklic replay run 3f2a... --rate 50 --reason "template mended, case 17"`
    """

    async def work(opened: store.Store, config: Settings) -> dict[str, int]:
        return await replay_run.run_plan(opened, config, plan_id, reason=reason, by=getpass.getuser(), rate=rate)

    result = looking.with_store(work)
    if as_json:
        show_json(result)
    else:
        say(f"published {result['published']} of {result['items']} jobs, skipped {result['skipped']}")
    if result.get("stopped"):
        raise Stop(Code.FINDING, "the plan was stopped before its end")


@replay.command()
def stop(plan_id: Annotated[str, typer.Argument(metavar="PLAN")]) -> None:
    """Stop a plan that runs; what it published goes its way.

    Example: `preklic replay stop 3f2a...`
    """
    stopped = looking.with_store(lambda opened, _: replay_run.plans_of(opened).end(plan_id, "stopped"))
    if not stopped:
        raise Stop(Code.FINDING, "no such plan is running")
    say(f"stopped {plan_id}")


@replay.command("list")
def list_plans(*, as_json: Json = False) -> None:
    """Plans, the newest first: who made and ran them, and why.

    Example: `preklic replay list`
    """
    rows = looking.with_store(lambda opened, _: replay_run.plans_of(opened).recent())
    columns = ("_id", "source", "state", "done", "by", "made", "run_by", "reason")
    show(rows, columns, title="Replay plans", as_json=as_json)


def _utc(moment: dt.datetime | None) -> dt.datetime | None:
    return None if moment is None else moment.replace(tzinfo=moment.tzinfo or dt.UTC)


def _tell_plan(made: dict[str, Any], *, as_json: bool) -> None:
    counted = outcomes(replay_run.items_of(made))
    if as_json:
        show_json({"plan": made["_id"], "jobs": len(made["items"]), "outcomes": counted, "items": made["items"]})
        return
    rows = [{"outcome": outcome, "jobs": count} for outcome, count in counted.items()]
    show(rows, ("outcome", "jobs"), title=f"Plan {made['_id']}: {len(made['items'])} jobs", as_json=False)
    say(f"run it with: preklic replay run {made['_id']} --reason ...")
