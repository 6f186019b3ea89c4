"""Images that lie in a template's folder and go out inside its mails: `images/logo.png`, shown as `cid:logo.png`."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from preklic_workers.compose.content import TemplateError
from preklic_workers.compose.mails import Part
from preklic_workers.compose.parts import part

MAX_IMAGES: Final = 10
MAX_OCTETS: Final = 200_000  # of all together
_MAGIC: Final = (
    (b"\x89PNG\r\n\x1a\n", "png", "image/png"),
    (b"\xff\xd8\xff", "jpg", "image/jpeg"),
    (b"\xff\xd8\xff", "jpeg", "image/jpeg"),
    (b"GIF87a", "gif", "image/gif"),
    (b"GIF89a", "gif", "image/gif"),
)
_NAME: Final = re.compile(r"[a-z0-9_-]+\.(png|jpe?g|gif)")
_SHOWN: Final = re.compile(r'(\ssrc=")cid:([^"]*)"', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Image:
    """One image: the identity by which the HTML shows it (RFC 2392), and its part of a mail."""

    name: str
    identity: str
    part: Part


def images_of(place: str, folders: Iterable[Path]) -> dict[str, Image]:
    """The images of these folders by name; TemplateError names the file at fault."""
    files = [file for folder in folders if folder.is_dir() for file in sorted(folder.iterdir())]
    if len(files) > MAX_IMAGES or sum(file.stat().st_size for file in files) > MAX_OCTETS:
        raise TemplateError(f"{place}: more than {MAX_IMAGES} images, or than {MAX_OCTETS} octets of them")
    return {file.name: _image(place, file) for file in files}


def _image(place: str, file: Path) -> Image:
    if not _NAME.fullmatch(file.name):
        raise TemplateError(f"{place}: an image is named in lower case, and ends with .png, .jpg, .jpeg or .gif")
    content = file.read_bytes()
    kind = type_of(file.name, content)
    if kind is None:
        raise TemplateError(f"{place}: images/{file.name} is not what its name says")
    identity = f"{file.name}.{hashlib.sha256(content).hexdigest()[:16]}@image"
    return Image(file.name, identity, part(kind, f'inline; filename="{file.name}"', content, identity))


def type_of(name: str, content: bytes) -> str | None:
    """The type that the first octets say, if it is the one of the name's ending."""
    ending = name.rpartition(".")[2]
    return next((kind for magic, end, kind in _MAGIC if end == ending and content.startswith(magic)), None)


def shown(sources: Mapping[str, str], images: Mapping[str, Image]) -> tuple[dict[str, str], tuple[Part, ...]]:
    """The sources with the images' identities, and the parts of those that are shown; TemplateError for others."""
    used: dict[str, Part] = {}

    def identified(found: re.Match[str]) -> str:
        image = images.get(found[2])
        if image is None:
            raise TemplateError(f"cid:{found[2]}: there is no such file among the images of the template")
        used[image.name] = image.part
        return f'{found[1]}cid:{image.identity}"'

    changed = {file: _SHOWN.sub(identified, source) for file, source in sources.items()}
    return changed, tuple(used.values())
