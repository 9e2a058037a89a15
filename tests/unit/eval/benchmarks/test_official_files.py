"""The readers and the aggregations held to the official files, which may not be shipped.

`INKWASH_BENCHMARKS` names a folder with `cvtg2k`, `longtext`, `dpg` and `geneval` (their prompts), and, where somebody
has them, `oneig`, `tiif` and `imgedit` (checkouts of the official repositories, or of the folder with the basic suite)
and `textpecker_results.json` (a published results file of CVTG-2K's own scorer). What is not there is skipped.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from inkwash.core.errors import ConfigError
from inkwash.eval.benchmarks import cvtg2k, dpg, geneval, imgedit, longtext, oneig_data, oneig_score, tiif
from inkwash.eval.metrics import words
from tests.unit.eval.benchmarks import official
from tests.unit.eval.benchmarks.test_text_scores import DATA


def given(name: str) -> Path:
    """A part of the user's folder; the test is skipped without it."""
    path = Path(DATA) / name
    if not DATA or not path.exists():
        pytest.skip(f"INKWASH_BENCHMARKS names no folder with {name}")
    return path


def test_cvtg2k_holds_what_the_paper_counts() -> None:
    prompts = cvtg2k.read_prompts(given("cvtg2k"))
    counts: dict[tuple[str, int], int] = {}
    for prompt in prompts:
        key = prompt.subset, prompt.area
        counts[key] = counts.get(key, 0) + len(words(prompt.wanted))
    assert len(prompts) == 2000
    assert [counts["CVTG", area] for area in cvtg2k.AREAS] == [953, 2099, 2695, 2361]
    assert [counts["CVTG-Style", area] for area in cvtg2k.AREAS] == [1016, 2150, 2722, 2210]
    assert sum(counts.values()) == sum(cvtg2k.REGION_WORDS.values()) == 16_206
    letters = sum(len("".join(word)) for prompt in prompts for word in words(prompt.wanted))
    assert (round(16_206 / 2000, 2), round(letters / 2000, 2)) == (8.10, 39.47)
    for area in cvtg2k.AREAS:
        assert counts["CVTG", area] + counts["CVTG-Style", area] == cvtg2k.REGION_WORDS[area]
    assert sum(not text.isascii() for prompt in prompts for text in prompt.wanted) == 21


def test_a_published_results_file_is_put_together_again() -> None:
    content = json.loads(given("textpecker_results.json").read_text())
    whole = cvtg2k.overall([cvtg2k.CvtgArea.from_official(row, "results.json") for row in content["area_results"]])
    assert (whole["total_images"], whole["total_words"], whole["correct_words"]) == (2000, 16_206, 12_292)
    for name in ("word_accuracy", "ned", "clipscore"):
        assert whole[name] == pytest.approx(content["overall_results"][name], abs=1e-12), name
    assert (round(whole["word_accuracy"], 5), round(whole["ned"], 5)) == (0.75848, 0.90265)
    assert round(whole["clipscore"], 5) == 0.79087


@pytest.mark.parametrize(("language", "total", "least", "most"), [("en", 4263, 10, 62), ("zh", 7944, 14, 111)])
def test_longtext_has_the_units_of_the_specification(language: str, total: int, least: int, most: int) -> None:
    prompts = longtext.read_prompts(given("longtext"), language)
    units = [len(longtext.units(" ".join(prompt.wanted), language)) for prompt in prompts]
    assert (len(units), sum(units), min(units), max(units)) == (160, total, least, most)
    assert [p.prompt_id for p in prompts] == [*range(80), *range(100, 140), *range(160, 200)]
    assert len({p.category for p in prompts}) == 8 and [p.length for p in prompts].count("long") == 80


ONEIG = {  # prompts of each set; questions of each set; units of the wanted texts
    "en": (
        {"anime": 245, "human": 244, "object": 206, "text": 200, "reasoning": 225},
        {"anime": 4176, "human": 4059, "object": 2996},
        3506,
    ),
    "zh": (
        {"anime": 245, "human": 244, "object": 206, "text": 200, "reasoning": 225, "multilingualism": 200},
        {"anime": 4151, "human": 4107, "object": 3010, "multilingualism": 2554},
        7608,
    ),
}


