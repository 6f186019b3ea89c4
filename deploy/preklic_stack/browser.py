"""Debian's Chromium under Playwright: the one browser of the tests and of the pictures in docs/pages."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from playwright.async_api import Browser, async_playwright

from preklic_stack.programs import Missing

# It talks to loopback alone: no updates, no sync, nothing of its own.
FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PHONE: Final[dict[str, Any]] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
DESKTOP: Final[dict[str, Any]] = {"viewport": {"width": 1024, "height": 768}}


def find_chromium() -> str:
    """The program `chromium`. Raises `Missing`."""
    if found := shutil.which("chromium"):
        return found
    raise Missing("chromium is not installed: run deploy/bootstrap browser (on Debian: apt install chromium)")


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser with an empty profile that is gone afterwards; headless. Raises `Missing`."""
    program = find_chromium()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        try:
            yield browser
        finally:
            await browser.close()
