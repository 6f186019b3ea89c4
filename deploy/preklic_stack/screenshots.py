"""`python -m preklic_stack.screenshots [FOLDER]`: the pictures in docs/pages, made anew from the gateway's own pages.

Each page in both languages, on a telephone (390 pixels) and on a desktop. No service has to run: what a person permits
is made up here.
"""

import asyncio
import datetime as dt
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from PIL import Image
from playwright.async_api import Browser

from preklic_producers.gateway import centre, pages, policy_page
from preklic_producers.gateway.texts import Language
from preklic_shared.clauses import House
from preklic_shared.registry import load_registry
from preklic_stack.browser import DESKTOP, PHONE, chromium

FOLDER: Final = Path(__file__).resolve().parents[2] / "docs" / "pages"
HOME: Final = "https://novice.lucrum.example"
RECEIPT: Final = "019a3c52-7d10-7c4e-9a51-0d6f0f2b7c11"
STATES: Final = {"newsletter": "granted", "offers": "withdrawn", "proposals": "granted", "partner_offers": "pending"}
TRACKED: Final = {"engagement.clicks": "granted"}
DAY: Final = dt.date(2026, 11, 27)
COLOURS: Final = 48
# A page that is longer is cut: what matters stands above.
LONGEST: Final = 1300
SHAPES: Final[dict[str, dict[str, Any]]] = {
    "phone": PHONE | {"viewport": {"width": 390, "height": 300}, "device_scale_factor": 1.5},
    "desktop": DESKTOP | {"viewport": {"width": 1024, "height": 300}},
    "dark": PHONE | {"device_scale_factor": 1.5, "color_scheme": "dark"},
}


def shown(language: Language) -> Iterator[tuple[str, str]]:
    """The pages by name, as HTML."""
    registry = load_registry()
    face = pages.Face(language, registry.controller, HOME)
    yield "stop", pages.question(face, "stop")
    yield "stopped", pages.done(face, "stop", RECEIPT, centre=f"{HOME}/p/x")
    yield "preferences", centre.preferences(face, registry, STATES | TRACKED)
    yield "erase", pages.question(face, "erase", "erase", "yes")
    yield "confirm", pages.question(face, "confirm")
    yield "policy", policy_page.policy(face, House(registry, (), DAY))


async def picture(browser: Browser, html: str, shape: dict[str, Any]) -> bytes:
    """A page as PNG, in few colours."""
    context = await browser.new_context(java_script_enabled=False, **shape)
    tab = await context.new_page()
    await tab.set_content(html)
    raw = await tab.screenshot(full_page=True)
    await context.close()
    image, out = Image.open(io.BytesIO(raw)).convert("RGB"), io.BytesIO()
    height = min(image.height, int(LONGEST * shape.get("device_scale_factor", 1)))
    image.crop((0, 0, image.width, height)).quantize(COLOURS).save(out, "PNG", optimize=True)
    return out.getvalue()


async def pictures() -> dict[str, bytes]:
    """All pictures by the name of their file. The dark one is of the preference centre alone."""
    languages: tuple[Language, ...] = ("sl", "en")
    async with chromium() as browser:
        return {
            f"{name}-{language}-{shape}.png": await picture(browser, html, options)
            for language in languages
            for name, html in shown(language)
            for shape, options in SHAPES.items()
            if shape != "dark" or name == "preferences"
        }


def main(folder: Path = FOLDER) -> None:
    """Make them all again, and say how large they are."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, png in asyncio.run(pictures()).items():
        (folder / name).write_bytes(png)
        print(f"{name} {len(png) // 1000} kB")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
