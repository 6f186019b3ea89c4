"""CSS into the elements, once, when a template is loaded: many mail programs ignore a `<style>`.

css-inline (html5ever's parser and Servo's selectors) says which style each element gets; only these attributes are
taken over, so that the source stays as it was written, Jinja's tags and all. It is asked about a page on which every
branch of every condition stands once, made by Jinja itself; so what an element looks like must not hang on its
neighbours or on data, and a style sheet or a source where it could is refused. At-rules stay in the `<style>`.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import css_inline
from jinja2 import DictLoader, nodes
from jinja2.environment import Environment
from jinja2.parser import Parser
from jinja2.visitor import NodeTransformer

from preklic_workers.compose.content import TemplateError
from preklic_workers.compose.sources import JINJA, balanced, is_start, pieces

_STYLE: Final = re.compile(r"(<style\b[^>]*>)(.*?)(</style\s*>)", re.DOTALL | re.IGNORECASE)
_NOTE: Final = re.compile(r"/\*.*?\*/", re.DOTALL)
_AT_RULE: Final = re.compile(r"@[^{};]+(?:;|\{(?:[^{}]*\{[^{}]*\})*[^{}]*\})")
_SELECTOR: Final = re.compile(r"([^{}]+)\{")
_BESIDE: Final = re.compile(r"[:+~\[]")
_QUOTED: Final = re.compile(r'="[^"]*"')
_FIXED: Final = re.compile(r'\s(?:class|id|style)="([^"]*)"', re.IGNORECASE)
_MARK: Final = "data-mark"
_MARKED: Final = re.compile(rf'\s{_MARK}="([^"]+)"')
_OWN: Final = re.compile(r'\sstyle="([^"]*)"', re.IGNORECASE)
_END: Final = re.compile(r"\s*/?>$")


def inlined(environment: Environment, body: str, sources: Mapping[str, str]) -> dict[str, str]:
    """The HTML `sources` (by file; `body` stands on the others) with the styles in their elements.

    TemplateError names the file, and what in it cannot be told before there are data.
    """
    pages = {file: source for file, source in sources.items() if file.endswith(".html.j2")}
    if not any(_STYLE.search(source) for source in pages.values()):
        return dict(sources)
    for file, source in pages.items():
        check_styles(file, source)
    styles = _styles(environment, body, {file: _marked(file, source) for file, source in pages.items()})
    return {**sources, **{file: _taken_over(file, source, styles) for file, source in pages.items()}}


def check_styles(file: str, source: str) -> None:
    """Refuse a style sheet, or a tag, whose styles hang on neighbours or on data."""
    for _, sheet, _ in _STYLE.findall(source):
        if JINJA.search(sheet):
            raise TemplateError(f"{file}: a style sheet that holds a variable or a condition")
        plain = _AT_RULE.sub("", _NOTE.sub("", sheet))
        if any(_BESIDE.search(selector) for selector in _SELECTOR.findall(plain)):
            raise TemplateError(f"{file}: a selector with : + ~ or [ is only understood inside @media")
    for kind, tag in pieces(source):
        if kind == "tag" and JINJA.search("".join((_QUOTED.sub("", tag), *_FIXED.findall(tag)))):
            raise TemplateError(f"{file}: a tag whose class, id, style or attributes themselves hang on data")


def _marked(file: str, source: str) -> str:
    """The source with a mark in each start tag, by which its element is found again on the page."""
    return "".join(
        _with(text, f'{_MARK}="{file}:{number}"') if is_start(kind, text) else text
        for number, (kind, text) in enumerate(pieces(source))
    )


def _with(tag: str, attribute: str) -> str:
    end = _END.search(tag)
    assert end is not None  # it is a tag
    return f"{tag[: end.start()]} {attribute}{end[0].strip()}"


class _Everything(NodeTransformer):
    """Takes every branch once, and a word for whatever data would give."""

    def visit_Output(self, node: nodes.Output) -> nodes.Node:  # noqa: N802 - Jinja's name
        # `{{ super() }}` and calls of macros bring elements, so they are made; all else is data.
        node.nodes = [one if _brings(one) else nodes.TemplateData("x") for one in node.nodes]
        return node

    def visit_If(self, node: nodes.If) -> list[nodes.Node]:  # noqa: N802
        return self._all(node.body, *(branch.body for branch in node.elif_), node.else_)

    def visit_For(self, node: nodes.For) -> list[nodes.Node]:  # noqa: N802
        return self._all(node.body, node.else_)

    def visit_Assign(self, _node: nodes.Node) -> list[nodes.Node]:  # noqa: N802
        return []

    visit_AssignBlock = visit_Assign  # noqa: N815

    def visit_Macro(self, node: nodes.Node) -> nodes.Node:  # noqa: N802
        raise TemplateError(f"line {node.lineno}: macros, filters and scopes do not go with a style sheet")

    visit_CallBlock = visit_Import = visit_FromImport = visit_FilterBlock = visit_With = visit_Macro  # noqa: N815

    def _all(self, *branches: list[nodes.Node]) -> list[nodes.Node]:
        found: list[nodes.Node] = []
        for one in (one for branch in branches for one in whole(branch)):
            made: Any = self.visit(one)
            found += made if isinstance(made, list) else [made]
        return found


def whole(branch: list[nodes.Node]) -> list[nodes.Node]:
    """The branch, if it holds whole elements: else what follows it would stand in two at once."""
    if not balanced("".join(data.data for one in branch for data in one.find_all(nodes.TemplateData))):
        raise TemplateError(f"line {branch[0].lineno}: a condition or loop that holds half an element")
    return branch


def _brings(node: nodes.Node) -> bool:
    return isinstance(node, nodes.TemplateData) or (
        isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name) and node.node.name == "super"
    )


def _styles(environment: Environment, body: str, marked: Mapping[str, str]) -> dict[str, str]:
    """The style of each marked element."""
    taking_all = environment.overlay(loader=DictLoader(marked))

    def parse(source: str, name: str | None, filename: str | None) -> Any:
        return _Everything().visit(Parser(environment, source, name, filename).parse())

    taking_all._parse = parse  # type: ignore[method-assign]  # noqa: SLF001 - Jinja's own hook for this
    page = css_inline.CSSInliner(minify_css=True, load_remote_stylesheets=False).inline(
        taking_all.get_template(body).render()
    )
    styles: dict[str, str] = {}
    for kind, tag in pieces(page):
        mark, own = _MARKED.search(tag) if is_start(kind, tag) else None, _OWN.search(tag)
        if mark is None:
            continue
        style = own[1] if own else ""
        if styles.setdefault(mark[1], style) != style:
            raise TemplateError(f"{mark[1]}: an element looks different from one place where it stands to another")
    return styles


def _taken_over(file: str, source: str, styles: Mapping[str, str]) -> str:
    found: list[str] = []
    for number, (_, text) in enumerate(pieces(source)):
        style = styles.get(f"{file}:{number}")
        found.append(_with(_OWN.sub("", text), f'style="{style}"') if style else text)
    return _STYLE.sub(_at_rules, "".join(found))


def _at_rules(found: re.Match[str]) -> str:
    kept = "\n  ".join(_AT_RULE.findall(_NOTE.sub("", found[2])))
    return f"{found[1]}\n  {kept}\n{found[3]}" if kept else ""
