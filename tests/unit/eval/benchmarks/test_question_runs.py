"""Whole runs of the question benchmarks: official files, real HTTP to a stand-in judge with faults, numbers by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from inkwash.core.errors import ConfigError, InkwashError, MediaError
from inkwash.eval.benchmarks import gedit, libraries, oneig_score, self_check, tiif
from inkwash.eval.benchmarks.benchmark import BenchmarkRun
from inkwash.eval.benchmarks.chat import JudgeEndpoint, JudgeError, VisionClient
from inkwash.eval.benchmarks.judges import Judges
from inkwash.eval.benchmarks.page import benchmark_page
from inkwash.eval.benchmarks.pictures import grid, through_jpeg
from inkwash.eval.benchmarks.registry import BENCHMARKS
from inkwash.eval.benchmarks.vision import VlmReader
from inkwash.eval.paired import PairedItem, value
from inkwash.eval.predictions import picture_hash
from tests.pictures import noise_picture
from tests.unit.eval.benchmarks import official
from tests.unit.eval.benchmarks.runs import run_of
from tests.unit.eval.benchmarks.stand_in import DROP, Raw, StandIn, Status, pictures_of, prompt_of, serving

Answer = Callable[[Image.Image, str], str]
SQUARES = {picture_hash(self_check.square(color)): color for color in ("red", "green", "blue", "black")}
WRONG = (255, 0, 0)  # pictures of this colour are judged badly


@pytest.fixture(autouse=True)
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def is_wrong(image: Image.Image) -> bool:
    red, green, blue = image.convert("RGB").getpixel((1, 1))  # type: ignore[misc]
    return red > 200 and green < 60 and blue < 60


def proven(image: Image.Image, question: str, yes: str, no: str) -> str | None:
    """The right answer about a square of the proof; None for other pictures."""
    color = SQUARES.get(picture_hash(image))
    return None if color is None else yes if f"a {color} square" in question else no


@contextmanager
def panel(script: Callable[[dict[str, Any]], Any], faults: int = 0, **more: Any) -> Iterator[tuple[Judges, StandIn]]:
    """A panel around a stand-in server; every `faults`-th request goes wrong in turn."""
    wrong = (Status(429, Retry_After="0"), Raw(b"<html>"), DROP, Status(503))

    def respond(body: dict[str, Any], number: int) -> Any:
        if faults and number % faults == faults - 1:
            return wrong[number // faults % len(wrong)]
        return script(body)

    with serving(respond) as server:
        client = VisionClient(JudgeEndpoint(url=server.url, model="Judge", tries=6, pause=0.001, timeout=5))
        yield Judges(open_reader=lambda: VlmReader(client), client=client, workers=4, stop=client.stop, **more), server


def paint(run: BenchmarkRun[Any], wrong: set[str] | None = None, size: int = 32) -> None:
    """Every picture of a run: white, or in the colour that is judged badly."""
    for task in run.tasks():
        color = WRONG if wrong and task.file in wrong else (250, 250, 250)
        one = Image.new("RGB", (size, size), color)
        target = run.images / task.file
        target.parent.mkdir(parents=True, exist_ok=True)
        (grid([one] * task.cells) if task.cells > 1 else one).save(
            target, **({"lossless": True} if target.suffix == ".webp" else {})
        )
        if task.copy is not None:
            Image.new("RGB", (size, size), (128, 128, 128)).save(run.images / task.copy)


def tiif_script(body: dict[str, Any]) -> str:
    [image], prompt = pictures_of(body), prompt_of(body)
    questions = re.findall(r"^\d+\. (.*)$", prompt, re.MULTILINE)
    answers = []
    for number, question in enumerate(questions):
        answers.append(proven(image, question, "yes", "no") or ("no" if is_wrong(image) or number else "Yes."))
    return "\n".join(answers)


def test_tiif_with_all_types(tmp_path: Path) -> None:
    run = run_of("tiif", data=official.tiif(tmp_path / "d", tiif.TYPES), images=tmp_path / "i", model_folder="m")
    paint(run, {"style/m/short_description/0.png", "style/m/short_description/1.png"})
    with panel(tiif_script, faults=7, cache=tmp_path / "cache.jsonl") as (judges, server):
        result = run.score(judges)
        scores, asked = result.to_dict(), server.count
        assert run.score(judges).to_dict() == scores and server.count == asked
    assert scores["long"] == 100.0 and scores["short"] == pytest.approx(100 - 50 / 9)
    assert scores["per_group"]["Style"]["short"] == 50.0 and scores["n"] == 4 * 39 and scores["questions"] == 8 * 39
    units = [PairedItem.from_dict(row) for row in scores["per_prompt"]]
    assert value(units, "short") == pytest.approx(scores["short"]) and len(units) == 78
    assert result.worst_first()[0].key.startswith("style/short")
    assert "own-tiif-prompt" in scores["judge"] and "notes" not in scores


def test_tiif_with_some_types_has_no_overall_score(tmp_path: Path) -> None:
    run = run_of("tiif", data=official.tiif(tmp_path / "d", ("text", "style")), images=tmp_path / "i", model_folder="m")
    paint(run)
    with panel(tiif_script) as (judges, _):
        scores = run_of("tiif", data=run.data, images=run.images).score(judges).to_dict()
    assert scores["question_accuracy_long"] == 100.0 and "short" not in scores
    assert "39 types" in scores["notes"][0] and scores["system"] == "m"


def test_the_systems_folder_must_be_named_when_there_are_two(tmp_path: Path) -> None:
    run = run_of("tiif", data=official.tiif(tmp_path / "d", ("text",)), images=tmp_path / "i", model_folder="m")
    paint(run)
    (run.images / "text" / "other").mkdir()
    with panel(tiif_script) as (judges, server):
        with pytest.raises(MediaError, match="m, other; name the system"):
            run_of("tiif", data=run.data, images=run.images).score(judges)
        (run.images / "text" / "m" / "long_description" / "1.png").unlink()
        with pytest.raises(MediaError, match=r"lacks 1 of the 4 pictures: text/m/long_description/1"):
            run.score(judges)
        assert server.count == 0


def dpg_script(body: dict[str, Any]) -> str:
    [image], prompt = pictures_of(body), prompt_of(body)
    plain = proven(image, prompt, "Yes.", "no")
    return plain or ("no" if is_wrong(image) and "a 1?" in prompt else "yes")


DPG = {
    "a": [(1, "0", "entity - whole"), (2, "1", "attribute - color")],
    "b": [(1, "0", "global"), (2, "1", "attribute - size")],
}


@pytest.mark.parametrize(("mode", "overall", "dropped"), [("official", 100.0, ("a",)), ("fixed", 50.0, ())])
def test_dpg_in_both_modes(tmp_path: Path, mode: str, overall: float, dropped: tuple[str, ...]) -> None:
    """Question 1 about `a` is answered no, so its child falls too; officially the row is lost and `a` with it."""
    run = run_of("dpg", data=official.dpg(tmp_path / "d", DPG), images=tmp_path / "i", mode=mode)
    paint(run, {"a.png"})
    with panel(dpg_script, faults=5) as (judges, _):
        result = run.score(judges)
    scores = result.to_dict()
    assert scores["overall"] == overall and scores["mode"] == mode
    assert len(scores.get("notes", [])) == len(dropped) and scores["judge"].startswith("judge[dpg-question")
    assert result.worst_first()[0].key == "a" and json.loads(json.dumps(scores)) == scores


def geneval_script(body: dict[str, Any]) -> str:
    [image], prompt = pictures_of(body), prompt_of(body)
    return proven(image, prompt, "yes", "no") or ("no" if is_wrong(image) else "Yes")


def test_geneval_by_a_model_and_by_its_own_detector(tmp_path: Path) -> None:
    run = run_of("geneval", data=official.geneval(tmp_path / "d"), images=tmp_path / "i", samples=2)
    paint(run, {"00000/samples/0000.png", "00002/samples/0001.png"})
    with panel(geneval_script) as (judges, _):
        scores = run.score(judges).to_dict()
    assert scores["per_task"]["counting"] == {"overall": 0.75, "n": 4}
    assert scores["overall"] == pytest.approx((0.5 + 0.75 + 4) / 6, abs=1e-6) and "own-geneval" in scores["judge"]
    units = [PairedItem.from_dict(row) for row in scores["per_prompt"]]
    assert value(units, "overall") == pytest.approx(scores["overall"], abs=1e-6)
    names = [f"out/{i:05d}/samples/{k:04d}.png" for i in range(7) for k in range(2)]
    official.lines(run.images / "results.jsonl", ({"filename": name, "correct": True} for name in names[:-1]))
    blind = Judges(open_reader=lambda: pytest.fail("a reader was opened"))
    with pytest.raises(ConfigError, match=r"00006/samples/0001\.png"):
        run.score(blind)
    official.lines(run.images / "results.jsonl", ({"filename": name, "correct": True} for name in names))
    result = run.score(blind)
    assert result.to_dict()["overall"] == 1.0 and result.judge.startswith("mask2former")
    official.lines(run.images / "results.jsonl", [{"filename": "x.png", "correct": 1}])
    with pytest.raises(ConfigError, match="line 1 is no line of GenEval"):
        run.score(blind)


def oneig_script(body: dict[str, Any]) -> str:
    [image], prompt = pictures_of(body), prompt_of(body)
    if prompt.startswith("Recognize"):
        rendered = self_check.render_texts(["Joy", "Rural Areas"])
        assert rendered is not None
        if picture_hash(image) == picture_hash(rendered):
            return "Joy\nRural Areas"
        return "Joy Rural Areas" if body["max_tokens"] == 128 else "too many tokens"
    return proven(image, prompt, "Yes", "No") or ("Yes." if "sit" in prompt else "Yes")


def test_oneig_alignment_and_text(tmp_path: Path) -> None:
    dimensions = ("alignment", "text")
    run = run_of(
        "oneig-en", data=official.oneig(tmp_path / "d"), images=tmp_path / "i", model_folder="m", dimensions=dimensions
    )
    paint(run)
    black = Image.new("RGB", (32, 32))
    light = Image.new("RGB", (32, 32), (250, 250, 250))
    grid([light, black, light, light]).save(run.images / "human/m/000.webp", lossless=True)
    with panel(oneig_script, faults=9) as (judges, _):
        scores = run.score(judges).to_dict()
    assert scores["alignment"] == pytest.approx(2 / 3, abs=1e-6)  # "Yes." is no yes
    assert scores["text"] == 1.0 and scores["text_words"] == 1.0 and scores["text_completion"] == 1.0
    assert "overall" not in scores and "all five dimensions" in scores["notes"][0]
    assert "max_tokens=128|256" in scores["judge"] and set(scores["per_set"]) >= {"anime", "text", "reasoning"}


def test_a_dimension_that_a_short_run_does_not_reach_is_named(tmp_path: Path) -> None:
    run = run_of(
        "oneig-en",
        data=official.oneig(tmp_path / "d"),
        images=tmp_path / "i",
        model_folder="m",
        dimensions=("alignment", "text"),
        limit=2,
    )
    paint(run)
    with panel(oneig_script) as (judges, _), pytest.raises(ConfigError, match=r"about text \(it has anime, human\)"):
        run.score(judges)


def test_a_grid_that_is_all_black_is_named(tmp_path: Path) -> None:
    run = run_of(
        "oneig-en", data=official.oneig(tmp_path / "d"), images=tmp_path / "i", model_folder="m", dimensions=("text",)
    )
    paint(run)
    Image.new("RGB", (64, 64)).save(run.images / "text/m/000.webp", lossless=True)
    with panel(oneig_script) as (judges, _), pytest.raises(ConfigError, match=r"text/m/000\.webp has no cell"):
        run.score(judges)


class Seen:
    """CachedSimilarity judges by hand."""

    name = "by-hand"

    def cosine(self, image: Image.Image, text: str) -> float:
        return 0.3

    def cosines(self, image: Image.Image, style: str) -> tuple[list[float], list[float]]:
        assert style == "pop_art"
        return [0.1, 0.5], [-0.2, 0.7]

    def distance(self, a: Image.Image, b: Image.Image) -> float:
        return 0.25


def test_oneig_overall_is_the_mean_of_all_five(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("Llm2Clip", "DreamSim", "StyleJudge"):
        monkeypatch.setattr(libraries, name, lambda *paths: Seen())
    weights = dict.fromkeys(("llm2clip", "csd", "clip", "style", "dreamsim"), tmp_path)
    run = run_of("oneig-en", data=official.oneig(tmp_path / "d"), images=tmp_path / "i", model_folder="m")
    paint(run)
    with panel(oneig_script, weights=weights) as (judges, _):
        result = run.score(judges)
    scores = result.to_dict()
    expected = {"alignment": 2 / 3, "text": 1.0, "reasoning": 0.3, "style": 0.6, "diversity": 0.25}
    assert {name: scores[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    assert scores["overall"] == pytest.approx(oneig_score.overall(expected), abs=1e-6)
    assert benchmark_page(run.benchmark, result, title="OneIG").count("<article") == len(result.pictures)


@pytest.mark.parametrize(
    ("task", "dimensions", "says"),
    [
        ("oneig-en", ("reasoning",), "--weights llm2clip=PATH with a folder with microsoft/LLM2CLIP"),
        ("oneig-en", ("style",), "--weights csd=PATH"),
        ("oneig-en", ("diversity",), "dreamsim"),
        ("oneig-zh", ("alignment",), "--judge-url"),
        ("tiif", (), "--judge-url"),
        ("dpg", (), "--judge-url"),
        ("gedit", (), "--draw-only"),
        ("imgedit", (), "--draw-only"),
    ],
)
def test_a_missing_judge_is_told_before_the_drawing(task: str, dimensions: tuple[str, ...], says: str) -> None:
    benchmark = BENCHMARKS[task]
    needs = benchmark.needs(benchmark.options(**({"dimensions": dimensions} if dimensions else {})))
    with pytest.raises(ConfigError, match=re.escape(says)):
        Judges(open_reader=lambda: pytest.fail("a reader was opened")).check(needs)


def test_every_question_benchmark_but_geneval_names_its_judge() -> None:
    """GenEval may be scored from its own detector's file, the text benchmarks by the bundled reader."""
    judges = Judges(open_reader=lambda: pytest.fail("a reader was opened"))
    demanding = {name for name, each in BENCHMARKS.items() if each.needs(each.options())}
    assert demanding >= {"oneig-en", "oneig-zh", "tiif", "dpg", "gedit", "imgedit"}
    assert demanding.isdisjoint({"cvtg2k", "longtext-en", "longtext-zh", "geneval", "natural"})
    for name in demanding:
        with pytest.raises(ConfigError):
            judges.check(BENCHMARKS[name].needs(BENCHMARKS[name].options()))


