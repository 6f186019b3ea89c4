"""`STATE_DIR`: what must outlive MongoDB, on the host of `upkeep`: backups of wrapped keys, tombstones, incarnation.

It must be in no backup that is restored together with the database.
"""

from pathlib import Path

from preklic_shared.settings import Settings, SettingsError
from preklic_workers.keydir import check_private


def state_of(settings: Settings) -> Path:
    """The directory, made (mode 700) if it is absent. Raises SettingsError or KeyDirError."""
    if settings.state_dir is None:
        raise SettingsError("STATE_DIR", "name a directory outside MongoDB and its backups, on the host of upkeep")
    settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_private(settings.state_dir, 0o700)
    return settings.state_dir
