"""The architecture: who may import whom, no circles, light imports, one name and one place for each thing."""

from __future__ import annotations

import ast
import json
import math
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import inkwash
from inkwash.models.registry import find

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
    "rl": {"core", "engine", "train", "eval", "models", "nn", "data", "scenes", "media"},
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
MAX_LINES = 600
# Words of the first edition that named values by grammar (`said`) or by metaphor (`lane`); no identifier may be one.
RETIRED = re.compile(
    "_*(said|told|asked|own|given|shown|heard|hear|lanes?|films?|house|rooms|prints|mend|lessons?|knock|hunger|spot|"
    "Drafts?|Sight|Film|Seen|Shown|Made|Ticket|Outbox|Heard|Home|Room|Painter|Rounds|Many|Regions|Speaker|Speech|"
    "Together|Talk|Pace|Lesson|Taught|Board|Spot|Sheet|World|Guesses)_*"
)
WIRE_NAMES = {  # fields of a public format or of saved settings
    ("serve/agent/schema.py", "said"),
    ("data/panel_pages.py", "asked"),
}


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

    A name imported from a module is part of the result, so that `from inkwash import train` is seen.
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
    """The statements that run when a module is imported: not inside functions, not under `if TYPE_CHECKING`."""
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


def test_docstrings_have_one_markup() -> None:
    """Single backticks, as in Markdown: the site shows docstrings as Markdown."""
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    wrong = [
        f"{path.relative_to(PACKAGE)}:{getattr(node, 'name', 'module')}"
        for path in sources()
        for node in ast.walk(tree_of(path))
        if isinstance(node, kinds) and re.search("(?<!`)``(?!`)", ast.get_docstring(node) or "")
    ]
    assert not wrong, "\n".join(wrong)


def test_every_module_says_what_it_is() -> None:
    silent = [str(p.relative_to(PACKAGE)) for p in sources() if not ast.get_docstring(tree_of(p))]
    assert not silent, f"modules without a docstring: {silent}"


# ---- what keeps files apart, names single, and descriptions in one place

MOST_PARAMETERS = 12
# Signatures of the reference libraries, kept for scripts written for them.
LONG_SIGNATURES = {"engine/pipeline.py:__call__", "engine/pipeline.py:from_pretrained"}
MOST_FUNCTION_LINES = 60
LONG_FUNCTIONS = LONG_SIGNATURES | {"rl/grpo_see.py:grpo_see"}
# Options that mean another thing in another command; the list may only get shorter.
REPEATED_OPTIONS = {
    "--batch", "--browser", "--chat", "--fps", "--host", "--image", "--images", "--json", "--key-file", "--kinds",
    "--language", "--level", "--model", "--monitor", "--n", "--out", "--output", "--port", "--quantize", "--quiet",
    "--ray", "--ray-address", "--seconds", "--seed", "--size", "--state", "--steps", "--temperature",
    "--think/--no-think", "--top-p", "--workers",
}  # fmt: skip
MOST_OWN_USES = 5  # of a name within its own definition
# What libraries call by name, surfaces that scripts for the reference library call, recipes (their table names them),
# what reads the files of official scorers, and pass@k for grades that were measured elsewhere.
CALLED_FROM_OUTSIDE = {
    "agent/worlds/site.py", "cli/app.py", "cli/help.py", "engine/pipeline.py", "engine/see/pipeline.py",
    "engine/surface.py", "eval/benchmarks/cvtg2k.py", "models/glm_image/vae.py", "nn/norm.py", "nn/linear.py",
    "recipes", "rl/curriculum.py", "serve/protocol.py", "serve/server.py", "serve/system.py",
}  # fmt: skip

# Keeps imports that register something; and what `noise` of card_manner.py looks up by names put together from parts.
NOT_READ = {
    "card_genres.py:MODULES", "card_noise.py:ZH_BEFORE", "card_noise.py:ZH_AFTER", "card_noise.py:ZH_LONG",
}  # fmt: skip