def gedit_script(body: dict[str, Any]) -> str:
    images, prompt = pictures_of(body), prompt_of(body)
    color = SQUARES.get(picture_hash(images[-1]))
    if color is not None:
        return f'{{"score": {[9, 9] if color == "blue" else [0, 10]}, "reasoning": "a square"}}'
    if "Instruction:" in prompt:
        assert len(images) == 2 and images[0].size == images[1].size == (64, 64)
        return (
            '```json\n{"score" : [8, 4], "reasoning" : "ok"}\n```' if "color_alter" in prompt else '{"score": [9, 9]}'
        )
    assert len(images) == 1
    return '{"score": [9.0, 4], "reasoning": "clean"}'


@pytest.mark.parametrize("language", ["en", "cn"])
def test_gedit_by_viescore(tmp_path: Path, language: str) -> None:
    run = run_of("gedit", data=official.gedit(tmp_path / "d"), images=tmp_path / "i", language=language)
    paint(run)
    for prompt in gedit.read_prompts(run.data / gedit.PROMPTS, language):
        Image.new("RGB", (64, 64), (128, 128, 128)).save(run.images / prompt.source_path.example)
    with panel(gedit_script, faults=6) as (judges, _):
        result = run.score(judges)
    scores = result.to_dict()
    assert (scores["sc"], scores["pq"]) == (6.5, 4.0)
    assert scores["overall"] == pytest.approx((4.0 + 6.0) / 2) and scores["overall_intersection"] == scores["overall"]
    assert scores["per_kind"]["color_alter"]["overall"] == 4.0 and scores["language"] == language
    assert (
        result.worst_first()[0].source is not None
        and benchmark_page(run.benchmark, result, title="GEdit").count("<img") == 8
    )


