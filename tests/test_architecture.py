"""The architecture: which package may import which, no oracle inside, light imports, files of readable length."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import inkwash

PACKAGE = Path(inkwash.__file__).parent
MAY_IMPORT = {
    "core": set(),
    "media": {"core"},
    "nn": {"core"},
    "models": {"core", "nn", "media"},
    "scenes": {"core", "media"},
    "data": {"core", "scenes", "media"},
    "engine": {"core", "models", "nn", "media"},
    "train": {"core", "models", "nn", "data"},
    "eval": {"core", "engine", "data", "media", "scenes"},
    "rl": {"core", "engine", "train", "eval", "models", "data", "scenes", "media"},
    "agent": {"core", "engine", "models", "media", "scenes"},
    "serve": {"core", "engine", "media", "agent"},
    "desk": {"core", "media"},
    "mcp": {"core", "engine", "media", "serve"},
    "recipes": {"core", "train", "rl", "eval", "agent", "engine", "models", "data"},
}
# Parsed while tests are collected: after browser tests, whose greenlets upset its count of depth, Python may refuse.
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py")}
ORACLES = {"transformers", "diffusers"}
HEAVY = {"torch", "numpy", "PIL", "transformers", "diffusers", "rapidocr", "onnxruntime", "cv2", "pydantic", "rich"}
MAX_LINES = 500


def tree_of(path: Path) -> ast.Module:
    return TREES.get(path) or ast.parse(path.read_text(encoding="utf-8"))


def sources() -> list[Path]:
    """Every Python file of the package; assets hold data only."""
    return sorted(PACKAGE.rglob("*.py"))


def package_of(path: Path) -> str:
    """The first folder below the package, or the file's own name for the few files at its top."""
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else path.stem


def imports(path: Path, nodes: Iterator[ast.AST] | None = None) -> Iterator[tuple[str, int]]:
    """(absolute name, line) of every import, relative ones resolved.

    A name imported from a module is part of the result, so that ``from inkwash import train`` is seen.
    """
    package = ["inkwash", *path.relative_to(PACKAGE).parts[:-1]]
    for node in nodes if nodes is not None else ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((f"{module}.{alias.name}", node.lineno) for alias in node.names)


def at_import_time(path: Path) -> Iterator[ast.AST]:
    """The statements that run when a module is imported: not inside functions, not under ``if TYPE_CHECKING``."""
    pending: list[ast.AST] = [tree_of(path)]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending.extend(node.orelse)
            continue
        yield node
        pending.extend(ast.iter_child_nodes(node))


def test_every_package_is_in_the_table() -> None:
    packages = {package_of(path) for path in sources()} - {"__init__", "__main__", "cli"}
    assert packages <= set(MAY_IMPORT), f"packages without a line in the table: {packages - set(MAY_IMPORT)}"


def test_the_table_has_no_circle() -> None:
    done: set[str] = set()
    while len(done) < len(MAY_IMPORT):
        ready = {package for package, needs in MAY_IMPORT.items() if package not in done and needs <= done}
        assert ready, f"these packages import each other in a circle: {set(MAY_IMPORT) - done}"
        done |= ready


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_packages_import_only_what_the_table_allows(package: str) -> None:
    wrong = []
    for path in sources():
        if package_of(path) != package:
            continue
        for name, line in imports(path):
            parts = name.split(".")
            allowed = MAY_IMPORT[package] | {package, "__version__"}
            if parts[0] == "inkwash" and len(parts) > 1 and parts[1] not in allowed:
                wrong.append(f"{path.relative_to(PACKAGE)}:{line} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_the_command_line_imports_packages_inside_functions_only() -> None:
    wrong = []
    for path in sources():
        if package_of(path) not in ("cli", "__init__", "__main__"):
            continue
        for name, line in imports(path, at_import_time(path)):
            parts = name.split(".")
            if parts[0] in HEAVY or (parts[0] == "inkwash" and parts[1] not in ("cli", "core", "__version__")):
                wrong.append(f"{path.relative_to(PACKAGE)}:{line} imports {name} at import time")
    assert not wrong, "\n".join(wrong)


def test_no_oracle_inside_the_package() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)}:{line} imports {name}"
        for path in sources()
        for name, line in imports(path)
        if name.split(".")[0] in ORACLES
    ]
    assert not wrong, "\n".join(wrong)


def test_core_has_no_networks_and_no_torch_at_import() -> None:
    for path in sources():
        if package_of(path) == "core":
            assert not {name for name, _ in imports(path) if name.startswith("torch.nn")}, path
            assert not {name for name, _ in imports(path, at_import_time(path)) if name.split(".")[0] in HEAVY}, path


def loaded_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after running the code."""
    script = f"import sys\n{code}\nprint('LOADED', *sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.rsplit("LOADED", 1)[1].split())


def test_importing_the_package_is_light() -> None:
    assert not loaded_after("import inkwash; inkwash.__version__; dir(inkwash)") & HEAVY


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], [], ["nonsense"]])
def test_the_overview_is_light(arguments: list[str]) -> None:
    assert not loaded_after(f"from inkwash.cli.app import run; run({arguments!r})") & (HEAVY - {"pydantic"})


def test_the_help_and_the_bad_input_of_every_command_load_no_torch() -> None:
    code = "from inkwash.cli.app import COMMANDS, run\nfor name in COMMANDS: assert run([name, '--help']) == 0\n"
    code += (
        "for bad in (['generate', ''], ['generate', 'a', '--guidance', 'nan'], ['edit', 'a', '--image', 'none.png'],"
    )
    code += " ['generate', 'a', '--model', 'no-such-model'], ['describe', 'none.png'], ['chat', '--budget', '-1'],"
    code += " ['serve', '--allowed-local-media-path', '.'], ['serve', '--port', '-1'], ['data', 'check', 'none'],"
    code += " ['ui', 'no-such-model']): assert run(bad) == 2, bad"
    assert "torch" not in loaded_after(code)


def test_files_stay_readable_in_one_sitting() -> None:
    long = {
        str(p.relative_to(PACKAGE)): n for p in sources() if (n := len(p.read_text("utf-8").splitlines())) > MAX_LINES
    }
    assert not long, f"files of more than {MAX_LINES} lines want a hard look: {long}"


def test_every_module_says_what_it_is() -> None:
    silent = [str(p.relative_to(PACKAGE)) for p in sources() if not ast.get_docstring(tree_of(p))]
    assert not silent, f"modules without a docstring: {silent}"


def test_the_import_reader_sees_every_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks above can fail: absolute, relative, aliased and nested imports are all found."""
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    (tmp_path / "nn").mkdir()
    path = tmp_path / "nn" / "a.py"
    path.write_text(
        "import inkwash.engine as e\nfrom ..train import x\nfrom . import b\ndef f():\n    from inkwash import eval\n"
    )
    assert [name for name, _ in imports(path)] == [
        "inkwash.engine",
        "inkwash.train.x",
        "inkwash.nn.b",
        "inkwash.eval",
    ]
    assert "inkwash.eval" not in [name for name, _ in imports(path, at_import_time(path))]
