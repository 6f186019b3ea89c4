"""`preklic worker ROLE...`: takes jobs off the queues of these roles."""

from typing import Annotated

import msgspec
import typer
import uvloop

from preklic_shared import telemetry
from preklic_shared.cli import Code, Stop, ends_with, settings
from preklic_workers import roles, starting, store
from preklic_workers.compose.content import TemplateError
from preklic_workers.duties import DUTIES
from preklic_workers.keydir import KeyDirError

ends_with(KeyDirError, Code.FINDING)
ends_with(starting.NotReady, Code.FINDING, "what else is wrong says: preklic doctor")
ends_with(TemplateError, Code.FINDING, "mend the template, or the registry that names it")
ends_with(store.Unavailable, Code.AWAY, "is MongoDB running, and PREKLIC_MONGO_URL right? try: preklic doctor")
ends_with(store.Standalone, Code.USAGE, "start MongoDB with --replSet and initiate the set")


def worker(
    role: Annotated[list[str], typer.Argument(help=f"One or more of: {', '.join(DUTIES)}.")],
    *,
    concurrency: Annotated[int | None, typer.Option(min=1, max=4096, help="Jobs of each queue at a time.")] = None,
) -> None:
    """Run these roles in one process until SIGTERM; jobs under way are finished and settled first.

    They have PREKLIC_DRAIN_SECONDS for it; a second SIGTERM, a second or more later, gives the rest back at once.

    Example: `PREKLIC_METRICS_PORT=9100 preklic worker send --concurrency 128`
    """
    for name in role:
        if name not in DUTIES:
            raise Stop(Code.USAGE, f"there is no role {name}", f"roles: {', '.join(DUTIES)}")
    config = settings()
    if concurrency is not None:
        config = msgspec.structs.replace(config, concurrency=concurrency)
    telemetry.configure()
    uvloop.run(roles.work(role, config))
