"""Which key directory a role of this process uses: `KEY_DIR/<role>` where the root is given, else `KEY_DIR` itself."""

from pathlib import Path

from preklic_shared.settings import Settings, SettingsError
from preklic_workers.keydir import ROLES, load_ring
from preklic_workers.keyring import KeyRing
from preklic_workers.looking import KEYLESS


def directory_of(settings: Settings, role: str) -> Path:
    """The directory with the keys of `role`. Raises SettingsError when none is named."""
    if settings.key_dir is None:
        raise SettingsError("KEY_DIR", f"the role {role} needs its key directory (preklic keys init)")
    below = settings.key_dir / role
    return below if below.is_dir() else settings.key_dir


def ring_of(settings: Settings, role: str) -> KeyRing:
    """The key ring of `role`; a role that needs no key needs no directory. Raises SettingsError or KeyDirError."""
    needs = ROLES[role]
    if not (needs.sealing or needs.groups or needs.blind or needs.tokens or needs.root):
        return KEYLESS
    return load_ring(directory_of(settings, role), role)