def imgedit_script(body: dict[str, Any]) -> str:
    images, prompt = pictures_of(body), prompt_of(body)
    color = SQUARES.get(picture_hash(images[-1]))
    if color is not None:
        points = 5 if color == "blue" else 1
        return f"A: {points}\nB: {points}\nC: {points}"
    return "Done: 5\nKept: 4\nClean: 4" if prompt.startswith("add") else "Done: 4\nKept: 4\nClean: 4"


def test_imgedit_by_points(tmp_path: Path) -> None:
    run = run_of("imgedit", data=official.imgedit(tmp_path / "d"), images=tmp_path / "i")
    paint(run)
    with panel(imgedit_script, faults=4) as (judges, _):
        scores = run.score(judges).to_dict()
        few = run_of("imgedit", data=run.data, images=run.images, limit=3).score(judges).to_dict()
    assert scores["per_kind"]["add"] == {"overall": 4.33, "n": 1}
    assert scores["overall"] == pytest.approx((8 * 4 + 4.33) / 9, abs=1e-6)
    assert few["overall"] is None and "all nine kinds" in few["notes"][0]


@pytest.mark.parametrize(
    ("task", "script", "says"),
    [
        ("tiif", lambda body: "no\n" * len(re.findall(r"^\d+\. ", prompt_of(body), re.MULTILINE)), "coloured squares"),
        ("dpg", lambda body: "yes", "answers only 0.500"),
        ("oneig-en", lambda body: "Yes.", "exactly 'Yes'"),
        ("imgedit", lambda body: "A: 3\nB: 3\nC: 3", "tell them apart"),
        ("gedit", lambda body: '{"score": [5, 5]}', "tell them apart"),
    ],
)
def test_a_judge_that_cannot_tell_squares_apart_scores_nothing(
    tmp_path: Path, task: str, script: Callable[[dict[str, Any]], str], says: str
) -> None:
    makers: dict[str, Callable[[Path], Path]] = {
        "tiif": lambda place: official.tiif(place, ("text",)),
        "dpg": lambda place: official.dpg(place, DPG),
        "oneig-en": official.oneig,
        "imgedit": official.imgedit,
        "gedit": official.gedit,
    }
    options = {"dimensions": ("alignment",)} if task == "oneig-en" else {}
    run = run_of(task, data=makers[task](tmp_path / "d"), images=tmp_path / "i", model_folder="m", **options)
    paint(run)
    with panel(script) as (judges, _), pytest.raises(ConfigError, match=says):
        run.score(judges)


