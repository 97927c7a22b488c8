"""The project as a whole: what no single module can promise alone."""

import ast
import functools
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "metricgrad"
SOURCES = sorted(PACKAGE.rglob("*.py"))
SCRIPTS = ("setup", "run", "test", "check", "bench", "docs", "freeze", "package", "fetch-data", "fetch-fonts")
FORBIDDEN_STEMS = {
    "utils", "util", "common", "helpers", "helper", "misc", "base", "manager", "registry", "factory"
}  # fmt: skip
FORBIDDEN_MODULES = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "torchvision"}
SENT = "tune/travelling.py"
"""It pickles what goes from one process of a program to another, through a pipe: that is no data."""
FORBIDDEN_CALLS = {"eval", "exec", "torch.load", "torch.save", "yaml.unsafe_load", "yaml.full_load"}
WEIGHTS_ONLY = "weights_only=True"  # torch.load of a file that an installed package carries
FILE_LINES, FUNCTION_LINES = 400, 60
MOST_IMPORTS, MOST_IMPORTS_OF_TUNE = 8, 12
LISTS = ("cli/app.py", "decision/known.py", "metrics/known.py")
"""Files that list what their room has, as an `__init__.py` does: modules of that room do not count there."""


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@pytest.fixture(scope="module", autouse=True)
def _each_file_is_parsed_once() -> Iterator[None]:
    yield
    _tree.cache_clear()


def _imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and full name of every import, at any depth of the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{name.name}") for name in node.names)


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function from its `def` on, without its docstring."""
    first, last = function.body[0], function.end_lineno or function.lineno
    documented = ast.get_docstring(function) is not None
    return last - function.lineno + 1 - ((first.end_lineno or 0) - first.lineno + 1 if documented else 0)


def _modules(tree: ast.Module) -> set[str]:
    """The modules of ours that a file imports, at any depth of it, types included; a door counts as one."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "metricgrad":
            home = node.module or ""
            found |= {f"{home}.{name.name}" if _is_module(home, name.name) else home for name in node.names}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names if name.name.split(".")[0] == "metricgrad"}
    return found