@pytest.mark.parametrize("language", ONEIG)
def test_oneig_is_complete(language: str) -> None:
    folder, (sets, questions, units) = given("oneig"), ONEIG[language]
    prompts = oneig_data.read_prompts(folder, language)
    assert {name: sum(p.set == name for p in prompts) for name in sets} == sets and len(prompts) == sum(sets.values())
    asked = oneig_data.read_questions(folder, language)
    assert {name: sum(len(q.questions) for q in asked if q.set == name) for name in questions} == questions
    wanted = oneig_data.read_texts(folder, language)
    assert sum(oneig_score.score_text(text, "").total for text in wanted.values()) == units
    chinese = sum(re.search("[\u4e00-\u9fff]", text) is not None for text in wanted.values())
    assert (len(wanted), chinese) == (200, 197 if language == "zh" else 0)
    assert len(oneig_data.read_answers(folder, language)) == 225
    styles = oneig_data.read_styles(folder)
    assert (len(styles), len(set(styles.values()))) == (114, 29)


@pytest.mark.parametrize(("split", "lines", "questions"), [("testmini", 277, 1446), ("test", 2538, 12_160)])
def test_tiif_is_complete(split: str, lines: int, questions: int) -> None:
    prompts = tiif.read_prompts(given("tiif"), split)
    assert (len(prompts), sum(len(prompt.questions) for prompt in prompts)) == (lines, questions)
    assert {prompt.type for prompt in prompts} == set(tiif.TYPES)
    no = sum(answer.lower() == "no" for prompt in prompts for answer in prompt.answers)
    assert split == "test" or no == 34


TIIF = [  # what the official script makes of the judge's kept answers: short, long
    ("GPT-4o", "sd3", 67.65, 66.22),
    ("GPT-4o", "sd_xl", 55.14, 42.30),
    ("GPT-4o", "Janus-Pro", 66.67, 65.19),
    ("GPT-4o", "GPT-4o", 89.32, 88.46),
    ("GPT-4o", "LlamaGen", 41.84, 38.39),
    ("GPT-4o", "Show-o", 59.89, 59.03),
    ("GPT-4o", "DALLE3", 76.18, 71.73),
    ("QwenVL", "GPT-4o", 84.19, 84.61),
]


@pytest.mark.parametrize(("judge", "system", "short", "long"), TIIF)
def test_kept_answers_of_tiif_judges_are_put_together_again(judge: str, system: str, short: float, long: float) -> None:
    place = given("tiif/eval-results/testmini_subset_eval_results") / f"testmini_subset_eval_results_{judge}" / system
    checked = tiif.read_results(place)
    scores = [round(tiif.score(checked, length).overall, 2) for length in tiif.LENGTHS]
    assert scores == [short, long]


def test_the_layout_of_kept_answers(tmp_path: Path) -> None:
    """The same layout, made up: one picture of every type and length, one type half wrong."""
    for kind in tiif.TYPES:
        for length in tiif.LENGTHS:
            predicted = ["Yes", "no"] if kind != "style" else ["yes", "yes"]
            row = {"gt_answers": ["yes", "no"], "model_pred": predicted, "model_output": "..."}
            official.write(tmp_path / kind / length / "0.json", json.dumps(row))
    checked = tiif.read_results(tmp_path)
    assert len(checked) == 2 * len(tiif.TYPES)
    assert tiif.score(checked, "short").groups["Style"] == 50.0
    assert tiif.score(checked, "long").overall == pytest.approx(100 * 8.5 / 9)
    with pytest.raises(ConfigError, match="no answers"):
        tiif.read_results(tmp_path / "style")
    official.write(tmp_path / "style" / "long" / "0.json", json.dumps({"gt_answers": ["yes"], "model_pred": []}))
    with pytest.raises(ConfigError, match="0 of 1 answers"):
        tiif.read_results(tmp_path)
    official.write(tmp_path / "style" / "long" / "0.json", "[]")
    with pytest.raises(ConfigError, match=r"0\.json is not an object"):
        tiif.read_results(tmp_path)


def test_dpg_and_geneval_are_complete() -> None:
    assert len(dpg.read_prompts(given("dpg"))) == 1065
    prompts = geneval.read_prompts(given("geneval"))
    counts = [sum(prompt.tag == task for prompt in prompts) for task in geneval.TASKS]
    assert counts == [80, 99, 80, 94, 100, 100] and len(prompts) == 553
    listed = (given("geneval") / "generation_prompts.txt").read_text().splitlines()
    assert [prompt.prompt for prompt in prompts] == listed


def test_imgedit_is_complete() -> None:
    cases = imgedit.read_cases(given("imgedit"))
    counts = [sum(case.kind == kind for case in cases) for kind in imgedit.KINDS]
    assert counts == [117, 100, 95, 94, 94, 92, 86, 36, 23] and len(cases) == 737
    assert set(imgedit.read_judge_prompts(given("imgedit"))) == set(imgedit.KINDS)
