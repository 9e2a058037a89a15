"""The package as an index shows it, and the pins: nothing points nowhere, nothing is pinned that nobody needs."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
HOME = "https://example.org/owner/inkwash"
RELATIVE = re.compile(r"\]\((?!https?://|#)")
# What packages that the tests do without ask for: the extra `modelscope`, and editable installs.
ELSEWHERE = {"modelscope": {"modelscope-hub", "setuptools"}, "editables": set()}
PER_SYSTEM = {"pynput", "python-xlib"}
BEFORE_312 = {"backports-tarfile"}  # which later editions of Python have themselves


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("home", ["", HOME])
def test_the_description_has_no_link_that_is_relative(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INKWASH_HOME_URL", home)
    found = ProjectMetadata(str(ROOT), PluginManager()).core
    text = found.readme
    assert text.startswith("# Inkwash") and not RELATIVE.search(text)
    assert found.readme_content_type == "text/markdown" and found.authors
    if home:
        assert f"![OPEN]({HOME}/raw/main/docs/images/open.png)" in text
        assert set(found.urls) == {"Homepage", "Documentation", "Changelog", "Issues"}
    else:
        assert "![" not in text and "|---" not in text.split("\n## ")[0] and not found.urls  # nor the table of pictures
        assert "Start in five minutes goes on from here" in text  # the words of a link stay


def test_every_pin_is_needed_and_every_need_is_pinned() -> None:
    """The pins are those of the project's requirements and of what they require in turn, extras included."""
    config = project()
    texts = [*config["build-system"]["requires"], *config["project"]["dependencies"]]
    todo = [
        Requirement(text) for group in (texts, *config["project"]["optional-dependencies"].values()) for text in group
    ]
    needed: set[str] = set()
    seen: set[tuple[str, frozenset[str]]] = set()
    while todo:
        wanted = todo.pop()
        name = canonicalize_name(wanted.name)
        if name == "inkwash" or (name, frozenset(wanted.extras)) in seen:
            continue  # `all` names extras, which are here already
        seen.add((name, frozenset(wanted.extras)))
        needed.add(name)
        if wanted.marker is not None and wanted.name in PER_SYSTEM and not wanted.marker.evaluate():
            continue  # pinned for another system
        try:
            installed = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            assert name in ELSEWHERE, f"{name} is not installed: make setup"
            needed |= ELSEWHERE[name]
            continue
        for text in installed.requires or ():
            further = Requirement(text)
            settings = [{"extra": extra} for extra in wanted.extras] or [{"extra": ""}]
            if further.marker is None or any(further.marker.evaluate(setting) for setting in settings):
                todo.append(further)
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {canonicalize_name(line.split("==")[0]) for line in lines if "==" in line and not line.startswith("#")}
    if sys.version_info >= (3, 12):
        pinned -= BEFORE_312
    assert pinned - needed == set() and needed - pinned == set()


def test_all_brings_what_users_need() -> None:
    extras = project()["project"]["optional-dependencies"]
    [everything] = [Requirement(text) for text in extras["all"]]
    assert everything.name == "inkwash" and everything.extras == set(extras) - {"all", "modelscope", "docs", "dev"}
