"""The files in deploy/ by the tools that will read them, and what Preklic itself says to the settings in them."""

import datetime as dt
import json
import re
import shutil
import stat
import subprocess
import sys

import jsonschema
import pytest
import yaml

from deploying import DEPLOY, ROOT, checked, documents, tool
from preklic_shared import topology
from preklic_shared.settings import SettingsError, load_settings
from preklic_workers import keydir
from preklic_workers.duties import DUTIES
from preklic_workers.smtp.routes import open_routes
from preklic_workers.store import rights

COMPOSE = DEPLOY / "compose" / "compose.yaml"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
GIVEN = {"PREKLIC_UID": "10001", "PREKLIC_GID": "10001", "PREKLIC_SEALING_PIN": "00" * 32}
FACELESS = {"website", "gateway", "feedback"}  # they publish, and never see the database
HASHES = re.compile(r'("password_hash": )"[^"]*"')


def test_the_image_is_built_of_what_a_linter_accepts():
    checked("hadolint", DEPLOY / "Dockerfile")
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    assert "USER 10001:10001" in text
    assert not re.search(r"^FROM \S+(:latest)?$", text, re.MULTILINE)


def test_shell_scripts_and_yaml_are_clean():
    scripts = ["bootstrap", "lock", "compose/prepare", "mongodb/apply.sh"]
    checked("shellcheck", *(DEPLOY / name for name in scripts))
    checked("yamllint", "--strict", "-c", DEPLOY / "yamllint.yml", DEPLOY)


# --- generated files ---


def test_the_kept_definitions_are_what_the_code_makes():
    kept = json.loads((DEPLOY / "rabbitmq" / "definitions.json").read_text("utf-8"))
    users = [role for role in topology.ROLES if role != "website"] + ["website.site"]
    assert kept == topology.definitions(dict.fromkeys(users, ""), version=(4, 0)), (
        "preklic topology definitions --locked --rabbitmq 4.0 --out deploy/rabbitmq/definitions.json"
    )
    assert {user["password_hash"] for user in kept["users"]} == {""}  # nobody can log in with these


def test_the_kept_roles_are_what_the_code_makes():
    kept = (DEPLOY / "mongodb" / "roles.js").read_text("utf-8")
    assert kept == rights.script(), "preklic topology roles --out deploy/mongodb/roles.js"


# --- Compose ---


@pytest.fixture(scope="module")
def composed():
    """The services as `docker compose config` understands them."""
    text = checked("docker-compose", "-f", COMPOSE, "config", "--format", "json", env=GIVEN)
    return json.loads(text)["services"]


def ours(services):
    return {name: one for name, one in services.items() if one["image"].startswith("preklic-")}


def test_compose_runs_each_role_in_a_container_of_its_own_without_rights(composed):
    roles = {one["command"][1] for one in ours(composed).values() if one["command"][0] == "worker"}
    assert roles == {*DUTIES} - {"webhook"}  # that one needs an endpoint of yours
    for name, one in ours(composed).items():
        assert one["user"] == "10001:10001", name
        assert one["read_only"], name
        assert one["cap_drop"] == ["ALL"], name
        assert len(one["command"]) == 2 or one["command"][0] in {"gateway", "feedback"}, name


def test_compose_opens_no_port_to_the_world_and_hands_nobody_another_s_secret(composed):
    for name, one in composed.items():
        assert {port["host_ip"] for port in one.get("ports", ())} <= {"127.0.0.1"}, name
    for name, one in ours(composed).items():
        given = {secret["source"] for secret in one["secrets"]}
        own = {"ca", f"amqp_{name}"} | (set() if name in FACELESS else {f"mongo_{name}"})
        assert given == own, name


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """What deploy/compose/prepare makes, run twice."""
    tool("openssl")
    folder = tmp_path_factory.mktemp("prepared")
    command = folder / "preklic"
    code = f"import sys; sys.path[:] = {sys.path!r}; import commanding; from preklic_shared import cli; "
    code += "cli.entry_points = commanding.points; sys.exit(cli.run(sys.argv[1:]))"
    command.write_text(f"#!{sys.executable}\n{code}\n")
    command.chmod(0o755)
    for _ in range(2):
        subprocess.run(
            [DEPLOY / "compose" / "prepare", folder / "secrets"],
            env={"PATH": "/usr/bin:/bin", "PREKLIC": str(command)}, check=True, capture_output=True, timeout=60,
        )  # fmt: skip
    return folder / "secrets"


