"""The files that whoever takes from outside needs: token keys, the public sealing keys, and an outbox."""

from pathlib import Path

from preklic_shared.settings import Settings, SettingsError


def files_of(settings: Settings, role: str) -> tuple[Path, Path, Path]:
    """The token keys' directory of `role` (gateway, feedback), the public sealing keys and the outbox.

    Raises SettingsError when one is not named.
    """
    if settings.key_dir is None:
        raise SettingsError("KEY_DIR", f"the role {role} needs its directory of token keys")
    if settings.sealing_keys is None:
        raise SettingsError("SEALING_KEYS", f"the role {role} needs the file that `preklic keys publish` writes")
    if settings.outbox is None:
        raise SettingsError("OUTBOX", f"the role {role} keeps noes on disk while the broker is away: name a file")
    below = settings.key_dir / role
    return below if below.is_dir() else settings.key_dir, settings.sealing_keys, settings.outbox
