"""Who may run which command: the decision itself, and that no command can go around it."""

import ast
import datetime as dt
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import preklic_workers
from preklic_shared.settings import SettingsError, load_settings
from preklic_workers.operators import SCOPES, Operator, keeps_law, refusal

NOW = dt.datetime(2026, 11, 27, 12, tzinfo=dt.UTC)
WORKERS = Path(preklic_workers.__file__).parent
CALLS = [
    (file.relative_to(WORKERS).as_posix(), ast.unparse(node.func), node)
    for file in WORKERS.rglob("*.py")
    for node in ast.walk(ast.parse(file.read_text("utf-8")))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute)
]
moments = st.none() | st.timedeltas(dt.timedelta(-9), dt.timedelta(9)).map(lambda span: NOW + span)
operators = st.builds(
    Operator,
    st.sampled_from(["ana", "boris"]),
    st.sets(st.sampled_from(SCOPES)).map(tuple),
    st.just(NOW),
    st.just("mojca"),
    moments,
    moments,
)


@given(st.none() | operators, st.none() | st.sampled_from(SCOPES), st.booleans())
def test_only_a_good_token_with_the_scope_is_let_in(found, scope, borne):
    allowed = refusal(found, scope, NOW, borne=borne) is None
    good = found is not None and found.removed is None and (found.until is None or found.until > NOW)
    assert allowed == (borne and good and (scope is None or scope in found.scopes))


@given(st.lists(operators, max_size=4))
def test_somebody_may_always_name_others(several):
    lasting = [one for one in several if "law" in one.scopes and one.until is one.removed is None]
    assert keeps_law(several) == bool(lasting)


def test_a_token_ends_at_its_end():
    ana = Operator("ana", ("read",), NOW, "mojca", until=NOW)
    assert refusal(ana, "read", NOW, borne=True) == "expired"
    assert refusal(ana, "read", NOW - dt.timedelta(seconds=1), borne=True) is None


def test_one_place_opens_the_store_for_commands():
    """Services open it for themselves, and `topology` its bare collections; all else is admitted first."""
    opening = {file for file, name, _ in CALLS if name in {"open_store", "Mongo.open"}}
    assert opening == {"looking.py", "roles.py", "commands_setup.py", "store/__init__.py"}


def test_every_use_of_the_store_names_a_scope_and_only_the_doctor_none():
    needs = {(file, scope) for file, name, call in CALLS if name == "looking.with_store" for scope in scopes_of(call)}
    assert {scope for _, scope in needs} == {*SCOPES, "open"}
    assert {file for file, scope in needs if scope == "open"} == {"doctor/database.py", "commands_operator.py"}


def scopes_of(call):
    needs = call.args[0]
    return [ast.literal_eval(one) for one in ([needs.body, needs.orelse] if isinstance(needs, ast.IfExp) else [needs])]


def test_nobody_else_says_who_acts():
    assert {file for file, name, _ in CALLS if name.endswith("getuser")} == {"operating.py"}


def test_a_token_comes_by_the_environment_or_a_private_file(tmp_path):
    file, config = tmp_path / "token", tmp_path / "preklic.toml"
    file.write_text("word\n")
    file.chmod(0o600)
    environment = {"PREKLIC_OPERATOR_TOKEN_FILE": str(file)}
    assert load_settings(environment).operator_token == "word"
    assert load_settings({"PREKLIC_OPERATOR_TOKEN": "word"}).operator_token == "word"
    config.write_text('operator_token = "word"\n')
    with pytest.raises(SettingsError, match="one person's"):
        load_settings({"PREKLIC_CONFIG": str(config)})


@pytest.mark.attack(61, guard="preklic_shared.secret_files:_check_private")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_tokens_file_that_others_reach_is_refused(tmp_path, mode):
    file = tmp_path / "token"
    file.write_text("word\n")
    file.chmod(mode)
    with pytest.raises(SettingsError, match="chmod 600") as refused:
        load_settings({"PREKLIC_OPERATOR_TOKEN_FILE": str(file)})
    assert "word" not in str(refused.value)