def module_name(path: Path) -> str:
    parts = ["inkwash", *path.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def find_circles(needs: dict[str, set[str]]) -> list[list[str]]:
    """Groups of names that need each other, directly or by way of others."""
    circles: list[list[str]] = []
    remaining = {name: set(others) for name, others in needs.items()}
    while remaining:  # names that nobody needs, or that need nobody, are in no circle
        wanted = set().union(*remaining.values())
        free = {name for name, others in remaining.items() if not others & remaining.keys() or name not in wanted}
        if not free:
            start = min(remaining)
            path = [start]
            while (following := min(remaining[path[-1]] & remaining.keys())) not in path:
                path.append(following)
            circles.append(path[path.index(following) :])
            free = {following}
        remaining = {name: others - free for name, others in remaining.items() if name not in free}
    return circles


def test_no_two_files_need_each_other() -> None:
    """Imports inside functions and those for types alone count as well."""
    modules = {module_name(path): path for path in sources()}
    needs = {}
    for name, path in modules.items():
        found = {each if each in modules else each.rpartition(".")[0] for each, _ in imports(path)}
        needs[name] = {each for each in found if each in modules and each not in (name, "inkwash")}
    assert not find_circles(needs)


def test_circles_are_found() -> None:
    assert find_circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "e": set()}) == [["a", "b", "c"]]
    assert not find_circles({"a": {"b", "c"}, "b": {"c"}, "c": set()})


def test_a_class_name_means_one_class() -> None:
    places: dict[str, set[str]] = {}
    for path in sources():
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, set()).add(str(path.relative_to(PACKAGE)))
    shared = {name: files for name, files in places.items() if len(files) > 1}
    assert not shared


def bound_names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """(name, line) of everything that a file gives a name to: variables, fields, parameters, functions and classes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno
        elif isinstance(node, ast.alias) and node.asname:
            yield node.asname, 0
        elif isinstance(node, ast.ExceptHandler) and node.name:
            yield node.name, node.lineno


def test_retired_words_name_nothing() -> None:
    found = set()
    for path in sources():
        file = path.relative_to(PACKAGE).as_posix()
        found |= {f"{file}:{line}: {name}" for name, line in bound_names(tree_of(path)) if is_retired(file, name)}
    assert not found, "name a value by what it holds, a class by the term of the field"


def is_retired(file: str, name: str) -> bool:
    return RETIRED.fullmatch(name) is not None and (file, name) not in WIRE_NAMES


def test_retired_words_are_found_in_every_form() -> None:
    text = (
        "said: int = 1\nclass Sight:\n    def told(self, asked): self.own = 2\n"
        "for given in (): pass\nimport json as shown\ntry: pass\nexcept ValueError as house: pass\n_said = given = 1\n"
    )
    names = [name for name, _ in bound_names(ast.parse(text)) if is_retired("a.py", name)]
    assert Counter(names) == Counter(
        ["said", "Sight", "told", "asked", "own", "given", "given", "shown", "house", "_said"]
    )
    assert not is_retired("serve/agent/schema.py", "said") and not is_retired("a.py", "asked_for")


def functions_of(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree_of(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_a_value_travels_as_an_object() -> None:
    long = set()
    for path in sources():
        for function in functions_of(path):
            given = function.args
            names = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
            if len([name for name in names if name not in ("self", "cls")]) > MOST_PARAMETERS:
                long.add(f"{path.relative_to(PACKAGE)}:{function.name}")
    assert not long - LONG_SIGNATURES, f"more than {MOST_PARAMETERS} parameters"


def test_functions_fit_on_a_screen() -> None:
    long = set()
    for path in sources():
        for function in functions_of(path):
            assert function.end_lineno is not None
            if function.end_lineno - function.lineno >= MOST_FUNCTION_LINES:
                long.add(f"{path.relative_to(PACKAGE)}:{function.name}")
    assert not long - LONG_FUNCTIONS, f"more than {MOST_FUNCTION_LINES} lines"
    assert not LONG_FUNCTIONS - long, "these are short now: take them off the list"


def test_an_option_is_declared_once() -> None:
    places: dict[str, list[str]] = {}
    for path in sources():
        if package_of(path) != "cli":
            continue
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Option"):
                for given in node.args:
                    if isinstance(given, ast.Constant) and str(given.value).startswith("--"):
                        places.setdefault(given.value, []).append(f"{path.name}:{node.lineno}")
    repeated = {name: lines for name, lines in places.items() if len(lines) > 1}
    assert not {name: repeated[name] for name in repeated.keys() - REPEATED_OPTIONS}


def used_names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.arg
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            yield node.value  # tables of names


def registers(node: ast.AST) -> bool:
    """Whether a decorator hands the function to a library, such as a route's or a validator's."""
    decorators = [] if isinstance(node, ast.ClassDef) else getattr(node, "decorator_list", [])
    return any(isinstance(each, ast.Call) and "cache" not in ast.unparse(each.func) for each in decorators)


def overrides(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    """Whether a method calls its own name in a base class, which then is who calls it."""
    return f"super().{node.name}(" in ast.unparse(node)


def test_nothing_public_serves_tests_alone() -> None:
    """What neither this package nor its documents use is not there for its own sake."""
    root = PACKAGE.parents[1]
    documents = [root / "README.md", *(root / "docs").rglob("*.md"), *(root / "bench").glob("*.py")]
    words = {
        word for file in documents if file.name != "log.md" for word in re.findall(r"\w+", file.read_text("utf-8"))
    }
    counts = Counter(name for path in sources() for name in used_names(tree_of(path)))
    unused = []
    for path in sources():
        place = str(path.relative_to(PACKAGE))
        if place in CALLED_FROM_OUTSIDE or package_of(path) in CALLED_FROM_OUTSIDE:
            continue
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name[0] != "_":
                if node.name in words or counts[node.name] > MOST_OWN_USES or registers(node):
                    continue
                own = sum(name == node.name for name in used_names(node))
                if counts[node.name] <= own and not overrides(node):
                    unused.append(f"{place}:{node.lineno} {node.name}")
    assert not unused, "\n".join(unused)


def test_every_constant_is_read() -> None:
    """A module's own name in capitals that no file reads is left from something that is gone."""
    read = {name for path in sources() for node in ast.walk(tree_of(path)) for name in read_names(node)}
    unread = []
    for path in sources():
        for node in tree_of(path).body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            for name in (target.id for target in targets if isinstance(target, ast.Name)):
                if not name.startswith("_") and name not in read and f"{path.name}:{name}" not in NOT_READ:
                    unread.append(f"{path.relative_to(PACKAGE)}:{node.lineno} {name}")
    assert not unread, "\n".join(unread)


