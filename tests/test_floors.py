"""docs/design.md's table of floors against the imports of yolo/, and what every module has to keep to."""

import ast
import re

import pytest
from conftest import PROJECT

PACKAGE = PROJECT / "yolo"
MODULES = sorted(
    path.relative_to(PACKAGE).as_posix()
    for path in PACKAGE.rglob("*.py")
    if path.name != "__init__.py"
)
ROW = re.compile(r"^\| (\d+) \| `([\w/]+\.py)` \| (.+) \|$", re.MULTILINE)
MOST_LINES = 350
PRINTING = {"console.py", "train/printers.py"}  # what speaks on stderr, as its job


def floors():
    """module → floor, as the table says."""
    rows = ROW.findall((PROJECT / "docs" / "design.md").read_text())
    assert len({module for _, module, _ in rows}) == len(rows), "a module stands in the table twice"
    return {module: int(floor) for floor, module, _ in rows}


def tree(module):
    return ast.parse((PACKAGE / module).read_text())


def imported_names(module):
    """Dotted names that a module imports, wherever in it: `from a import b` is a.b."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_of(name):
    """yolo.model.heads.YoloHead → model/heads.py; the package itself and its public names → __init__.py."""
    parts = name.split(".")[1:]
    for end in (len(parts), len(parts) - 1):
        path = "/".join(parts[:end]) + ".py"
        if end > 0 and (PACKAGE / path).is_file():
            return path
    return "__init__.py"


def test_the_table_names_every_module_and_no_other():
    assert sorted(floors()) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_floors_below_its_own(module):
    table = floors()
    for name in imported_names(module):
        if name.split(".")[0] == "yolo":
            used = module_of(name)
            assert used != "__init__.py", f"{module} imports {name}: the package itself"
            assert table[used] < table[module], f"{module} imports {used}"


@pytest.mark.parametrize("module", MODULES)
def test_a_module_opens_with_its_job_and_is_short(module):
    text = (PACKAGE / module).read_text()
    assert text.startswith('"""') and ast.get_docstring(ast.parse(text))
    assert text.count("\n") <= MOST_LINES


@pytest.mark.parametrize("module", MODULES)
def test_no_exception_is_caught_broadly_unless_it_goes_on(module):
    for node in ast.walk(tree(module)):
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = "everything" if node.type is None else ast.unparse(node.type)
        broad = caught == "everything" or re.search(r"\b(Base)?Exception\b", caught)
        goes_on = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
        assert not broad or goes_on, f"{module}:{node.lineno}: catches {caught}"


@pytest.mark.parametrize("module", sorted(set(MODULES) - PRINTING))
def test_the_package_does_not_print(module):
    calls = [node for node in ast.walk(tree(module)) if isinstance(node, ast.Call)]
    assert not [call.lineno for call in calls if ast.unparse(call.func) == "print"]


def test_the_packages_inits_hold_nothing_but_the_public_names():
    for path in PACKAGE.rglob("__init__.py"):
        text = path.read_text()
        assert path.parent == PACKAGE or not text.strip(), f"{path} is not empty"


def test_no_module_is_a_drawer_for_everything():
    drawers = {"utils", "util", "misc", "common", "helpers"}
    assert not [module for module in MODULES if drawers & set(re.split(r"[/._]", module))]
