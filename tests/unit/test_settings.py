import pytest

from preklic_shared.settings import SettingsError, load_settings

RELAY = {
    "PREKLIC_RELAYS__0__NAME": "main",
    "PREKLIC_RELAYS__0__HOST": "mx.primer.si",
    "PREKLIC_RELAYS__0__PORT": "2525",
    "PREKLIC_RELAYS__0__PROCESSOR": "primer",
}


def test_the_environment_stands_over_the_file(tmp_path):
    file = tmp_path / "preklic.toml"
    file.write_text('concurrency = 7\nmongo_database = "one"\n')
    settings = load_settings({"PREKLIC_CONFIG": str(file), "PREKLIC_MONGO_DATABASE": "two", **RELAY})
    assert (settings.concurrency, settings.mongo_database) == (7, "two")
    assert (settings.relays[0].port, settings.relays[0].tls) == (2525, "required")


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"PREKLIC_CONCURENCY": "1"}, "PREKLIC_CONCURENCY"),
        ({"PREKLIC_CONCURRENCY": "many"}, "PREKLIC_CONCURRENCY"),
        ({"PREKLIC_CONCURRENCY": "0"}, "PREKLIC_CONCURRENCY"),
        ({"PREKLIC_RELAYS__0__PORT": "70000"}, "PREKLIC_RELAYS"),
        ({"PREKLIC_RELAYS": "x", "PREKLIC_RELAYS__0__PORT": "1"}, "PREKLIC_RELAYS"),
        ({"PREKLIC_CONFIG": "/nowhere/preklic.toml"}, "PREKLIC_CONFIG"),
        ({"PREKLIC_ENVIRONMENT": "prod"}, "PREKLIC_ENVIRONMENT"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(environ, name):
    with pytest.raises(SettingsError, match=name):
        load_settings(environ)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"PREKLIC_AMQP_URL": "amqp://web:x@broker/"}, "amqps"),
        ({"PREKLIC_AMQP_URL": "amqps://guest:guest@broker/"}, "guest"),
        ({"PREKLIC_RELAYS__0__TLS": "off"}, "tls"),
        ({"PREKLIC_PUBLIC_URL": "http://primer.si"}, "https"),
        ({"PREKLIC_MONGO_URL": "mongodb://send:x@one,two/?replicaSet=a"}, "tls=true"),
        ({"PREKLIC_MONGO_URL": "mongodb://one/?replicaSet=a&tls=false"}, "tls=true"),
        ({"PREKLIC_MONGO_URL": "mongodb://one/?TLS=true&tlsInsecure=true"}, "tls=true"),
        ({"PREKLIC_MONGO_URL": "mongodb://one/?ssl=true&tlsAllowInvalidHostnames=true"}, "tls=true"),
        ({"PREKLIC_MONGO_URL": "mongodb+srv://one/?tls=false"}, "tls=true"),
        ({"PREKLIC_MONGO_URL": "mongodb://[::1/?tls=true"}, "tls=true"),
        ({"PREKLIC_MONGO_URL": "mongodb+srv://one/?tlsAllowInvalidCertificates=true"}, "tls=true"),
    ],
)
@pytest.mark.attack(68, guard="preklic_shared.settings:_check_production")
def test_production_refuses_what_is_convenient_in_development(change, what):
    sound = {
        "PREKLIC_ENVIRONMENT": "production",
        "PREKLIC_AMQP_URL": "amqps://web:x@broker/",
        "PREKLIC_PUBLIC_URL": "https://primer.si",
        **RELAY,
    }
    assert load_settings(sound).environment == "production"
    for url in ("mongodb://send:x@one,two/?replicaSet=a&tls=true", "mongodb+srv://one/", "mongodb://one/?ssl=true"):
        assert load_settings({**sound, "PREKLIC_MONGO_URL": url}).mongo_url == url
    with pytest.raises(SettingsError, match=what):
        load_settings({**sound, **change})
