"""Alerts, their tests, the runbook and the dashboard hold together, and to the metrics and commands that there are."""

import json
import re
import shlex

import pytest
import yaml
from typer.exceptions import TyperException

from commanding import parse
from deploying import DEPLOY, checked
from preklic_shared import metrics

PROMETHEUS = DEPLOY / "prometheus"
RUNBOOK = (DEPLOY / "runbook.md").read_text("utf-8")
COMMANDS = list(dict.fromkeys(re.findall(r"^\$ preklic (.+?)(?:\s+# .*)?$", RUNBOOK, re.MULTILINE)))


def loaded(name):
    return yaml.safe_load((PROMETHEUS / name).read_text("utf-8"))


def rules(name):
    return [rule for group in loaded(name)["groups"] for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules("alerts.yml")}
RECORDED = {rule["record"]: rule["expr"] for rule in rules("rules.yml")}
DASHBOARD = json.loads((DEPLOY / "grafana" / "preklic.json").read_text("utf-8"))
SHOWN = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def declared():
    """The names that Prometheus sees of each metric, by its declaration."""
    found = {}
    for family in metrics.REGISTRY.collect():
        ends = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}.get(family.type, ("",))
        found[family.name] = {family.name + end for end in ends}
    return found


def named(expression):
    return set(re.findall(r"preklic_[a-z_]+", expression))


def test_prometheus_accepts_configuration_and_rules():
    checked("promtool", "check", "config", PROMETHEUS / "prometheus.yml")
    checked("promtool", "test", "rules", PROMETHEUS / "rules_test.yml", PROMETHEUS / "rules_test_long.yml")


def test_every_alert_is_seen_to_fire():
    tests = [test for name in ("rules_test.yml", "rules_test_long.yml") for test in loaded(name)["tests"]]
    fired = {case["alertname"] for test in tests for case in test.get("alert_rule_test", ()) if case.get("exp_alerts")}
    assert fired == {*ALERTS}


def test_rules_and_dashboard_name_metrics_that_there_are():
    known = set().union(*declared().values())
    for expression in (*(rule["expr"] for rule in ALERTS.values()), *RECORDED.values(), *SHOWN):
        assert named(expression) <= known, expression
        assert set(re.findall(r"preklic:[a-z_0-9:]+", expression)) <= {*RECORDED}, expression


def test_every_metric_that_says_page_has_an_alert_and_every_one_is_on_the_dashboard():
    alerting = named(" ".join([*(rule["expr"] for rule in ALERTS.values()), *RECORDED.values()]))
    shown = named(" ".join([*SHOWN, *RECORDED.values()]))
    for family in metrics.REGISTRY.collect():
        names = declared()[family.name]
        assert names & alerting or "Page when" not in family.documentation, family.name
        assert names & shown, family.name


def test_prometheus_understands_what_the_dashboard_asks(tmp_path):
    asked = [{"record": f"shown:{place}", "expr": expression} for place, expression in enumerate(SHOWN)]
    file = tmp_path / "dashboard.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": asked}]}), "utf-8")
    checked("promtool", "check", "rules", file)


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_has_a_heading_with_commands(name):
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["runbook"] == f"deploy/runbook.md#{name.lower()}"
    (section,) = re.findall(rf"^## {name}\n(.*?)(?=^## |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL)
    assert "$ preklic " in section


def test_no_heading_is_of_an_alert_that_is_gone():
    assert set(re.findall(r"^## (Preklic\w+)$", RUNBOOK, re.MULTILINE)) == {*ALERTS}


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_the_runbook_is_one(line):
    parse(shlex.split(line))


def test_the_test_of_commands_would_see_a_wrong_one():
    for wrong in (
        "stop --purpos x",
        "why --nothing",
        "nothing",
        "dead lists",
        "doubt resolve JOB --as lost --reason x",
    ):
        with pytest.raises(TyperException):
            parse(shlex.split(wrong))