@functools.cache
def _is_module(home: str, name: str) -> bool:
    """Whether a room has a module of this name, and no function of that name at its door."""
    folder = ROOT.joinpath("src", *home.split("."))
    door = folder / "__init__.py"
    if not door.exists() or not (
        (folder / f"{name}.py").exists() or (folder / name / "__init__.py").exists()
    ):
        return False
    bound = {
        alias.asname or alias.name
        for node in ast.walk(_tree(door))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    return name not in bound


def _full_name(node: ast.expr) -> str:
    """What is called, as it is written; empty for what is no name."""
    if isinstance(node, ast.Attribute):
        return f"{_full_name(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _docstrings(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


def _python(code: str) -> str:
    """Run code in a new interpreter, without the import hook of the tests, and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# ------------------------------------------------------------------------------------------ architecture


def test_floors_hold():
    """The contracts of import-linter: a module imports only floors below its own."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nobody_imports_the_package_root():
    """Inside the package, an import names a module; importing the root would close a circle."""
    modules = {path.stem for path in PACKAGE.glob("*.py")} | {
        path.parent.name for path in PACKAGE.glob("*/__init__.py")
    }
    found = [
        f"{_relative(path)}:{line}: {name}"
        for path in SOURCES
        if path != PACKAGE / "__init__.py"
        for line, name in _imports(_tree(path))
        if name == "metricgrad" or (name.startswith("metricgrad.") and name.split(".")[1] not in modules)
    ]
    assert not found, "\n".join(found)


def test_importing_the_package_is_lazy():
    """`import metricgrad` loads neither torch nor anything that draws, and still lists its names."""
    printed = _python(
        "import sys, metricgrad\n"
        "heavy = {'torch', 'numpy', 'pandas', 'sklearn', 'rich', 'typer', 'pydantic', 'jinja2'}\n"
        "print(sorted(heavy & set(sys.modules)), bool(dir(metricgrad)))"
    )
    assert printed.split() == ["[]", "True"]


@pytest.mark.slow
def test_the_public_surface_resolves():
    """Every name that the package root lists can be had, and each is documented."""
    printed = _python(
        "import metricgrad\n"
        "names = metricgrad.__all__\n"
        "assert len(names) == len(set(names))\n"
        "bare = [name for name in names if name != '__version__' and not getattr(metricgrad, name).__doc__]\n"
        "print(len(names), bare)"
    )
    count, undocumented = printed.split(maxsplit=1)
    assert int(count) >= 5
    assert undocumented.strip() == "[]"


# ----------------------------------------------------------------------------------------------- hygiene


def test_no_forbidden_file_names():
    """A file is named after what it holds."""
    found = [
        _relative(path)
        for path in SOURCES
        if {*path.relative_to(PACKAGE).with_suffix("").parts} & FORBIDDEN_STEMS
    ]
    assert not found, found


def test_sizes():
    """A file stops at 400 lines, a function at 60 without its docstring, signature included."""
    files = {_relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    functions = {
        f"{_relative(path)}:{function.lineno}: {function.name}": _lines(function)
        for path in SOURCES
        for function in _functions(_tree(path))
    }
    assert not {name: lines for name, lines in files.items() if lines > FILE_LINES}
    assert not {name: lines for name, lines in functions.items() if lines > FUNCTION_LINES}


def test_fan_out():
    """A file of `tune/` imports at most 12 modules of ours and any other 8, counted wherever the import stands."""
    found = {}
    for path in SOURCES:
        modules = _modules(_tree(path))
        if path.relative_to(PACKAGE).as_posix() in LISTS:
            modules = {name for name in modules if not name.startswith(f"metricgrad.{path.parent.name}.")}
        most = MOST_IMPORTS_OF_TUNE if path.parent.name == "tune" else MOST_IMPORTS
        if path.name != "__init__.py" and len(modules) > most:
            found[_relative(path)] = sorted(modules)
    assert not found


def test_no_code_is_run_from_data():
    """No pickle, eval or exec, and no loader that unpickles, anywhere in the package but for what is sent."""
    found = []
    for path in SOURCES:
        for line, name in _imports(_tree(path)):
            if name.split(".")[0] in FORBIDDEN_MODULES and (name, path) != ("pickle", PACKAGE / SENT):
                found.append(f"{_relative(path)}:{line}: {name}")
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.Call) and _full_name(node.func) in FORBIDDEN_CALLS:
                if WEIGHTS_ONLY not in map(ast.unparse, node.keywords):
                    found.append(f"{_relative(path)}:{node.lineno}: {_full_name(node.func)}")
    assert not found, "\n".join(found)


def test_annotations_are_not_strings():
    """No `from __future__ import annotations`: it would switch off the check of shapes in the tests."""
    found = [
        _relative(path)
        for path in SOURCES
        if "__future__.annotations" in {name for _, name in _imports(_tree(path))}
    ]
    assert not found


def test_everything_public_is_documented():
    """Every name in an `__all__` that is defined in that file has a docstring."""
    missing = []
    for path in SOURCES:
        tree = _tree(path)
        public = {
            element.value
            for node in tree.body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
            for element in getattr(node.value, "elts", [])
        }
        missing += [
            f"{_relative(path)}: {node.name}"
            for node in tree.body
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
            and node.name in public
            and not ast.get_docstring(node)
        ]
    assert not missing, missing


# -------------------------------------------------------------------------------------------- references


def _bibliography() -> list[str]:
    return re.findall(
        r"^@\w+\{([^,\s]+),", (PACKAGE / "references.bib").read_text(encoding="utf-8"), re.MULTILINE
    )


def test_bibliography_is_well_formed():
    """Keys are unique, and every entry has an author, a title and a year."""
    keys = _bibliography()
    assert len(keys) == len(set(keys)) > 20
    text = (PACKAGE / "references.bib").read_text(encoding="utf-8")
    entries = re.split(r"^@", text, flags=re.MULTILINE)[1:]
    incomplete = [
        entry.split(",")[0]
        for entry in entries
        for name in ("author", "title", "year")
        if f" {name} = {{" not in entry
    ]
    assert not incomplete, incomplete


def test_references_of_docstrings_exist():
    """A key in brackets in a docstring, such as the one of a paper, stands in references.bib."""
    known = set(_bibliography())
    unknown = [
        f"{_relative(path)}: [{key}]"
        for path in SOURCES
        for text in _docstrings(_tree(path))
        for key in re.findall(r"\[([a-z]+(?:19|20)\d\d[a-z0-9]*)\]", text)
        if key not in known
    ]
    assert not unknown, unknown


def test_references_of_docstrings_are_keys():
    """A section `Reference:` of a docstring names at least one key of references.bib."""
    known = set(_bibliography())
    without = [
        f"{_relative(path)}: {match.group(0)[:80]!r}"
        for path in SOURCES
        for text in _docstrings(_tree(path))
        for match in re.finditer(r"^References?:\n((?:[ ]{4}.*\n?)+)", text, re.MULTILINE)
        if not set(re.findall(r"\[(\w+)\]", match.group(1))) & known
    ]
    assert not without, without


# ------------------------------------------------------------------------------------------------- wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names inside a freshly built wheel."""
    from hatchling.builders.wheel import WheelBuilder

    target = tmp_path_factory.mktemp("wheel")
    (path,) = WheelBuilder(str(ROOT)).build(directory=str(target), versions=["standard"])
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def test_wheel_is_complete(wheel: set[str]):
    """Every file of the package is in the wheel: modules, templates, pictures, licences, py.typed."""
    ours = {
        path.relative_to(ROOT / "src").as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert not ours - wheel
    assert {"metricgrad/py.typed", "metricgrad/references.bib"} <= wheel
    assert any(name.endswith("licenses/LICENSE") for name in wheel)


def test_wheel_holds_nothing_else(wheel: set[str]):
    """No test, script or cache travels with the package."""
    assert not {
        name
        for name in wheel
        if not re.match(r"metricgrad(-[^/]+\.dist-info)?/", name) or "__pycache__" in name
    }


# ------------------------------------------------------------------------------------- scripts and texts


@pytest.mark.parametrize("name", [*(f"scripts/{name}" for name in SCRIPTS), ".ci/run"])
def test_scripts_can_be_run(name: str):
    """Each is executable and parses."""
    path = ROOT / name
    assert path.stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", str(path)], check=False, timeout=20).returncode == 0


def test_ci_runs_the_commands_of_the_readme():
    """The README's two commands exist, and CI runs the second."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "\nscripts/run tune emoji --metric recall@1\n" in readme
    assert "\nscripts/test\n" in readme
    assert "\nscripts/test\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_installed_releases_are_the_pinned_ones():
    """What the tests run on is what constraints.txt says; torch stands in it."""
    from importlib.metadata import distributions

    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split(";")[0].strip().split("==") for line in lines if line and line[0] != "#")
    assert pinned["torch"] == "2.13.0"
    pinned = {name.lower().replace("_", "-"): version for name, version in pinned.items()}
    names = {item.name.lower().replace("_", "-"): item.version.split("+")[0] for item in distributions()}
    if sys.version_info < (3, 11):
        pytest.skip("constraints.txt pins some releases for Python >= 3.11 only")
    assert not {
        name: (names[name], pin) for name, pin in pinned.items() if name in names and names[name] != pin
    }


def test_texts():
    """A page links only to files that exist, and its Python parses."""
    missing = []
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = path.read_text(encoding="utf-8")
        for code in re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            ast.parse(code, filename=str(path))
        prose = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
        missing += [
            f"{_relative(path)}: {target}"
            for target in re.findall(r"\]\(([^)\s]+)\)", prose)
            if not re.match(r"https?:|mailto:|#", target)
            and not (path.parent / target.split("#")[0]).exists()
        ]
    assert not missing, missing


def test_decisions_are_numbered_and_short():
    """One page each, numbered without a gap, with the same three headings."""
    paths = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    assert [int(path.name[:4]) for path in paths] == list(range(1, len(paths) + 1))
    for path in paths:
        text = path.read_text(encoding="utf-8")
        headings = ["Context", "Choice", "What would change our mind"]
        assert re.findall(r"^## (.*)$", text, re.MULTILINE) == headings, path
        assert len(text.splitlines()) <= 60, path


def test_the_tree_of_the_design_is_true():
    """The tree in docs/design.md names every folder of the package, and no file or folder that does not exist."""
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    (tree,) = re.findall(r"^```text\n(src/metricgrad/\n.*?)^```", text, re.DOTALL | re.MULTILINE)
    folders = set(re.findall(r"^  (\w+)/", tree, re.MULTILINE))
    assert folders == {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    top = {
        name
        for line in re.findall(r"^  (?!\w+/|#)(.*)$", tree, re.MULTILINE)
        for name in re.findall(r"\w+\.py", line)
    }
    assert top == {path.name for path in PACKAGE.glob("*.py")}
    for folder, line in re.findall(r"^  (\w+)/(.*)$", tree, re.MULTILINE):
        assert not [name for name in re.findall(r"\w+\.py", line) if not (PACKAGE / folder / name).exists()]
