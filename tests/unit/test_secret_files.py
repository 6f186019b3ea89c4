"""Secrets of settings from files: the same setting, read once, and no word of it in what is said of a fault."""

import pytest

from preklic_shared.secret_files import SECRETS
from preklic_shared.settings import SettingsError, load_settings

URL = "amqps://send:secret-word@broker/%2F"


def test_a_file_stands_for_the_setting(tmp_path):
    file = tmp_path / "amqp_url"
    file.write_text(f"{URL}\n")
    assert load_settings({"PREKLIC_AMQP_URL_FILE": str(file)}).amqp_url == URL


def test_the_name_of_another_setting_that_ends_so_is_left_alone(tmp_path):
    assert load_settings({"PREKLIC_TOKEN_FILE": str(tmp_path / "tokens")}).token_file == tmp_path / "tokens"


@pytest.mark.parametrize("content", [b"", b" \n", b"one\ntwo\n", b"\xff\xfe", b"x" * 5000, None])
def test_what_is_no_secret_is_refused_without_a_word_of_it(tmp_path, content):
    file = tmp_path / "url"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match="AMQP_URL_FILE") as refused:
        load_settings({"PREKLIC_AMQP_URL_FILE": str(file)})
    assert content is None or not content.strip() or content.decode(errors="replace").strip() not in str(refused.value)


@pytest.mark.parametrize("name", SECRETS)
def test_both_at_once_are_refused(tmp_path, name):
    file = tmp_path / "secret"
    file.write_text("x")
    with pytest.raises(SettingsError, match=f"{name}_FILE"):
        load_settings({f"PREKLIC_{name}": "y", f"PREKLIC_{name}_FILE": str(file)})
