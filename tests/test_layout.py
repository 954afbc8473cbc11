"""The layout of yolo/: which folder may import which, as docs/design.md says, and rules for every module."""

import ast
import re
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import PROJECT

PACKAGE = PROJECT / "yolo"
MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
PROGRAM = "__main__.py"  # above all folders: it starts the commands
GROUND = "ground"  # the modules directly in yolo/ and in these folders, as the table calls them
GROUND_FOLDERS = ("console", "files")
ROW = re.compile(r"^\| `([\w/]+)` \| ([\w, `/-]+) \| .+ \|$", re.MULTILINE)
MOST_MODULES_OF_A_FOLDER = 14
LONGEST_FUNCTION = 60  # lines, with its docstring: it fits on a screen
PRINTING = ("commands/", "console/run.py", "__main__.py", "train/log/console.py")


@cache
def tree(module):
    return ast.parse((PACKAGE / module).read_text())


def folder_of(module):
    """The row of a module: the longest folder that has one, such as train/losses before train."""
    top, inside, _ = module.partition("/")
    if not inside or top in GROUND_FOLDERS:
        return GROUND
    return max((folder for folder in allowed_imports() if module.startswith(f"{folder}/")), key=len, default=top)


@cache
def allowed_imports():
    """Folder → folders that it may import from, as the table in docs/design.md says."""
    rows = ROW.findall((PROJECT / "docs" / "design.md").read_text())
    return {folder: set(re.findall(r"[\w/]+", allowed)) - {"-"} for folder, allowed in rows}


@cache
def imported_modules(module):
    """The modules of yolo/ that a module imports anywhere in it."""
    found = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {module_of(name) for name in found if name.split(".")[0] == "yolo"}


def module_of(name):
    """yolo.model.network.Network → model/network.py; the package itself and its public names → __init__.py."""
    parts = name.split(".")[1:]
    for end in (len(parts), len(parts) - 1):
        path = "/".join(parts[:end]) + ".py"
        if end > 0 and (PACKAGE / path).is_file():
            return path
    return "__init__.py"


def public_names(module):
    """Names of the functions and classes that a module defines."""
    for node in tree(module).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name


def test_the_table_names_every_folder_and_no_other():
    assert set(allowed_imports()) == {folder_of(module) for module in MODULES}


def test_the_table_allows_no_cycle_between_folders():
    left = {folder: allowed - {GROUND} for folder, allowed in allowed_imports().items()}
    while left:
        free = {folder for folder, allowed in left.items() if not allowed & set(left)}
        assert free, f"these folders import each other: {sorted(left)}"
        left = {folder: allowed for folder, allowed in left.items() if folder not in free}


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_from_folders_that_its_own_may_import(module):
    allowed = allowed_imports()[folder_of(module)] | {folder_of(module)}
    for used in imported_modules(module):
        if module == PROGRAM:
            continue
        assert used != "__init__.py", f"{module} imports the package itself"
        assert folder_of(used) in allowed, f"{module} imports {used}"


def test_no_modules_import_each_other():
    done, path = set(), []

    def visit(module):
        assert module not in path, " -> ".join([*path, module])
        if module in done:
            return
        path.append(module)
        for used in sorted(imported_modules(module)):
            visit(used)
        done.add(path.pop())

    for module in MODULES:
        visit(module)


def test_no_folder_holds_too_many_modules():
    count = Counter(module.rpartition("/")[0] for module in MODULES)
    del count["commands"]  # one module for each command, and no module imports another
    assert not {folder: n for folder, n in count.items() if n > MOST_MODULES_OF_A_FOLDER}


def test_no_public_name_is_defined_in_two_modules():
    homes = defaultdict(set)
    for module in MODULES:
        for name in public_names(module):
            if name != "main":  # every command has one
                homes[name].add(module)
    assert not {name: sorted(modules) for name, modules in homes.items() if len(modules) > 1}


