"""The template folder: everything is loaded, checked and compiled at start; rendering is pure.

A template is a folder: `template.toml` (`Front`), `body.html.j2`, `body.txt.j2` (it follows from the HTML where it is
not there) and `images`. Folders whose name begins with `_` hold layouts. Templates run in Jinja's sandbox with strict
undefined names; HTML is always escaped, and there is no way to switch that off from inside a template.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Final

import msgspec
from jinja2 import DictLoader, FileSystemLoader, StrictUndefined, TemplateNotFound
from jinja2 import Template as Compiled
from jinja2 import TemplateError as JinjaError
from jinja2.meta import find_referenced_templates
from jinja2.sandbox import SandboxedEnvironment

from preklic_workers.compose.content import PROFILE, Content, TemplateError
from preklic_workers.compose.front import Front, direction, known_names
from preklic_workers.compose.images import images_of, shown
from preklic_workers.compose.inlining import inlined
from preklic_workers.compose.mails import Part
from preklic_workers.compose.refusals import refuse_odd, refuse_unknown
from preklic_workers.compose.sources import text_of, tidy

MAX_RENDERED: Final = 400_000  # characters of one body; a mail that is longer is a mistake


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled template."""

    name: str
    front: Front
    _subjects: tuple[Compiled, ...]
    _preheader: Compiled
    _text: Compiled
    _html: Compiled
    images: tuple[Part, ...] = ()
    derived: bool = False

    def render(self, data: Mapping[str, Any], surroundings: Mapping[str, Any], variant: int | None = None) -> Content:
        """Fill in `data` (only the fields that are declared) among `surroundings`; TemplateError otherwise.

        `variant` chooses among several subjects.
        """
        names: dict[str, Any] = {**self._html.globals, PROFILE: {}, **self._pick(data)}
        names.update(surroundings, language=self.front.language, direction=direction(self.front.language))
        try:
            names["subject"] = _filled(self._subjects[(variant or 0) % len(self._subjects)], names)
            names["preheader"] = _filled(self._preheader, names)
            text = _filled(self._text, names)
            content = Content(names["subject"], tidy(text) if self.derived else text, _filled(self._html, names))
        # A filter raises what Python raises for data of the wrong type; the text of the error may hold data.
        except (JinjaError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            raise TemplateError(self.name) from None
        if max(len(content.text), len(content.html)) > MAX_RENDERED:
            raise TemplateError("body")
        return content

    def _pick(self, data: Mapping[str, Any]) -> dict[str, Any]:
        if (field := missing_field(self.front, data)) is not None:
            raise TemplateError(field)
        return {field: data.get(field) for field in (*self.front.fields, *self.front.optional)}


def missing_field(front: Front, data: Mapping[str, Any]) -> str | None:
    """The first required field that `data` lacks."""
    return next((field for field in front.fields if field not in data), None)


class Templates:
    """All templates of a folder, by name."""

    def __init__(self, folder: Path) -> None:
        """TemplateError names the template, and what it asks for, when one of them is broken."""
        self._folder = folder
        self._environment = _environment(folder)
        self._written = {path.parent.name for path in folder.glob("*/body.txt.j2")}
        self._by_name = {path.parent.name: self._load(path) for path in sorted(folder.glob("*/template.toml"))}

    def get(self, name: str) -> Template | None:
        """The template of that name."""
        return self._by_name.get(name)

    def variant(self, name: str, language: object) -> Template:
        """The template's variant in that language (`name-en`), or itself without one; TemplateError: no such name."""
        template = self._by_name.get(f"{name}-{language}") or self._by_name.get(name)
        if template is None:
            raise TemplateError("template")
        return template

    def variants(self, name: str) -> list[Template]:
        """The template of that name and its variants in other languages."""
        return [one for key, one in self._by_name.items() if key == name or key.startswith(f"{name}-")]

    def sources(self, name: str) -> dict[str, str]:
        """The source of the template's bodies and of the layouts that they stand on, by file.

        A text body that is not there follows from the HTML one.
        """
        found: dict[str, str] = {}
        ahead = [f"{name}/body.txt.j2", f"{name}/body.html.j2"]
        while ahead:
            file = ahead.pop()
            found[file] = self._source(file)
            ahead += [one for one in find_referenced_templates(self._environment.parse(found[file])) if one]
        return found

    def _source(self, file: str) -> str:
        loader = self._environment.loader
        assert loader is not None
        try:
            return loader.get_source(self._environment, file)[0]
        except TemplateNotFound:
            if not file.endswith(".txt.j2"):
                raise
            page = f"{file.removesuffix('.txt.j2')}.html.j2"
            return text_of(page, loader.get_source(self._environment, page)[0])

    def __iter__(self) -> Iterator[Template]:
        return iter(self._by_name.values())

    def _load(self, path: Path) -> Template:
        name = path.parent.name
        try:
            front = msgspec.convert(tomllib.loads(path.read_text("utf-8")), Front)
            self._check_front(name, front)
            found = self.sources(name)
            for body in (f"{name}/body.txt.j2", f"{name}/body.html.j2"):
                self._check(name, body, found, known_names(front))
            folders = {self._folder / Path(file).parent / "images" for file in found}
            found, images = shown(found, images_of(name, sorted(folders)))
            html = inlined(self._environment, f"{name}/body.html.j2", found)
            return self._compiled(name, front, html, images)
        except TemplateError as error:
            raise TemplateError(error.field if error.field.startswith(name) else f"{name}: {error.field}") from None
        except (JinjaError, msgspec.ValidationError, tomllib.TOMLDecodeError, OSError) as error:
            raise TemplateError(f"{name}: {error}") from error

    def _compiled(self, name: str, front: Front, found: dict[str, str], images: tuple[Part, ...]) -> Template:
        environment = self._environment.overlay(loader=DictLoader(found))
        for file in found:
            _flat(environment.get_template(file))
        return Template(
            name,
            front,
            tuple(_flat(environment.from_string(subject)) for subject in front.lines),
            _flat(environment.from_string(front.preheader)),
            environment.get_template(f"{name}/body.txt.j2"),
            environment.get_template(f"{name}/body.html.j2"),
            images,
            derived=name not in self._written,
        )

    def _check_front(self, name: str, front: Front) -> None:
        if PROFILE in (*front.fields, *front.optional):
            raise TemplateError(f"{name}: {PROFILE} is no field of the data")
        if (front.subject is None) == (not front.subjects):
            raise TemplateError(f"{name}: exactly one of subject and subjects says what stands in the subject")
        for line in (*front.lines, front.preheader):
            refuse_unknown(name, self._environment.parse(line), known_names(front) - {"subject", "preheader"})

    def _check(self, name: str, body: str, sources: Mapping[str, str], known: frozenset[str]) -> None:
        """Refuse what a file, or a layout it stands on, asks for beyond `known`, and what HTML in it must not do."""
        source = sources[body]
        tree = self._environment.parse(source, filename=body)
        refuse_unknown(name, tree, known)
        if body.endswith(".html.j2"):
            refuse_odd(f"{name}: {body}", source)
        for layout in find_referenced_templates(tree):
            if layout is None or not layout.startswith("_"):
                raise TemplateError(f"{name}: {body}: only layouts of the folder can be referred to")
            self._check(name, layout, sources, known)


class Sandbox(SandboxedEnvironment):
    """Jinja's sandbox. `article.title` of a JSON object is its member first: that is what data are made of."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        """The member of that name, or what the sandbox says to it."""
        if type(obj) is dict and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)


def _environment(folder: Path) -> SandboxedEnvironment:
    environment = Sandbox(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        autoescape=escapes,
        auto_reload=False,
        cache_size=-1,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # What would let data through unescaped is not there at all.
    for name in ("safe", "xmlattr", "urlize"):
        del environment.filters[name]
    return environment


def _filled(template: Compiled, names: dict[str, Any]) -> str:
    """`template.render` with names that have Jinja's own among them, so that they need not be copied."""
    return "".join(template.root_render_func(template.new_context(names, shared=True)))


def _flat(template: Compiled) -> Compiled:
    # Jinja copies a template's globals for each rendering, and out of its chain of maps that costs 4 us.
    template.globals = dict(template.globals)
    # The code that Jinja made of it looks this name up for each value that it escapes.
    template.root_render_func.__globals__["escape"] = escaped
    return template


def escaped(value: Any) -> str:
    """What `markupsafe.escape` makes of a value, in a third of the time for plain text: a mail has dozens of them."""
    if type(value) is str:
        return escape(value)
    return str(value.__html__()) if hasattr(value, "__html__") else escape(str(value))


def escapes(name: str | None) -> bool:
    """Whether what data put into the file `name` is escaped: always in HTML."""
    return name is not None and name.endswith(".html.j2")