def test_what_prepare_makes_lets_every_service_start_in_production(composed, prepared, tmp_path):
    text = (DEPLOY / "compose" / "preklic.toml").read_text("utf-8")
    (tmp_path / "preklic.toml").write_text(text.replace("/run/secrets/ca", str(prepared / "ca")), "utf-8")
    for name, one in ours(composed).items():
        files = {secret["target"]: prepared / secret["source"] for secret in one["secrets"]}
        environ = {
            key: str(files[value.rpartition("/")[2]]) if key.endswith("_URL_FILE") else value
            for key, value in one["environment"].items()
            if key.startswith("PREKLIC_")
        }
        settings = load_settings(environ | {"PREKLIC_CONFIG": str(tmp_path / "preklic.toml")})
        assert settings.environment == "production"
        assert settings.producer == name
        assert ("tls=true" in settings.mongo_url) == (name not in FACELESS), name
    open_routes(settings, dt.datetime.now(dt.UTC).date())


@pytest.mark.attack(68, guard="preklic_shared.settings:_check_production")
def test_production_refuses_these_files_with_anything_convenient(composed, prepared):
    environ = {key: value for key, value in composed["send"]["environment"].items() if key.startswith("PREKLIC_")}
    environ |= {"PREKLIC_CONFIG": str(DEPLOY / "compose" / "preklic.toml")}
    for secret, convenient in (("amqp_url", "amqp://send:x@rabbitmq:5672/"), ("amqp_url", "amqps://guest:guest@r/")):
        bad = {key: value for key, value in environ.items() if not key.endswith("_URL_FILE")}
        with pytest.raises(SettingsError, match=secret.upper()):
            load_settings(bad | {"PREKLIC_AMQP_URL": convenient})


def test_prepare_keeps_keys_to_themselves_and_passwords_out_of_the_definitions(prepared):
    assert stat.S_IMODE(prepared.stat().st_mode) == 0o700
    for role in keydir.ROLES:
        for key in (prepared / "keys" / role).iterdir():
            assert stat.S_IMODE(key.stat().st_mode) == 0o600
    users = json.loads((prepared / "users").read_text("utf-8"))
    text = (prepared / "definitions").read_text("utf-8")
    assert not any(word in text for word in users.values())
    assert {user["name"] for user in json.loads(text)["users"]} == {*users}
    assert all(user["password_hash"] for user in json.loads(text)["users"])
    assert "PREKLIC_UID=0" not in (prepared / ".env").read_text("utf-8")


# --- systemd ---


def test_systemd_accepts_the_units_and_finds_them_closed(tmp_path):
    tool("systemd-analyze")
    for unit in UNITS:
        text = unit.read_text("utf-8").replace("/opt/preklic/bin/preklic", sys.executable)
        (tmp_path / unit.name).write_text(text, "utf-8")
    units = [path.with_name(path.name.replace("@.", "@send.")) for path in sorted(tmp_path.iterdir())]
    shutil.copy(tmp_path / "preklic-worker@.service", tmp_path / "preklic-worker@send.service")
    checked("systemd-analyze", "verify", "--man=no", *units)
    for unit in units:
        checked("systemd-analyze", "security", "--offline=true", "--threshold=20", unit)  # exposure 2.0 of 10


