"""The demo's story: each scene checks that what it tells happened. Each role is a user of broker and database."""

import json
from io import StringIO
from urllib.request import urlopen

import pytest
from rich.console import Console

from preklic_stack.household import household
from preklic_stack.scenes import SCENES
from preklic_stack.stack import Stack
from preklic_stack.stage import Stage
from preklic_stack.up import addresses


@pytest.mark.timeout(240)
def test_the_story_of_the_demo_holds_and_every_job_is_accounted_for(
    processes, rabbit, locked_mongo, sink, vhost, tmp_path, capsys
):
    with household(Stack(tmp_path, processes, rabbit, locked_mongo, sink), vhost, "story") as home:
        stage = Stage(home, sink, Console(highlight=False, width=160))
        try:
            for title, scene in SCENES:
                stage.scene(title)
                scene(stage)
        finally:
            stage.close()
        account = json.loads(home.command("account", "--json"))
        hooks = urlopen(home.hooks_url, timeout=5).read().decode()
        table = Console(file=StringIO(), width=200)
        table.print(addresses(Stack(tmp_path, processes, rabbit, locked_mongo, sink), home))
    assert account["unaccounted"] == 0
    assert account["states"]["sent"] >= 7
    told = capsys.readouterr().out
    assert "refused (withdrawn)" in told
    assert "bad_envelope" in told
    assert "suppressed_bounce" in told
    kinds = [json.loads(line)["told"]["type"] for line in hooks.splitlines()]
    assert {"message.bounced", "permission.withdrawn"} <= set(kinds)
    assert "primer.example" not in hooks
    said = table.file.getvalue()
    assert all(where in said for where in (home.gateway_url, home.hooks_url, f":{home.feedback_port},", "webhook"))
    logs = b"".join(file.read_bytes() for file in (tmp_path / "preklic" / "log").iterdir())
    assert b"worker started" in logs
    assert b"primer.example" not in logs
    assert locked_mongo.run_dir is None or "not authorized on story" not in refusals(locked_mongo.run_dir)


def refusals(run_dir):
    """What MongoDB's log says of commands that it refused to a user, whatever the caller made of it."""
    return "".join(line for line in (run_dir / "mongod0.log").open() if "Checking authorization failed" in line)
