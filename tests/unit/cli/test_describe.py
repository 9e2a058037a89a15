"""describe and chat: files in, a scripted answer out; boxes, thoughts, costs and errors as the user sees them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from inkwash.core.errors import RequestError
from inkwash.engine.see.generator import AnswerGenerator
from inkwash.models.glm_v.weights import save_glm_v
from tests.unit.cli.conftest import Outcome
from tests.unit.engine.see.conftest import tiny_parts
from tests.unit.media.test_documents import make_pdf
from tests.unit.media.test_videos import write_video

Run = Callable[..., Outcome]
SAID = "\n<think>left of the middle</think>\n<|begin_of_box|>[[125, 250, 500, 750]]<|end_of_box|>"


class _Script:
    def __init__(self, said: list[Any], prompts: list[str]) -> None:
        self.said, self.prompts = said, prompts


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("sight")
    return save_glm_v(tiny_parts(base / "files"), base / "model")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    Image.new("RGB", (80, 40), "white").save(path)
    return path


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> _Script:
    """What is said instead of random tokens, next first; prompts are kept behind it."""
    said: list[Any] = []

    def generate(self: AnswerGenerator, run: Any, *rest: Any) -> Iterator[str]:
        texts.append(run.prompt.text)
        next_one = said.pop(0) if said else SAID
        if isinstance(next_one, Exception):
            raise next_one
        run.text, run.ids, run.finish = next_one, [1, 2, 3], "stop"
        for start in range(0, len(run.text), 5):
            yield run.text[start : start + 5]

    texts: list[str] = []
    monkeypatch.setattr(AnswerGenerator, "generate", generate)
    return _Script(said, texts)


def test_the_answer_is_printed_with_its_boxes_in_pixels(
    inkwash: Run, folder: Path, picture: Path, script: _Script, tmp_path: Path
) -> None:
    target = tmp_path / "marked.png"
    done = inkwash("describe", picture, "-q", "Where?", "--model", folder, "--boxes", target)
    assert done.code == 0, done.err
    assert done.out == "[[125, 250, 500, 750]]\nbox: 10,10 to 40,30 of 80x40 px\n"
    assert "tokens" in done.err and "Where?" in script.prompts[0]
    marked = Image.open(target).convert("RGB")
    assert marked.size == (80, 40) and marked.getpixel((10, 20)) != (255, 255, 255) == marked.getpixel((25, 20))


def test_json_holds_everything(inkwash: Run, folder: Path, picture: Path, script: _Script) -> None:
    done = inkwash("describe", picture, "--model", folder, "--json")
    found = json.loads(done.out)
    assert done.code == 0 and found["answer"] == "[[125, 250, 500, 750]]" and found["thoughts"] == "left of the middle"
    assert found["boxes"] == [[125, 250, 500, 750]] and found["pixel_boxes"] == [[10, 10, 40, 30]]
    assert found["usage"]["image_tokens"] and found["finish_reason"] == "stop"
    assert "Describe this picture." in script.prompts[0]


@pytest.mark.parametrize("said", ["", "\n", "\n<think>a poster</think>\n", "<think></think>\n<answer></answer>"])
def test_an_empty_answer_is_said_and_leaves_no_empty_line(
    inkwash: Run, folder: Path, picture: Path, script: _Script, said: str
) -> None:
    script.said.append(said)
    done = inkwash("describe", picture, "--model", folder)
    assert done.code == 0 and done.out.strip() == "" and not done.out.endswith("\n")
    assert "gave no answer" in done.err and ("--thoughts" in done.err) == ("poster" in said)


def test_thoughts_are_printed_when_asked_for(inkwash: Run, folder: Path, picture: Path, script: _Script) -> None:
    done = inkwash("describe", picture, "--model", folder, "--thoughts", "--quiet")
    assert done.out.startswith("left of the middle\n\n[[125") and not done.err


def test_raw_html_is_fenced_when_asked_for(inkwash: Run, folder: Path, picture: Path, script: _Script) -> None:
    page = "<html>\n<p>Hi</p>\n</html>"
    script.said += [f"\n<think></think>\n{page}", f"\n<think></think>\n{page}"]
    assert inkwash("describe", picture, "--model", folder, "--quiet").out == f"{page}\n"
    fenced = inkwash("describe", picture, "--model", folder, "--quiet", "--fence-html")
    assert fenced.out == f"```html\n{page}\n```\n"


def test_a_film_and_pages(inkwash: Run, folder: Path, tmp_path: Path, script: _Script) -> None:
    video, paper = write_video(tmp_path / "f.mp4"), tmp_path / "p.pdf"
    paper.write_bytes(make_pdf(5))
    done = inkwash("describe", video, paper, "--model", folder, "--pages", "2-4", "--dpi", "20", "--fps", "1", "--json")
    usage = json.loads(done.out)["usage"]
    assert len(usage["image_tokens"]) == 3 and len(usage["video_tokens"]) == 1


@pytest.mark.parametrize(
    "bad",
    [
        ["none.png"],
        ["{picture}", "-q", "  "],
        ["{picture}", "--budget", "-1"],
        ["{picture}", "--max-tokens", "0"],
        ["{picture}", "--temperature", "99"],
        ["{picture}", "--boxes", "out.txt"],
        ["{picture}", "{picture}", "--boxes", "out.png"],
        ["{picture}", "--model", "no-such-model"],
        ["{picture}", "--fps", "0"],
        ["{picture}", "--lora", "no-such-folder"],
        ["{text}"],
    ],
)
def test_bad_input_is_one_sentence(
    inkwash: Run, bad: list[str], picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inkwash.cli.seeing.open_pipeline", lambda _: pytest.fail("the model was opened"))
    text = tmp_path / "words.txt"
    text.write_text("no picture")
    done = inkwash("describe", *[word.format(picture=picture, text=text) for word in bad])
    assert done.code == 2 and done.err.count("\n") == 1 and done.err.startswith("inkwash: "), done.err


def test_a_conversation(
    inkwash: Run, folder: Path, picture: Path, script: _Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.said += [SAID, "\n<think>hm</think>\nIt is <b>white</b>.", "\nAnew."]
    lines = [
        f"/image '{picture}'",
        "Where is it?",
        f"/boxes '{tmp_path / 'b.png'}'",
        "/image none.png",
        "/nonsense",
        "/think maybe",
        "/think off",
        "What colour?",
        "/thoughts",
        "/clear",
        "/boxes",
        "Hello",
        "/quit",
        "never read",
    ]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines)))
    done = inkwash("chat", "--model", folder)
    assert done.code == 0
    assert done.out.splitlines() == [
        "[[125, 250, 500, 750]]",
        "box: 10,10 to 40,30 px of a.png",
        "It is <b>white</b>.",
        "hm",
        "Anew.",
    ]
    first, second, third = script.prompts
    assert "<|image|>" in first and second.startswith(first.removesuffix("<|assistant|>").removesuffix("Where is it?"))
    assert "left of the middle" not in second and "[[125, 250, 500, 750]]" in second and "/nothink" in second
    assert "<|image|>" not in third and (tmp_path / "b.png").is_file()
    assert done.err.count("inkwash: ") == 4, done.err


def test_a_turn_that_fails_leaves_no_trace(
    inkwash: Run, folder: Path, picture: Path, script: _Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [f"/image {picture}", "Too long?", "Short?"]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines)))
    script.said += [RequestError("Shorten it."), "\nTwo."]
    done = inkwash("chat", "--model", folder)
    assert done.code == 0 and done.out == "Two.\n" and "inkwash: Shorten it." in done.err
    assert "Too long?" not in script.prompts[1] and "<|image|>" in script.prompts[1]  # the picture still waits