def test_half_of_the_workers_dying_loses_nothing(tmp_path: Path) -> None:
    """The server refuses every question about some pictures; the others are kept, and a mended server ends the run."""
    run = run_of("dpg", data=official.dpg(tmp_path / "d", DPG), images=tmp_path / "i", mode="fixed")
    paint(run, {"a.png"})
    mended = False

    def script(body: dict[str, Any]) -> Any:
        [image] = pictures_of(body)
        broken = is_wrong(image) and not mended and picture_hash(image) not in SQUARES
        return Status(500, "boom") if broken else dpg_script(body)

    with panel(script, cache=tmp_path / "cache.jsonl") as (judges, server):
        with pytest.raises(JudgeError, match="The answers so far are kept"):
            run.score(judges)
        mended = True
        kept = len((tmp_path / "cache.jsonl").read_text().splitlines())
        judges.stop.clear()
        asked = server.count
        scores = run.score(judges).to_dict()
        assert scores["overall"] == 50.0 and kept >= 8 and server.count - asked <= 8 + 2


def test_cells_are_judged_as_the_official_scorer_judges_them() -> None:
    noise = noise_picture((32, 32), 90)
    assert picture_hash(through_jpeg(noise)) != picture_hash(noise)


def test_weights_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no weights named 'clap'; known are clip, llm2clip"):
        Judges(open_reader=lambda: pytest.fail("a reader was opened"), weights={"clap": tmp_path})
    with pytest.raises(ConfigError, match=r"are not there; give the file ViT-L-14\.pt"):
        Judges(open_reader=lambda: pytest.fail("a reader was opened"), weights={"clip": tmp_path / "none.pt"})
    with pytest.raises(InkwashError, match="workers is 0"):
        Judges(open_reader=lambda: pytest.fail("a reader was opened"), workers=0)
