import pytest

from preklic_shared.settings import SettingsError
from preklic_shared.token_keys import load_token_keys, write_token_key
from preklic_shared.tokens import Open

MESSAGE = "018f5f3e-7a01-7c3b-9a77-6a1b2c3d4e5f"


def test_the_highest_id_mints_and_all_verify(tmp_path):
    write_token_key(tmp_path, 1)
    old = load_token_keys(tmp_path).mint(Open(MESSAGE, bytes(16)))
    write_token_key(tmp_path, 12)
    keys = load_token_keys(tmp_path)
    assert keys.check(old, Open) is not None
    (tmp_path / "1.token").unlink()
    assert load_token_keys(tmp_path).check(old, Open) is None
    assert load_token_keys(tmp_path).check(keys.mint(Open(MESSAGE, bytes(16))), Open) is not None


def test_a_key_is_never_written_over(tmp_path):
    path = write_token_key(tmp_path, 1)
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        write_token_key(tmp_path, 1)


@pytest.mark.attack(61, guard="preklic_shared.token_keys:check_key")
@pytest.mark.parametrize(("key", "mode"), [(bytes(32), 0o600), (b"x" * 31, 0o600), (b"ab" * 16, 0o604), (b"", 0o600)])
def test_a_key_that_others_read_or_that_is_no_key_stops_the_start(tmp_path, key, mode):
    write_token_key(tmp_path, 1, key).chmod(mode)
    with pytest.raises(SettingsError, match="KEY_DIR"):
        load_token_keys(tmp_path)


@pytest.mark.parametrize("name", ["x.token", "256.token", "-1.token", "1a.token"])
def test_a_strange_name_stops_the_start(tmp_path, name):
    (tmp_path / name).write_bytes(b"ab" * 16)
    (tmp_path / name).chmod(0o600)
    with pytest.raises(SettingsError, match="named"):
        load_token_keys(tmp_path)


def test_an_empty_directory_stops_the_start(tmp_path):
    with pytest.raises(SettingsError, match="keys init"):
        load_token_keys(tmp_path)
