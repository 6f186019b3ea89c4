import datetime as dt
import json
from importlib.metadata import EntryPoint, entry_points, version

import msgspec
import pytest

from commanding import points
from preklic_shared import cli, command, health, jobs
from preklic_shared.cli import Code, Stop
from preklic_workers.commands_dead import clear_header
from preklic_workers.joblog import Entry, within

COMMANDS = sorted(point.name for point in entry_points(group=cli.GROUP))


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch):
    for name in ("CONFIG", "AMQP_URL", "MONGO_URL", "KEY_DIR", "SEALING_KEYS"):
        monkeypatch.delenv(f"PREKLIC_{name}", raising=False)
    monkeypatch.setenv("COLUMNS", "100")


def test_the_commands_of_every_room_are_there():
    assert {"send", "grant", "revoke", "enrich", "gateway", "worker", "keys", "topology", "schema"} <= set(COMMANDS)
    assert {"queues", "why", "account", "dead", "replay", "doctor", "subject", "demo", "up"} <= set(COMMANDS)


def singles(command):
    """The commands that do something, below groups of any depth."""
    below = getattr(command, "commands", None)
    return [command] if below is None else [one for each in below.values() for one in singles(each)]


@pytest.mark.parametrize("point", points(cli.GROUP), ids=lambda point: point.name)
def test_each_command_of_this_tree_loads_and_shows_an_example(point):
    for one in singles(cli.load_command(point)):
        assert f"preklic {point.name}" in one.help.partition("Example:")[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself_with_an_example(name, capsys):
    assert cli.run([name, "--help"]) == Code.DONE
    shown = capsys.readouterr().out
    assert "Usage: preklic" in shown
    assert "not installed" not in shown
    if "Commands" not in shown:
        assert "preklic " + name in shown.replace("Usage: preklic", "")


def test_help_names_all_commands(capsys):
    assert cli.run(["--help"]) == Code.DONE
    shown = capsys.readouterr().out
    assert all(f" {name} " in shown for name in COMMANDS)


def test_the_version_is_shown(capsys):
    assert cli.run(["--version"]) == Code.DONE
    assert capsys.readouterr().out == f"preklic {version('preklic')}\n"


@pytest.mark.parametrize("arguments", [[], ["nope"], ["send"], ["why"], ["replay", "plan"]])
def test_wrong_use_ends_with_2(arguments):
    assert cli.run(arguments) == Code.USAGE


def test_a_missing_setting_is_named_without_a_traceback(capsys):
    assert cli.run(["send", "ana@primer.si", "--purpose", "payment", "--template", "payment"]) == Code.USAGE
    complaint = capsys.readouterr().err
    assert "PREKLIC_SEALING_KEYS" in complaint
    assert "Traceback" not in complaint


def test_a_broker_that_is_away_ends_with_3(monkeypatch, free_port, capsys):
    monkeypatch.setenv("PREKLIC_AMQP_URL", f"amqp://guest:guest@127.0.0.1:{free_port}/%2F")
    assert cli.run(["queues"]) == Code.AWAY
    assert "preklic doctor" in capsys.readouterr().err


def test_a_library_that_is_not_installed_is_named_with_its_extra(capsys):
    point = EntryPoint("campaign", "preklic_workers.not_there:campaign", cli.GROUP)
    command = cli.load_command(point)
    assert 'preklic[workers]"' in command.help
    with pytest.raises(Stop) as stop:
        command(args=[], standalone_mode=False)
    assert stop.value.code == Code.USAGE
    assert "preklic_workers.not_there" in stop.value.message


def test_without_the_command_lines_libraries_it_says_what_to_install(capsys, monkeypatch):
    def absent(_name):
        raise ModuleNotFoundError(name="typer")

    monkeypatch.setattr(command, "import_module", absent)
    monkeypatch.setattr(command, "leave_no_core", lambda: None)  # it would be for good
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == Code.USAGE
    assert 'needs typer: pip install "preklic[cli]"' in capsys.readouterr().err


def test_schemas_are_json_schemas_of_every_kind(capsys):
    assert cli.run(["schema"]) == Code.DONE
    shown = json.loads(capsys.readouterr().out)
    assert set(shown) == {job.KIND for job, _ in jobs.ACTORS.values()}
    assert shown["send"]["job"] == msgspec.json.schema(jobs.SendJob)
    assert shown["send"]["sealed"] == msgspec.json.schema(jobs.SendPayload)
    assert cli.run(["schema", "letter"]) == Code.USAGE


def test_keys_are_made_checked_and_published(tmp_path, capsys):
    root = tmp_path / "keys"
    assert cli.run(["keys", "init", "--root", str(root)]) == Code.DONE
    assert cli.run(["keys", "init", "--root", str(root)]) == Code.FINDING
    capsys.readouterr()
    assert cli.run(["keys", "status", "--root", str(root), "--json"]) == Code.DONE
    rows = json.loads(capsys.readouterr().out)
    assert {row["role"] for row in rows} >= {"send", "record", "upkeep"}
    (root / "send" / "lookup.hmac").chmod(0o644)
    assert cli.run(["keys", "status", "--root", str(root)]) == Code.FINDING


def test_definitions_have_a_user_for_each_role_and_their_passwords_in_a_private_file(tmp_path, capsys):
    words = tmp_path / "users.json"
    given = ["topology", "definitions", "--user", "website.shop", "--user", "send", "--passwords", str(words)]
    assert cli.run(given) == Code.DONE
    shown = capsys.readouterr().out
    assert {user["name"] for user in json.loads(shown)["users"]} == {"website.shop", "send"}
    assert words.stat().st_mode & 0o777 == 0o600
    assert not any(word in shown for word in json.loads(words.read_text()).values())
    assert cli.run([*given[:-4], "--user", "nobody", "--passwords", str(tmp_path / "x.json")]) == Code.USAGE


def test_files_of_rights_are_written_whole_and_private(tmp_path, capsys):
    definitions, roles = tmp_path / "definitions.json", tmp_path / "roles.js"
    assert cli.run(["topology", "definitions", "--locked", "--rabbitmq", "4.1", "--out", str(definitions)]) == Code.DONE
    assert cli.run(["topology", "roles", "--out", str(roles)]) == Code.DONE
    assert capsys.readouterr().out == ""
    made = json.loads(definitions.read_text())
    assert {user["password_hash"] for user in made["users"]} == {""}
    assert next(queue for queue in made["queues"] if queue["name"] == "revoke")["arguments"]["x-delivery-limit"] == -1
    assert definitions.stat().st_mode & 0o777 == roles.stat().st_mode & 0o777 == 0o600
    assert cli.run(["topology", "definitions", "--locked", "--rabbitmq", "four"]) == Code.USAGE
    assert cli.run(["topology", "definitions"]) == Code.USAGE


def test_a_dead_letters_header_is_shown_without_what_is_sealed():
    body = json.dumps({"kwargs": {"job": {"id": "1", "sealed": "secret"}}}).encode()
    assert clear_header(body) == {"id": "1"}
    assert clear_header(b"\xff") == clear_header(b"[]") == {}


def test_a_dead_letter_that_was_published_unsealed_shows_no_address():
    job = {"id": "1", "to": "ana@primer.si", "name": "Ana", "producer": "ana@primer.si", "purposes": ["offers"]}
    shown = clear_header(json.dumps({"kwargs": {"job": job}}).encode())
    assert shown == {"id": "1", "producer": "[withheld]", "purposes": ["offers"]}


def test_an_entry_lies_in_a_window_by_its_own_time():
    at = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
    entry = Entry(1, "j", "send.now", "send_now", None, b'{"message_timestamp": %d}' % (at.timestamp() * 1000))
    hour = dt.timedelta(hours=1)
    assert within(entry, at, at + hour)
    assert within(entry, None, None)
    assert not within(entry, at + hour, None)
    assert not within(entry, None, at)
    assert not within(Entry(1, "j", "q", "a", None, b"[]"), None, None)


def test_health_tells_alive_ready_and_metrics_apart():
    assert health.answer("/healthz", lambda: {"broker": False})[0] == 200
    assert health.answer("/readyz", lambda: {"broker": True, "store": False})[0] == 503
    assert health.answer("/readyz", lambda: {"broker": True})[0] == 200
    assert b"# HELP preklic_jobs_total" in health.answer("/metrics", dict)[2]
    assert health.answer("/secret", dict)[0] == 404
