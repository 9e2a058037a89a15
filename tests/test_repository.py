"""What stands around the package is right: workflow, hooks, forms, citation, and what CONTRIBUTING says of the code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import inkwash
from tests.test_architecture import MAY_IMPORT, PACKAGE

ROOT = Path(__file__).parents[1]
FORMS = sorted(path for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
GUIDES = [ROOT / "CONTRIBUTING.md", ROOT / "docs" / "architecture.md"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def read_yaml(path: str | Path) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))


def test_the_hooks_have_the_pinned_versions() -> None:
    repos = {repo["repo"].rsplit("/", 1)[1]: repo for repo in read_yaml(".pre-commit-config.yaml")["repos"]}
    assert repos["ruff-pre-commit"]["rev"] == f"v{pins()['ruff']}"
    assert repos["codespell"]["rev"] == f"v{pins()['codespell']}"
    hooks = {hook["id"] for repo in repos.values() for hook in repo["hooks"]}
    assert {"ruff-check", "ruff-format", "codespell", "check-added-large-files"} <= hooks


def test_the_workflow_runs_targets_that_exist_on_the_supported_versions() -> None:
    workflow = read_yaml(".github/workflows/ci.yml")
    assert workflow[True].keys() == {"push", "pull_request", "schedule"}  # YAML reads the key `on` as true
    jobs = workflow["jobs"]
    steps = [step for job in jobs.values() for step in job["steps"]]
    assert all(("uses" in step) != ("run" in step) for step in steps)
    assert all(job["runs-on"] and job["timeout-minutes"] for job in jobs.values())
    used = set(re.findall(r"\bmake ([a-z-]+)", "\n".join(step.get("run", "") for step in steps)))
    assert used <= make_targets() and {"check", "test-quick", "test", "docs", "wheel"} <= used
    versions = jobs["test-quick"]["strategy"]["matrix"]["python-version"]
    assert all(isinstance(version, str) for version in versions)  # 3.10 as a number is 3.1
    assert PROJECT["requires-python"] == f">={versions[0]}"
    stated = [text.rsplit(" ", 1)[1] for text in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", text)]
    assert stated == versions


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.stem)
def test_issue_forms_follow_the_schema(form: Path) -> None:
    content = read_yaml(form)
    assert content["name"] and content["description"]
    fields = [field for field in content["body"] if field["type"] != "markdown"]
    ids = [field["id"] for field in fields]
    assert fields and len(set(ids)) == len(ids)
    for field in content["body"]:
        assert field["type"] in {"markdown", "textarea", "input", "dropdown", "checkboxes"}
        assert ("value" if field["type"] == "markdown" else "label") in field["attributes"]
        assert set(field) <= {"type", "id", "attributes", "validations"}


def test_a_bug_comes_with_its_command_and_the_machine() -> None:
    required = {
        field["id"] for field in read_yaml(FORMS[0])["body"] if field.get("validations", {}).get("required", False)
    }
    assert FORMS[0].stem == "bug" and {"command", "doctor"} <= required


def test_the_citation_is_of_this_version() -> None:
    citation = read_yaml("CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["version"] == inkwash.__version__ and citation["license"] == PROJECT["license"]
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in PROJECT["authors"]]


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_the_table_of_packages_is_that_of_the_architecture_test(guide: Path) -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*?\|([^|]*)\|", guide.read_text(encoding="utf-8"), flags=re.MULTILINE)
    stated = {name: set(re.findall(r"`(\w+)`", imported)) for name, imported in rows if name != "cli"}
    there = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()} - {"assets", "cli"}
    assert stated == {name: (MAY_IMPORT[name] & there) - {"core"} for name in there}


def test_contributing_names_files_and_targets_that_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^make ([a-z-]+)", text, flags=re.MULTILINE)) <= make_targets()
    named = {name for name in re.findall(r"`([\w./]+\.(?:py|md|txt|toml))`", text) if "/" in name}
    missing = [name for name in named if not (ROOT / name).exists() and not (PACKAGE / name).exists()]
    assert not missing and len(named) > 20


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_links_between_files_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", (ROOT / page).read_text(encoding="utf-8"))
    assert links and not [link for link in links if not (ROOT / link).exists()]


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    listed: list[str] = []
    todo = [read_yaml("mkdocs.yml")["nav"]]
    while todo:
        entry = todo.pop()
        if isinstance(entry, str):
            listed.append(entry)
        else:
            todo.extend(entry.values() if isinstance(entry, dict) else entry)
    docs = ROOT / "docs"
    assert sorted(listed) == sorted(page.relative_to(docs).as_posix() for page in docs.rglob("*.md"))
