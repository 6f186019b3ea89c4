"""The template folder: everything is loaded, checked and compiled at start; rendering is pure.

A template is a folder: `template.toml` (`Front`), `body.txt.j2` and `body.html.j2`. Folders whose name begins with
`_` hold layouts. Templates run in Jinja's sandbox with strict undefined names; HTML is always escaped, and there is no
way to switch that off from inside a template.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from jinja2 import FileSystemLoader, StrictUndefined, nodes
from jinja2 import Template as Compiled
from jinja2 import TemplateError as JinjaError
from jinja2.meta import find_referenced_templates, find_undeclared_variables
from jinja2.sandbox import SandboxedEnvironment

from preklic_workers.compose.content import Content

MAX_RENDERED: Final = 400_000  # characters of one body; a mail that is longer is a mistake
SURROUNDINGS: Final = frozenset(
    {"company", "confirm_url", "language", "policy_url", "preferences_url", "preheader", "subject", "unsubscribe_url"}
)
"""Names that every template may use beside its fields."""
PROFILE: Final = "profile"

_TAG: Final = re.compile(r"<[a-z][^<>]*>", re.IGNORECASE)
_VALUE: Final = re.compile(r'"[^"]*"')
_ODD: Final = re.compile(r'\s=|=(?!"")')
_ACTIVE: Final = re.compile(r"<\s*(?:script|iframe|object|embed|form)\b|<[^>]*\son\w+\s*=", re.IGNORECASE)


class TemplateError(Exception):
    """A template is broken, or its data do not fit it. `field` names what is at fault, never a value."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


class Front(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The front matter in `template.toml`. `optional` fields are None where the data lack them.

    `profile` names the fields of the person's profile that the mail is made individual with: the template finds them in
    `profile`, which is empty where the general variant must go out.
    `destinations`: the hosts of a partner that a partner's mail may lead to, through our redirect (U4).
    """

    purposes: list[str]
    language: str
    subject: str
    preheader: str
    fields: list[str] = []
    optional: list[str] = []
    profile: list[str] = []
    destinations: list[str] = []


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled template."""

    name: str
    front: Front
    _subject: Compiled
    _preheader: Compiled
    _text: Compiled
    _html: Compiled

    def render(self, data: Mapping[str, Any], surroundings: Mapping[str, Any]) -> Content:
        """Fill in `data` (only the fields that are declared) among `surroundings`; TemplateError otherwise."""
        names: dict[str, Any] = {PROFILE: {}, **self._pick(data)}
        names.update(surroundings, language=self.front.language)
        try:
            names["subject"] = self._subject.render(names)
            names["preheader"] = self._preheader.render(names)
            content = Content(names["subject"], self._text.render(names), self._html.render(names))
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


def known_names(front: Front) -> frozenset[str]:
    """The names that a template may use; those of the profile, and it itself, only where it declares them."""
    asked = {PROFILE, *(f"{PROFILE}.{field}" for field in front.profile)} if front.profile else set()
    return SURROUNDINGS | {*front.fields, *front.optional} | asked


class Templates:
    """All templates of a folder, by name."""

    def __init__(self, folder: Path) -> None:
        """TemplateError names the template, and what it asks for, when one of them is broken."""
        self._environment = _environment(folder)
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
        """The source of the template's bodies and of the layouts that they stand on, by file."""
        loader, found = self._environment.loader, dict[str, str]()
        assert loader is not None
        ahead = [f"{name}/body.txt.j2", f"{name}/body.html.j2"]
        while ahead:
            file = ahead.pop()
            found[file] = loader.get_source(self._environment, file)[0]
            ahead += [one for one in find_referenced_templates(self._environment.parse(found[file])) if one]
        return found

    def __iter__(self) -> Iterator[Template]:
        return iter(self._by_name.values())

    def _load(self, path: Path) -> Template:
        name = path.parent.name
        try:
            front = msgspec.convert(tomllib.loads(path.read_text("utf-8")), Front)
            known = known_names(front)
            if PROFILE in (*front.fields, *front.optional):
                raise TemplateError(f"{name}: {PROFILE} is no field of the data")
            environment = self._environment
            for body in (f"{name}/body.txt.j2", f"{name}/body.html.j2"):
                self._check(name, body, known)
            for line in (front.subject, front.preheader):
                _refuse_unknown(name, environment.parse(line), known - {"subject", "preheader"})
            return Template(
                name,
                front,
                _flat(environment.from_string(front.subject)),
                _flat(environment.from_string(front.preheader)),
                _flat(environment.get_template(f"{name}/body.txt.j2")),
                _flat(environment.get_template(f"{name}/body.html.j2")),
            )
        except (JinjaError, msgspec.ValidationError, tomllib.TOMLDecodeError, OSError) as error:
            raise TemplateError(f"{name}: {error}") from error

    def _check(self, name: str, body: str, known: frozenset[str]) -> None:
        """Refuse what a file, or a layout it stands on, asks for beyond `known`, and what HTML in it must not do."""
        loader = self._environment.loader
        assert loader is not None
        source, _, _ = loader.get_source(self._environment, body)
        tree = self._environment.parse(source, filename=body)
        _refuse_unknown(name, tree, known)
        if body.endswith(".html.j2"):
            _refuse_odd(f"{name}: {body}", source)
        for layout in find_referenced_templates(tree):
            if layout is None or not layout.startswith("_"):
                raise TemplateError(f"{name}: {body}: only layouts of the folder can be referred to")
            self._check(name, layout, known)


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


def _flat(template: Compiled) -> Compiled:
    # Jinja copies a template's globals for each rendering, and out of its chain of maps that costs 4 us.
    template.globals = dict(template.globals)
    return template


def escapes(name: str | None) -> bool:
    """Whether what data put into the file `name` is escaped: always in HTML."""
    return name is not None and name.endswith(".html.j2")


def _refuse_odd(place: str, source: str) -> None:
    """Refuse active content, and attributes that are not written name="value".

    Without the quotes data could end the attribute, and `links` would not see it.
    """
    if _ACTIVE.search(source):
        raise TemplateError(f"{place}: active content")
    if any(_ODD.search(_VALUE.sub('""', tag)) for tag in _TAG.findall(source)):
        raise TemplateError(f"{place}: an attribute without double quotes")


def _refuse_unknown(name: str, tree: nodes.Template, known: frozenset[str]) -> None:
    unknown = (find_undeclared_variables(tree) | _profile_fields(tree)) - known - {"range", "loop"}
    if unknown:
        raise TemplateError(f"{name}: undeclared {', '.join(sorted(unknown))}")
    if next(tree.find_all((nodes.EvalContextModifier, nodes.ScopedEvalContextModifier)), None):
        raise TemplateError(f"{name}: autoescape cannot be switched off")


def _profile_fields(tree: nodes.Template) -> set[str]:
    """The fields of the profile that a template names, each as `profile.<field>`."""
    by_name = [(use.node, use.attr) for use in tree.find_all(nodes.Getattr)]
    by_item = [(use.node, _text(use.arg)) for use in tree.find_all(nodes.Getitem)]
    uses = [*by_name, *by_item]
    return {f"{PROFILE}.{member}" for of, member in uses if isinstance(of, nodes.Name) and of.name == PROFILE}


def _text(expression: nodes.Expr) -> str:
    return str(expression.value) if isinstance(expression, nodes.Const) else "[...]"
