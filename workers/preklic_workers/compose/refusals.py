"""What the source of a template must not hold: active content, loose attributes, names that nobody gives it."""

import re
from typing import Final

from jinja2 import nodes
from jinja2.meta import find_undeclared_variables

from preklic_workers.compose.content import PROFILE, TemplateError

_TAG: Final = re.compile(r"<[a-z][^<>]*>", re.IGNORECASE)
_VALUE: Final = re.compile(r'"[^"]*"')
_ODD: Final = re.compile(r'\s=|=(?!"")')
_ACTIVE: Final = re.compile(r"<\s*(?:script|iframe|object|embed|form)\b|<[^>]*\son\w+\s*=", re.IGNORECASE)


def refuse_odd(place: str, source: str) -> None:
    """Refuse active content, and attributes that are not written name="value".

    Without the quotes data could end the attribute, and `links` would not see it.
    """
    if _ACTIVE.search(source):
        raise TemplateError(f"{place}: active content")
    if any(_ODD.search(_VALUE.sub('""', tag)) for tag in _TAG.findall(source)):
        raise TemplateError(f"{place}: an attribute without double quotes")


def refuse_unknown(name: str, tree: nodes.Template, known: frozenset[str]) -> None:
    """Refuse names beyond `known`, and a switch of the escaping."""
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
