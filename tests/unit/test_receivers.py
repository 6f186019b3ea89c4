import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preklic_workers.private_files import NotWritten, private_file
from preklic_workers.receivers import BadKeyFile, private, public_hex

KEY = X25519PrivateKey.from_private_bytes(b"0123456789abcdef" * 2)
PUBLIC = KEY.public_key().public_bytes_raw().hex()
PEM, PKCS8, SPKI = Encoding.PEM, PrivateFormat.PKCS8, PublicFormat.SubjectPublicKeyInfo


def test_keys_are_read_in_each_of_their_forms(tmp_path):
    file = tmp_path / "key"
    for form in (PUBLIC.encode(), f" {PUBLIC.upper()}\n".encode(), KEY.public_key().public_bytes(PEM, SPKI)):
        file.write_bytes(form)
        assert public_hex(file) == PUBLIC
    raw = KEY.private_bytes_raw()
    for form in (raw, raw.hex().encode(), KEY.private_bytes(PEM, PKCS8, NoEncryption())):
        file.write_bytes(form)
        assert private(file).public_key().public_bytes_raw().hex() == PUBLIC


@given(data=st.binary(max_size=100))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_anything_else_is_no_key(tmp_path, data):
    signing = Ed25519PrivateKey.generate()
    file = tmp_path / "key"
    for content in (data, signing.public_key().public_bytes(PEM, SPKI)):
        file.write_bytes(content)
        with pytest.raises(BadKeyFile):
            public_hex(file)
    file.write_bytes(signing.private_bytes(PEM, PKCS8, NoEncryption()))
    with pytest.raises(BadKeyFile):
        private(file)


def test_a_file_for_one_reader_is_whole_or_not_there(tmp_path):
    path = tmp_path / "sealed"
    writing = private_file(path)
    writing.__enter__().write(b"half")
    assert not writing.__exit__(ZeroDivisionError, ZeroDivisionError(), None)
    assert not path.exists()
    with private_file(path) as file:
        assert path.stat().st_mode & 0o777 == 0o600
        file.write(b"all")
    assert path.read_bytes() == b"all"
    for taken in (path, tmp_path / "nowhere" / "sealed"):
        with pytest.raises(NotWritten), private_file(taken):
            raise AssertionError
    assert path.read_bytes() == b"all"
