"""P1, held by a list: the modules that open what is encrypted of a person. A new one is a decision, not an accident."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("shared/preklic_shared", "producers/preklic_producers", "workers/preklic_workers", "deploy/preklic_stack")
# Each with what it opens, and for whom.
DECRYPTS = {
    "shared/preklic_shared/sealing.py": "what a producer sealed to a role",
    "workers/preklic_workers/envelope.py": "the envelope itself",
    "workers/preklic_workers/store/persons.py": "the address and the fields of one person",
    "workers/preklic_workers/store/contacts.py": "the address that a mail to a known person goes to",
    "workers/preklic_workers/store/copies.py": "the octets of mails that a hold asks for, as evidence (U13)",
    "workers/preklic_workers/store/exports.py": "the person's own export (GDPR 15 and 20)",
    "workers/preklic_workers/store/kept_keys.py": "the keys that an erasure left to a hold (U13)",
    "workers/preklic_workers/store/holds.py": "what a hold keeps, for an order or an investigation (U9, U13, U14)",
    "workers/preklic_workers/store/ledger.py": "what a leaf of the ledger commits to: ids, states and codes",
    "workers/preklic_workers/store/profiles.py": "what a mail is made individual with, where the purpose allows it",
    "workers/preklic_workers/store/proofs.py": "what a person said, for an order (U9)",
}
ADDRESS_OF = {
    "workers/preklic_workers/store/exports.py": "the person's own export",
    "workers/preklic_workers/opening.py": "for a purpose that the registry allows it: disclosure, break-glass",
}
UNSEALS = {"workers/preklic_workers/runtime.py": "one job, for its handler alone"}


def calls(source, *names):
    """Whether a module calls a method or function of one of these names, or takes it without calling it."""
    nodes = list(ast.walk(ast.parse(source)))
    taken = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    taken |= {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    return bool(taken & set(names))


def modules(*names):
    paths = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    assert len(paths) > 100
    return {str(path.relative_to(ROOT)) for path in paths if calls(path.read_text("utf-8"), *names)}


@pytest.mark.clause("P1")
def test_only_these_modules_decrypt():
    assert modules("decrypt", "decrypt_into") == set(DECRYPTS)
    assert modules("AESGCM", "ChaCha20Poly1305", "AESGCMSIV") == {
        "shared/preklic_shared/sealing.py", "workers/preklic_workers/envelope.py"
    }  # fmt: skip


@pytest.mark.clause("P1")
def test_only_these_modules_ask_for_an_address():
    asked = {path for path in modules("address_of") if path.startswith("workers")}
    assert asked == set(ADDRESS_OF)
    assert modules("unseal") == set(UNSEALS)


@pytest.mark.parametrize(
    "planted",
    ["key.decrypt(b'')", "open_it = key.decrypt", "async def f(key):\n    return (await key).decrypt(1)", "decrypt(x)"],
)
def test_the_search_finds_what_is_planted(planted):
    assert calls(planted, "decrypt")
    assert not calls("# key.decrypt()\n'decrypt'\nencrypt(1)", "decrypt")
