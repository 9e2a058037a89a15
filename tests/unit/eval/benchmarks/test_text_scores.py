"""The three text benchmarks, to the last digit given, and the laws their scores keep for any strings."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inkwash.core.errors import ConfigError
from inkwash.eval.benchmarks import cvtg2k, longtext, oneig_score
from inkwash.eval.benchmarks.lettering import kept, matches, without_refusal
from inkwash.eval.metrics import score_words
from tests.unit.eval.benchmarks import official

DATA = os.environ.get("INKWASH_BENCHMARKS", "")  # read here: the test suite clears the variables of the package


def picture(wanted: Sequence[str], read: Sequence[str], *, subset: str = "CVTG", area: int = 2) -> cvtg2k.CvtgPicture:
    prompt = "".join(f"'{text}' " for text in wanted)
    asked = cvtg2k.CvtgPrompt(subset=subset, area=area, index=0, prompt=prompt, carriers=(), sentences=())
    return cvtg2k.score_picture(asked, read)


VECTORS = [
    (["Grand Opening", "50 percent"], ["GRAND OPENlNG", "50 percent off"], 4, 3, [1, 0.857143, 1, 1]),
    (["Café"], ["Cafe"], 1, 0, [0.750001]),
    (["Summer Sale"], ["SummerSale"], 2, 0, [0.600000, 0.400001]),
    (["A A"], ["a"], 2, 2, [1, 1]),
    (["Hello"], [], 1, 0, [2e-6]),
]


@pytest.mark.parametrize(("wanted", "read", "total", "correct", "ned"), VECTORS)
def test_cvtg_unit_vectors(wanted: list[str], read: list[str], total: int, correct: int, ned: list[float]) -> None:
    scored = picture(wanted, read).words
    assert (scored.total, scored.correct) == (total, correct)
    assert [round(value, 6) for value in scored.closeness] == ned


def test_quotes_are_found_as_the_scorer_finds_them() -> None:
    assert cvtg2k.quoted("a 'B c' and 'd'") == ("B c", "d")
    assert cvtg2k.quoted("it's 'x' and 'y'") == ("s ", " and ")  # the official rule, apostrophes and all
    assert cvtg2k.quoted("nothing") == ()


PUBLISHED_REGIONS = {  # published columns for 2, 3, 4, 5 regions; what weighting by words makes of them
    "SD3.5 Large": ((0.7293, 0.6825, 0.6574, 0.5940), 0.6548),
    "FLUX.1 dev": ((0.6089, 0.5531, 0.4661, 0.4316), 0.4965),
    "TextCrafter": ((0.7628, 0.7628, 0.7406, 0.6977), 0.7370),
    "3DIS": ((0.4495, 0.3959, 0.3880, 0.3303), 0.3813),
    "Qwen-Image": ((0.8370, 0.8364, 0.8313, 0.8158), 0.8290),
    "GPT Image 1": ((0.8779, 0.8659, 0.8731, 0.8218), 0.8573),
    "Seedream 3.0": ((0.6282, 0.5962, 0.6043, 0.5610), 0.5929),
}


@pytest.mark.parametrize("model", PUBLISHED_REGIONS)
def test_published_columns_weigh_by_words(model: str) -> None:
    columns, average = PUBLISHED_REGIONS[model]
    assert round(cvtg2k.from_regions(dict(zip(cvtg2k.AREAS, columns, strict=True))), 4) == average


def test_all_four_columns_are_needed() -> None:
    with pytest.raises(ConfigError, match=r"\[2, 3\]"):
        cvtg2k.from_regions({2: 1.0, 3: 1.0})


def test_clipscore_clips_and_weighs_by_pictures() -> None:
    assert cvtg2k.clip_score(0.31) == 0.775 and cvtg2k.clip_score(-0.2) == 0.0
    areas = [
        cvtg2k.CvtgArea(
            subset="CVTG", area=area, total_images=images, total_words=1, correct_words=1, neds=(1.0,), clipscore=clip
        )
        for area, images, clip in ((2, 3, 0.8), (3, 1, 0.4))
    ]
    assert cvtg2k.overall(areas)["clipscore"] == pytest.approx(0.7)


def published_areas() -> list[dict[str, object]]:
    """Eight areas that add up to a published results file: 12,292 of 16,206 words, NED .90265, CLIPScore .79087."""
    sizes = {"CVTG": ((200, 953), (301, 2099), (300, 2695), (201, 2361))}
    sizes["CVTG-Style"] = ((200, 1016), (299, 2150), (302, 2722), (197, 2210))
    rows: list[dict[str, object]] = []
    left = 12_292
    for subset, counts in sizes.items():
        for area, (images, total) in zip(cvtg2k.AREAS, counts, strict=True):
            correct = min(left, total * 4 // 5) if (subset, area) != ("CVTG-Style", 5) else left
            left -= correct
            rows.append(
                {
                    "benchmark_type": subset,
                    "area": area,
                    "total_images": images,
                    "total_words": total,
                    "correct_words": correct,
                    "ned_word_data": [0.90265] * total,
                    "clipscore": 0.79087,
                }
            )
    return rows


def test_an_official_results_file_is_put_together_again() -> None:
    areas = [cvtg2k.CvtgArea.from_official(row, "results.json") for row in published_areas()]
    whole = cvtg2k.overall(areas)
    assert (whole["total_images"], whole["total_words"], whole["correct_words"]) == (2000, 16_206, 12_292)
    assert round(whole["word_accuracy"], 5) == 0.75848
    assert round(whole["ned"], 5) == 0.90265 and round(whole["clipscore"], 5) == 0.79087
    row = {key: value for key, value in published_areas()[0].items() if key != "total_words"}
    with pytest.raises(ConfigError, match=r"results\.json has no field 'total_words'"):
        cvtg2k.CvtgArea.from_official(row, "results.json")


def report() -> cvtg2k.CvtgReport:
    pictures = [
        picture(["a b", "c"], ["a", "c"], area=2),
        picture(["one two three four"], ["one two"], subset="CVTG-Style", area=2),
        picture(["x"], ["x"], area=5),
    ]
    return cvtg2k.CvtgReport(pictures=tuple(pictures), judge="j")


def test_regions_pool_both_subsets_and_areas_do_not() -> None:
    whole = report()
    assert whole.word_accuracy == 5 / 8
    assert {area: part.word_accuracy for area, part in whole.regions().items()} == {2: 4 / 7, 5: 1.0}
    assert [(a.subset, a.area, a.total_words) for a in whole.areas()] == [
        ("CVTG", 2, 3),
        ("CVTG", 5, 1),
        ("CVTG-Style", 2, 4),
    ]


def test_the_official_file_repeats_the_whole() -> None:
    results = json.loads(json.dumps(cvtg2k.official_results(report())))
    assert results["overall_results"]["word_accuracy"] == report().word_accuracy
    assert results["overall_results"]["ned"] == pytest.approx(report().ned, abs=1e-15)
    again = [cvtg2k.CvtgArea.from_official(row, "file") for row in results["area_results"]]
    assert again == report().areas()


def test_longtext_unit_vectors(tmp_path: Path) -> None:
    official.longtext(tmp_path)
    english = longtext.read_prompts(tmp_path, "en")
    first = longtext.score_picture(english[0], ["Fresh brews every morning day"])
    assert (first.matched, first.total) == (5, 6)
    chinese = longtext.read_prompts(tmp_path, "zh")
    second = longtext.score_picture(chinese[0], ["每日新鲜烘焙\n本地烘始于1998"])
    assert (second.matched, second.total) == (15, 16)
    report = longtext.LongTextReport(pictures=(first, longtext.score_picture(english[1], [])), judge="j")
    assert report.text_score == 5 / 8 and list(report.categories()) == ["sign"]


def test_longtext_normalisation() -> None:
    assert longtext.units("E-mail  us!\nCAFÉ", "en") == ["email", "us", "café"]
    assert longtext.units("中央公园 - 2公里 Ab", "zh") == list("中央公园2公里Ab")
    assert longtext.units("ñß", "en") == []
    assert without_refusal("addCriterion a No text recognized.") == "addCriterion a "


def test_oneig_unit_vectors() -> None:
    pairs = [
        ("['The Impact of 5G Technology', 'Urban Areas', 'Rural']", "The Impact of 5G Technology\nUrban Area\nRural"),
        ("['Joy']", "JOY"),
    ]
    scored = oneig_score.text_score([oneig_score.score_text(wanted, read) for wanted, read in pairs], "en")
    assert (scored.edit_distance, scored.completion) == (1.5, 0.0)
    assert round(scored.word_accuracy, 6) == 0.777778
    assert round(scored.score, 6) == 0.996667


def test_oneig_text_by_hand() -> None:
    assert oneig_score.prepared("['你好', 'Ok go']") == "你好Okgo"
    assert oneig_score.prepared("['Ok  go', 'x']") == "Ok go x"
    chinese = oneig_score.score_text("['你好', 'Ok']", "你 好 ok")
    assert (chinese.distance, chinese.matched, chinese.total) == (1, 3, 4)
    blank = [oneig_score.score_text(f"['{'a' * 200}']", "")]
    assert oneig_score.text_score(blank, "en").score == 0.0  # distance counts up to 100 only
    assert oneig_score.text_score([oneig_score.score_text("['a']", "a")], "zh").score == 1.0
    with pytest.raises(ConfigError, match="wanted texts"):
        oneig_score.text_score([], "en")


TEXT = st.text(st.sampled_from("abcXYZ éÉ'你好-. 1\n"), max_size=14)
TEXTS = st.lists(TEXT, max_size=4)


@settings(deadline=None)
@given(TEXTS, TEXTS, st.sampled_from(["en", "zh"]))
def test_longtext_is_a_recall(wanted: list[str], extra: list[str], language: str) -> None:
    asked = longtext.LongTextPrompt(
        language=language, prompt_id=0, category="sign", length="short", prompt="", wanted=tuple(wanted)
    )
    perfect = longtext.score_picture(asked, [*wanted, *extra])
    assert perfect.matched == perfect.total == len(longtext.units(" ".join(wanted), language))
    partial = longtext.score_picture(asked, extra)
    assert 0 <= partial.matched <= partial.total
    assert longtext.score_picture(asked, extra[::-1]).matched == partial.matched, "order does not matter"


@settings(deadline=None)
@given(TEXT, TEXT)
def test_counting_only_what_counts(a: str, b: str) -> None:
    assert kept(kept(a)) == kept(a) and set(kept(a)) <= set(a)
    assert matches(a, b) == matches(b, a) <= min(len(a), len(b))
    assert matches(a, a) == len(a)


@settings(deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4))
def test_oneig_text_stays_in_its_range(pairs: list[tuple[str, str]]) -> None:
    scored = [oneig_score.score_text(f"['x{wanted}']", read) for wanted, read in pairs]
    result = oneig_score.text_score(scored, "en")
    assert 0.0 <= result.score <= 1.0
    assert (result.completion == 1.0) == all(picture.distance == 0 for picture in scored)
    perfect = [oneig_score.score_text(f"['x{wanted}']", f"x{wanted}") for wanted, _ in pairs]
    assert oneig_score.text_score(perfect, "en").score == 1.0


@settings(deadline=None)
@given(st.lists(st.tuples(TEXTS, TEXTS, st.sampled_from(cvtg2k.SUBSETS), st.sampled_from(cvtg2k.AREAS)), max_size=6))
def test_areas_always_add_up_to_the_whole(rows: list[tuple[list[str], list[str], str, int]]) -> None:
    pictures = tuple(picture(wanted, read, subset=subset, area=area) for wanted, read, subset, area in rows)
    whole = cvtg2k.CvtgReport(pictures=pictures, judge="j")
    if not whole.words:
        return
    together = cvtg2k.overall(whole.areas())
    assert together["word_accuracy"] == whole.word_accuracy and together["total_images"] == len(pictures)
    assert together["ned"] == pytest.approx(whole.ned, abs=1e-12)
    parts = whole.regions()
    assert sum(part.correct for part in parts.values()) == whole.correct


def test_a_picture_without_words_is_scored_like_the_words_alone() -> None:
    assert score_words(["a b"], ["b"]) == picture(["a b"], ["b"]).words


def test_two_thousand_readings_are_scored_within_two_seconds() -> None:
    """By the processor's clock, which a busy machine does not disturb; half of the words are misread."""
    texts = [["grand opening", "50 percent off", f"summer sale {i}", "fresh bread"] for i in range(2000)]
    asked = [
        (picture(wanted, []).prompt, [text if k % 2 else text[1:] + "x" for k, text in enumerate(wanted)])
        for wanted in texts
    ]
    start = time.process_time()
    scored = tuple(cvtg2k.score_picture(prompt, read) for prompt, read in asked)
    assert (
        cvtg2k.official_results(cvtg2k.CvtgReport(pictures=scored, judge="j"))["overall_results"]["total_images"]
        == 2000
    )
    assert time.process_time() - start < 2.0
