"""The launch flags of a model that sees: each reaches the server's settings, or is refused in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inkwash.serve.settings import ChatSettings
from tests.unit.cli.conftest import Outcome

Run = Callable[..., Outcome]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the server was started with."""
    calls: list[dict[str, Any]] = []

    def serve(settings: Any, load: Any, **more: Any) -> None:
        calls.append({"settings": settings, "load": load, **more})
        more["bound"].close()

    monkeypatch.setattr("inkwash.serve.server.serve", serve)
    return calls


def test_the_released_command_line(inkwash: Run, served: list[dict[str, Any]], tmp_path: Path) -> None:
    """The flags of the model's README, as they stand there, on the shipped model."""
    done = inkwash(
        *("serve", "nano-v", "--port", "0", "--tensor-parallel-size", "1"),
        *("--tool-call-parser", "glm45", "--reasoning-parser", "glm45", "--enable-auto-tool-choice"),
        *("--served-model-name", "glm-4.5v", "--allowed-local-media-path", str(tmp_path)),
        *("--media-io-kwargs", '{"video": {"num_frames": -1}}', "--limit-mm-per-prompt", '{"image":10,"video":1}'),
    )
    assert done.code == 0, done.err
    chat = served[0]["chat"]
    assert chat == ChatSettings(model="nano-v", name="glm-4.5v", folder=tmp_path, max_images=10, max_videos=1)
    assert served[0]["load"] is None and served[0]["settings"].model == "glm-4.5v"


def test_each_flag_has_its_effect(inkwash: Run, served: list[dict[str, Any]]) -> None:
    done = inkwash(
        *("serve", "nano", "--port", "0", "--chat", "nano-v", "--max-num-seqs", "3", "--no-auto-tool-choice"),
        *("--tool-call-parser", "none", "--reasoning-parser", "none"),
        *("--media-io-kwargs", '{"video": {"num_frames": 64, "fps": 1.5}}'),
    )
    assert done.code == 0, done.err
    expected = ChatSettings(
        model="nano-v", tools=False, auto_tools=False, reasoning=False, max_frames=64, fps=1.5, max_num_seqs=3
    )
    assert served[0]["chat"] == expected and served[0]["load"] is not None


def test_the_page_has_a_model_to_talk_to(inkwash: Run, served: list[dict[str, Any]]) -> None:
    for words in (["serve", "--ui"], ["ui"], ["serve", "--ui", "--chat", "none"], ["ui", "--chat", "none"], ["serve"]):
        assert inkwash(*words, "--port", "0").code == 0
    assert [call["chat"] and call["chat"].model for call in served] == ["nano-v", "nano-v", None, None, None]


@pytest.mark.parametrize(
    "bad",
    [
        ["nano", "--served-model-name", "x"],
        ["nano", "--allowed-local-media-path", "."],
        ["nano", "--chat", "no-such-model"],
        ["nano-v", "--chat", "nano-v"],
        ["nano-v", "--ui"],
        ["nano-v", "--tool-call-parser", "hermes"],
        ["nano-v", "--reasoning-parser", "deepseek_r1"],
        ["nano-v", "--allowed-local-media-path", "no-such-folder"],
        ["nano-v", "--served-model-name", " "],
        ["nano-v", "--media-io-kwargs", "{"],
        ["nano-v", "--media-io-kwargs", '{"audio": {}}'],
        ["nano-v", "--media-io-kwargs", '{"video": {"num_frames": 0}}'],
        ["nano-v", "--media-io-kwargs", '{"video": {"fps": "fast"}}'],
        ["nano-v", "--limit-mm-per-prompt", '{"audio": 1}'],
        ["nano-v", "--limit-mm-per-prompt", '{"image": -1}'],
        ["nano-v", "--max-num-seqs", "0"],
        ["nano-v", "--tensor-parallel-size", "0"],
    ],
)
def test_what_cannot_be_done_is_one_sentence(inkwash: Run, served: list[dict[str, Any]], bad: list[str]) -> None:
    done = inkwash("serve", "--port", "0", *bad)
    assert done.code == 2 and done.err.count("\n") == 1 and done.err.startswith("inkwash: "), done.err
    assert not served