@pytest.mark.parametrize("module", MODULES)
def test_a_module_opens_with_its_job(module):
    text = (PACKAGE / module).read_text()
    assert text.startswith('"""') and ast.get_docstring(tree(module))


def parameters(node):
    """The names of the parameters of a function; ctx is the first one of an autograd.Function."""
    given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
    return {each.arg for each in given if each} - {"self", "cls", "ctx"}


def described_parameters(docstring):
    """The names before the colons of an `Args:` section, or None without one."""
    if "Args:" not in docstring:
        return None
    text = re.split(r"^(?:Returns|Raises|Yields):", docstring.split("Args:")[1], maxsplit=1, flags=re.MULTILINE)[0]
    return {
        name.strip("* ")
        for names in re.findall(r"^    (\*{0,2}\w+(?:, \w+)*):", text, re.MULTILINE)
        for name in names.split(",")
    }


def test_docstrings_describe_the_parameters_that_the_function_has():
    wrong = []
    for module in MODULES:
        for node in ast.walk(tree(module)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                described = described_parameters(ast.get_docstring(node) or "")
                if described is not None and described != parameters(node):
                    wrong.append(f"{module}:{node.lineno}: {sorted(described ^ parameters(node))}")
    assert not wrong


def test_public_functions_describe_their_parameters_from_four_on():
    without = []
    for module in MODULES:
        tops = tree(module).body
        public_classes = [top for top in tops if isinstance(top, ast.ClassDef) and top.name[0] != "_"]
        for node in [*tops, *(each for top in public_classes for each in top.body)]:
            if not isinstance(node, ast.FunctionDef) or node.name[0] == "_":
                continue
            does_nothing = ast.unparse(node.body[-1]) == "..."
            if len(parameters(node)) >= 4 and not does_nothing and "Args:" not in (ast.get_docstring(node) or ""):
                without.append(f"{module}:{node.lineno}: {node.name}")
    assert not without


@pytest.mark.parametrize("module", MODULES)
def test_no_exception_is_caught_broadly_unless_it_is_raised_again(module):
    for node in ast.walk(tree(module)):
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = "everything" if node.type is None else ast.unparse(node.type)
        broad = caught == "everything" or re.search(r"\b(Base)?Exception\b", caught)
        raised_again = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
        assert not broad or raised_again, f"{module}:{node.lineno}: catches {caught}"


@pytest.mark.parametrize("module", [name for name in MODULES if not name.startswith(PRINTING)])
def test_only_commands_and_loggers_print(module):
    calls = [node for node in ast.walk(tree(module)) if isinstance(node, ast.Call)]
    assert not [call.lineno for call in calls if ast.unparse(call.func) == "print"]


def test_a_function_fits_on_a_screen():
    long = []
    for path in [*PACKAGE.rglob("*.py"), *(PROJECT / "benchmarks").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = node.end_lineno - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    long.append(f"{path.relative_to(PROJECT)}:{node.lineno}: {node.name}, {lines} lines")
    assert not long


def test_benchmarks_import_what_is_there():
    """Most of them run by hand only."""
    missing = []
    for path in (PROJECT / "benchmarks").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and f"{node.module}".startswith("yolo."):
                module = module_of(f"{node.module}.{node.names[0].name}")
                defined = {each.id for each in ast.walk(tree(module)) if isinstance(each, ast.Name)}
                defined |= {*public_names(module), Path(module).stem}
                missing += [
                    f"{path.name}: {node.module}.{each.name}" for each in node.names if each.name not in defined
                ]
    assert not missing


def test_the_packages_inits_hold_nothing_but_the_public_names():
    for path in PACKAGE.rglob("__init__.py"):
        text = path.read_text()
        assert path.parent == PACKAGE or not text.strip(), f"{path} is not empty"


def test_no_module_is_a_drawer_for_everything():
    drawers = {"utils", "util", "misc", "common", "helpers"}
    assert not [module for module in MODULES if drawers & set(re.split(r"[/._]", module))]
