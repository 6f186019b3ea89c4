"""The one file of a bundle that checks it: several modules of ours, in which no name may stand for two things."""

import ast
import sys
from pathlib import Path

from preklic_workers.ledger import standalone


def defined(tree):
    """The names that a module defines itself, and what it imports from elsewhere."""
    names, packages = [], []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.append(node.name)
        elif isinstance(node, ast.AnnAssign | ast.Assign):
            places = node.targets if isinstance(node, ast.Assign) else [node.target]
            names += [place.id for place in places if isinstance(place, ast.Name)]
        elif isinstance(node, ast.Import):
            packages += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            packages.append(node.module)
    return names, packages


def test_no_name_is_defined_twice_and_nothing_but_the_standard_library_is_imported():
    names, packages = defined(ast.parse(standalone.source()))
    assert sorted(name for name in set(names) if names.count(name) > 1) == []
    assert {name.partition(".")[0] for name in packages} <= sys.stdlib_module_names
    folder = Path(standalone.__file__).parent
    ours = [name for part in standalone.PARTS for name in defined(ast.parse((folder / f"{part}.py").read_text()))[0]]
    assert names == ours