def test_each_role_has_a_unix_user_and_its_secrets_come_as_credentials():
    users = (DEPLOY / "systemd" / "preklic.sysusers.conf").read_text("utf-8")
    assert set(re.findall(r"^u preklic-(\w+)", users, re.MULTILINE)) == {*DUTIES, "gateway", "feedback"}
    for unit in UNITS:
        text = unit.read_text("utf-8")
        assert "LoadCredential=amqp_url:" in text
        assert ("mongo_url" in text) == ("worker@" in unit.name)
        assert not re.search(r"^Environment=PREKLIC_\w+_URL=", text, re.MULTILINE)


# --- Kubernetes ---


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    text = checked("kubectl", "kustomize", DEPLOY / "kubernetes" / "base")
    file = tmp_path_factory.mktemp("kustomize") / "all.yaml"
    file.write_text(text, "utf-8")
    return file, documents(text)


def pods(rendered):
    kinds = ("Deployment", "StatefulSet")
    return {one["metadata"]["name"]: one["spec"] for one in rendered[1] if one["kind"] in kinds}


def test_kubernetes_accepts_everything_and_keda_its_own(rendered, tmp_path):
    scaled = [one for one in rendered[1] if one["kind"] == "ScaledObject"]
    rest = tmp_path / "rest.yaml"
    rest.write_text(yaml.safe_dump_all(one for one in rendered[1] if one not in scaled), "utf-8")
    checked("kubernetes-validate", "--strict", "--quiet", rest)
    schema = json.loads((DEPLOY / "kubernetes" / "schemas" / "keda-scaledobject.json").read_text("utf-8"))
    for one in scaled:
        jsonschema.validate(one, schema)
        assert one["spec"]["scaleTargetRef"]["name"] in pods(rendered)
        assert one["spec"]["fallback"]["replicas"] >= one["spec"]["minReplicaCount"]
    # Two that set one number would set it against each other.
    both = [one["metadata"]["name"] for one in scaled if "replicas" in pods(rendered)[one["metadata"]["name"]]]
    assert both == []


def test_every_role_has_pods_that_may_do_nothing_else(rendered):
    found = pods(rendered)
    assert {*found} == {f"preklic-{role}" for role in (*DUTIES, "gateway", "feedback")}
    for name, spec in found.items():
        pod = spec["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["automountServiceAccountToken"] is False, name
        for container in (*pod["containers"], *pod.get("initContainers", ())):
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}, name
            assert container["securityContext"]["readOnlyRootFilesystem"], name
            assert container["image"].startswith("registry.example/"), name
        (main,) = pod["containers"]
        assert {"readinessProbe", "livenessProbe", "startupProbe"} <= {*main}, name
        role = name.removeprefix("preklic-")
        mounts = {volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}
        keyed = keydir.ROLES[role] != keydir.Needs()
        assert mounts == {name} | ({f"{name}-keys"} if keyed else set()), name


def test_outboxes_and_the_state_of_upkeep_outlive_their_pods(rendered):
    for name in ("preklic-gateway", "preklic-feedback", "preklic-upkeep"):
        spec = pods(rendered)[name]
        assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
        assert spec["volumeClaimTemplates"]


def test_kubernetes_settings_are_good_for_production(rendered, tmp_path):
    url = tmp_path / "url"
    url.write_text("amqps://send:word@rabbitmq:5671/%2F\n")
    maps = [one["data"] for one in rendered[1] if one["kind"] == "ConfigMap"]
    (environ,) = [data for data in maps if "PREKLIC_ENVIRONMENT" in data]
    environ |= {"PREKLIC_AMQP_URL_FILE": str(url)}
    environ |= {"PREKLIC_CONFIG": str(DEPLOY / "kubernetes" / "base" / "preklic.toml")}
    assert load_settings(environ).environment == "production"


def test_the_readme_names_only_files_that_are_there():
    text = (DEPLOY / "README.md").read_text("utf-8")
    named = set(re.findall(r"`(deploy/[\w./@-]+)`", text))
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