def read_names(node: ast.AST) -> Iterator[str]:
    """The name that an expression reads, plain or as an attribute or in a text such as a table of recipes."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        yield node.id
    elif isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, ast.alias):
        yield node.name
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value.rpartition(":")[2]


def shipped(folder: str, part: str = "") -> dict[str, Any]:
    file = PACKAGE / "assets" / folder / part / "config.json"
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def stored_size(folder: str) -> tuple[int, int]:
    """Parameters and bytes of a shipped checkpoint, from the headers of its files."""
    parameters = size = 0
    for file in (PACKAGE / "assets" / folder).rglob("*.safetensors"):
        content = file.read_bytes()
        size += len(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        parameters += sum(math.prod(each["shape"]) for name, each in header.items() if name != "__metadata__")
    return parameters, size


def test_sizes_in_prose_are_those_of_the_shipped_checkpoints() -> None:
    numbers = {"three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8}
    for name, folder in (("nano", "nano"), ("nano-v", "nano_v")):
        entry, (parameters, size) = find(name), stored_size(folder)
        assert entry is not None
        assert entry.parameters == f"{parameters / 1e6:.0f}M" and entry.gigabytes == round(size / 1e9, 3)
    docs = PACKAGE.parents[1] / "docs"
    text = shipped("nano", "vision_language_encoder")["text_config"]
    claim = re.search(r"an? (\d+)-layer generator of width (\d+)", (docs / "numerics.md").read_text("utf-8"))
    assert claim is not None and [int(each) for each in claim.groups()] == [
        text["num_hidden_layers"],
        text["hidden_size"],
    ]
    prose = " ".join((docs / "glm-v.md").read_text("utf-8").split())
    claim = re.search(r"of ([\d.]+) M parameters: a ViT of (\w+) blocks .*? a decoder of (\w+) layers", prose)
    assert claim is not None
    seeing = shipped("nano_v")
    sizes = seeing["vision_config"]["depth"], seeing["text_config"]["num_hidden_layers"]
    assert (numbers[claim[2]], numbers[claim[3]]) == sizes
    assert claim[1] == f"{stored_size('nano_v')[0] / 1e6:.1f}"


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
