"""The root command: overview, version, lazy commands, and agreement between the table and the files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import inkwash as package
from inkwash.cli import app
from tests.unit.cli.conftest import Outcome

Run = Callable[..., Outcome]


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_the_overview_lists_every_command(inkwash: Run, arguments: list[str]) -> None:
    outcome = inkwash(*arguments)
    assert outcome.code == 0 and not outcome.err
    for name, entry in app.COMMANDS.items():
        assert f"\n  {name} " in outcome.out and entry.summary.split(":")[0] in outcome.out


def test_version(inkwash: Run) -> None:
    assert inkwash("--version").out == f"inkwash {package.__version__}\n"


@pytest.mark.parametrize("name", app.COMMANDS)
def test_every_command_has_help(inkwash: Run, name: str) -> None:
    outcome = inkwash(name, "--help")
    assert outcome.code == 0 and outcome.out.startswith(f"Usage: inkwash {name} ")


def test_ctrl_c_is_one_line_and_130(inkwash: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a command that does not listen for it, too."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("inkwash.cli.models.describe", lambda *_: interrupted())
    outcome = inkwash("models")
    assert (outcome.code, outcome.err) == (130, "inkwash: Interrupted; nothing half-written was left.\n")


def test_each_command_has_its_own_file() -> None:
    """But drawing and editing, which are one."""
    folder = Path(app.__file__).parent
    for name, entry in app.COMMANDS.items():
        file = "draw" if name in ("generate", "edit") else name
        assert entry.module == f"inkwash.cli.{file}" and (folder / f"{file}.py").is_file()


def test_the_package_offers_the_pipeline_lazily() -> None:
    from inkwash.engine.pipeline import GlmImagePipeline

    assert package.GlmImagePipeline is GlmImagePipeline and "GlmImagePipeline" in dir(package)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        package.Nothing  # noqa: B018
