"""A picture of a page by the browser that is installed, without a network and without a trace."""

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

MISSING: Final = "chromium is not installed, so there is no picture: on Debian, apt install chromium"
_SECONDS: Final = 60.0
_FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-sync",
    "--disable-component-update",
    "--disable-quic",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)


class NoPicture(Exception):
    """There is no browser, or it made no picture; the text says what to do."""


def browser() -> str:
    """The program `chromium`; NoPicture where there is none."""
    if (found := shutil.which("chromium")) is None:
        raise NoPicture(MISSING)
    return found


def take(page: Path, picture: Path, width: int, height: int = 1200) -> None:
    """Write a PNG of the file `page`, `width` by `height` pixels. Raises NoPicture."""
    program = browser()
    with tempfile.TemporaryDirectory(prefix="preview-") as profile:
        size = (f"--window-size={width},{height}", f"--screenshot={picture.resolve()}")
        argv = [program, *_FLAGS, f"--user-data-dir={profile}", *size, page.resolve().as_uri()]
        try:
            subprocess.run(argv, check=True, capture_output=True, timeout=_SECONDS)  # noqa: S603 - our own words
        except (subprocess.SubprocessError, OSError):
            raise NoPicture("chromium made no picture of the page") from None
    if not picture.is_file():
        raise NoPicture("chromium made no picture of the page")
