"""Prompt files in the official layouts: everything is read, nothing broken is skipped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inkwash.core.errors import ConfigError
from inkwash.eval.benchmarks import cvtg2k, dpg, gedit, geneval, imgedit, longtext, oneig_data, tiif
from tests.unit.eval.benchmarks import official


def test_cvtg2k_reads_eight_files(tmp_path: Path) -> None:
    prompts = cvtg2k.read_prompts(official.cvtg2k(tmp_path))
    assert len(prompts) == 16
    first = prompts[0]
    assert (first.subset, first.area, first.index, first.key) == ("CVTG", 2, 2, "CVTG/2/2")
    assert first.wanted == ("Grand Opening", "50 percent") and first.carriers == ("sign", "tag")
    assert first.image_path.example == "CVTG/2/2.png" and ".webp" not in first.image_path.suffixes


def test_a_limit_covers_every_file_and_grows_to_the_whole(tmp_path: Path) -> None:
    whole = cvtg2k.read_prompts(official.cvtg2k(tmp_path, each=3))
    assert {(p.subset, p.area) for p in cvtg2k.read_prompts(tmp_path, 8)} == {(p.subset, p.area) for p in whole}
    smaller: set[str] = set()
    for limit in (1, 8, 9, 23, 24, 100):
        keys = {prompt.key for prompt in cvtg2k.read_prompts(tmp_path, limit)}
        assert smaller <= keys and len(keys) == min(limit, 24)
        smaller = keys
    assert cvtg2k.read_prompts(tmp_path, 24) == whole
    with pytest.raises(ConfigError, match="at least 1"):
        cvtg2k.read_prompts(tmp_path, 0)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[]", "data_list"),
        ("{", "not JSON"),
        ('{"data_list": [1]}', "entry 1 is not an object"),
        ('{"data_list": [{"index": "7"}]}', "'index' is '7'; it must be a whole number"),
        ('{"data_list": [{"index": true}]}', "'index' is True"),
        ('{"data_list": [{"index": 7}]}', "no field 'prompt'"),
        ('{"data_list": [{"index": 7, "prompt": "", "carrier_list": [1]}]}', "list of strings"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, content: str, says: str) -> None:
    official.cvtg2k(tmp_path)
    official.write(tmp_path / "CVTG-Style" / "4.json", content)
    with pytest.raises(ConfigError, match=says) as caught:
        cvtg2k.read_prompts(tmp_path)
    assert "4.json" in caught.value.message


def test_an_absent_folder_and_wrong_bytes_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*2\.json: No such file"):
        cvtg2k.read_prompts(tmp_path / "nowhere")
    official.cvtg2k(tmp_path)
    (tmp_path / "CVTG" / "2.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(ConfigError, match="not UTF-8"):
        cvtg2k.read_prompts(tmp_path)


def test_an_index_twice_is_refused(tmp_path: Path) -> None:
    official.cvtg2k(tmp_path)
    path = tmp_path / "CVTG" / "3.json"
    rows = json.loads(path.read_text())["data_list"]
    official.write(path, json.dumps({"data_list": rows + rows[:1]}))
    with pytest.raises(ConfigError, match="twice"):
        cvtg2k.read_prompts(tmp_path)


def test_longtext_ids_name_the_pictures(tmp_path: Path) -> None:
    prompts = longtext.read_prompts(official.longtext(tmp_path), "en")
    assert [prompt.prompt_id for prompt in prompts] == [0, 1, 100, 101]
    assert [path.example for path in prompts[2].image_paths()] == [f"0100_{i}.png" for i in (1, 2, 3, 4)]
    assert prompts[0].wanted == ("FRESH BREWS, EVERY MORNING,", "EVERY DAY")
    assert {p.category for p in longtext.read_prompts(tmp_path, "zh", 2)} == {"sign", "label"}
    with pytest.raises(ConfigError, match="en and zh"):
        longtext.read_prompts(tmp_path, "de")


def test_longtext_without_a_text_is_refused(tmp_path: Path) -> None:
    official.longtext(tmp_path)
    row = {"category": "sign", "length": "short", "prompt": "x", "text": ["!?"], "prompt_id": 3}
    official.lines(tmp_path / "text_prompts.jsonl", [row])
    with pytest.raises(ConfigError, match="line 1 has no text"):
        longtext.read_prompts(tmp_path, "en")


def test_oneig_reads_both_editions(tmp_path: Path) -> None:
    prompts = oneig_data.read_prompts(official.oneig(tmp_path), "en")
    assert len(prompts) == 10 and prompts[0].key == "anime/000"
    assert prompts[0].image_path("nano").example == "anime/nano/000.webp"
    assert len(oneig_data.read_prompts(tmp_path, "zh")) == 12
    questions = oneig_data.read_questions(tmp_path, "en")
    assert len(questions) == 6 and questions[0].questions[2] == "Is the dog brown?" and questions[0].parents[3] == (2,)
    assert {asked.set for asked in oneig_data.read_questions(tmp_path, "zh")} == set(oneig_data.ALIGNED["zh"])
    assert oneig_data.read_texts(tmp_path, "en") == {"000": "['Joy', 'Rural Areas']"}
    assert oneig_data.read_texts(tmp_path, "zh") == {"000": "['你好', 'OK']"}
    assert oneig_data.read_answers(tmp_path, "en") == {"000": "an apple falls"}
    assert oneig_data.read_styles(tmp_path) == {"000": "pop_art"}


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"question": "{", "dependency": "{}"}, "not JSON"),
        ({"question": {"1": "a", "3": "b"}, "dependency": {}}, "without a gap"),
        ({"question": {"1": "a"}, "dependency": {"1": [7]}}, r"questions \[7\]"),
        ({"question": {"one": "a"}, "dependency": {}}, "no numbers"),
        ({"question": {"1": "a"}}, "not an object"),
    ],
)
def test_oneig_questions_must_hang_together(tmp_path: Path, asked: dict[str, object], says: str) -> None:
    official.oneig(tmp_path)
    official.write(tmp_path / "scripts/alignment/Q_D/human.json", json.dumps({"007": asked}))
    with pytest.raises(ConfigError, match=says) as caught:
        oneig_data.read_questions(tmp_path, "en")
    assert "human.json id 007" in caught.value.message


def test_csv_columns_are_checked(tmp_path: Path) -> None:
    official.oneig(tmp_path)
    official.table(tmp_path / "OneIG-Bench.csv", ("category", "id"), [["Portrait", "000"]])
    with pytest.raises(ConfigError, match="no column 'prompt_en'"):
        oneig_data.read_prompts(tmp_path, "en")
    official.table(tmp_path / "OneIG-Bench.csv", ("category", "id", "prompt_en", "class"), [["Portrait", "000"]])
    with pytest.raises(ConfigError, match="row 1 is shorter"):
        oneig_data.read_prompts(tmp_path, "en")
    official.table(tmp_path / "OneIG-Bench.csv", ("category", "id", "prompt_en", "class"), [["Cats", "0", "x", ""]])
    with pytest.raises(ConfigError, match="'Cats'"):
        oneig_data.read_prompts(tmp_path, "en")
    official.table(tmp_path / "scripts/text/text_content.csv", ("id", "text_content"), [["000", "Joy"]])
    with pytest.raises(ConfigError, match="row 1 is not a list"):
        oneig_data.read_texts(tmp_path, "en")


def test_tiif_lines_meet_their_questions(tmp_path: Path) -> None:
    prompts = tiif.read_prompts(official.tiif(tmp_path, ("shape+color", "text")))
    assert len(prompts) == 4
    assert prompts[1].image_path("nano", "long").example == "shape+color/nano/long_description/1.png"
    assert prompts[0].questions == ("Is it?", "Is it not?") and prompts[0].answers == ("Yes", "no")
    with pytest.raises(ConfigError, match="no prompt files"):
        tiif.read_prompts(tmp_path, "test")
    with pytest.raises(ConfigError, match="testmini and test"):
        tiif.read_prompts(tmp_path, "dev")
    path = tmp_path / "data/testmini_eval_prompts/text_eval_prompts.jsonl"
    path.write_text(path.read_text().splitlines()[0])
    with pytest.raises(ConfigError, match="equally many"):
        tiif.read_prompts(tmp_path)


def test_dpg_prompts_come_in_three_layouts(tmp_path: Path) -> None:
    pairs = [["partiprompts97", "a room"], ["whoops6", "a cat"]]
    for name in ("json", "csv", "txt"):
        folder = tmp_path / name
        if name == "json":
            official.write(folder / "prompts.json", json.dumps(pairs))
        elif name == "csv":
            official.dpg(folder, {key: [(1, "0", "entity - whole")] for key, _ in pairs})
        else:
            for key, text in pairs:
                official.write(folder / "prompts" / f"{key}.txt", text + "\n")
        prompts = dpg.read_prompts(folder)
        assert [prompt.id for prompt in prompts] == ["partiprompts97", "whoops6"]
        assert prompts[0].image_path.example == "partiprompts97.png"
        assert len(dpg.read_prompts(folder, 1)) == 1
    official.write(tmp_path / "json/prompts.json", '[["a"]]')
    with pytest.raises(ConfigError, match="pairs"):
        dpg.read_prompts(tmp_path / "json")
    with pytest.raises(ConfigError, match=r"no prompts\.json"):
        dpg.read_prompts(tmp_path)


CLOCK, DOG, TIE = {"class": "clock"}, {"class": "dog", "count": 1}, {"class": "tie", "count": 1}
GENEVAL = [
    {"tag": "counting", "include": [{**CLOCK, "count": 2}], "exclude": [{**CLOCK, "count": 3}]},
    {"tag": "position", "include": [DOG, {**TIE, "position": ["right of", 0]}]},
    {"tag": "colors", "include": [{"class": "car", "count": 1, "color": "pink"}]},
]


def test_geneval_keeps_numbers_and_lines(tmp_path: Path) -> None:
    rows = [{**row, "prompt": f"prompt {i}"} for i, row in enumerate(GENEVAL)]
    official.lines(tmp_path / geneval.METADATA, rows)
    prompts = geneval.read_prompts(tmp_path)
    assert [prompt.number for prompt in prompts] == [0, 1, 2]
    assert prompts[0].exclude[0].count == 3 and prompts[2].include[0].color == "pink"
    assert prompts[1].include[1].relation == ("right of", 0)
    assert [path.example for path in prompts[1].image_paths()][-1] == "00001/samples/0003.png"
    assert json.loads(prompts[1].metadata()) == rows[1]
    official.lines(tmp_path / geneval.METADATA, [{"tag": "smell", "include": [], "prompt": "x"}])
    with pytest.raises(ConfigError, match="'smell'"):
        geneval.read_prompts(tmp_path)


def test_gedit_takes_one_language(tmp_path: Path) -> None:
    row = {"key": "k1", "task_type": "color_alter", "instruction": "make it red", "Intersection_exist": True}
    rows = [{**row, "instruction_language": language} for language in ("en", "cn")]
    path = official.lines(tmp_path / "gedit.jsonl", rows)
    (prompt,) = gedit.read_prompts(path, "cn")
    assert prompt.image_path.example == "fullset/color_alter/cn/k1.png" and prompt.intersection
    assert prompt.source_path.example == "fullset/color_alter/cn/k1_SRCIMG.png"
    with pytest.raises(ConfigError, match="'zh'"):
        gedit.read_prompts(path, "zh")


def test_imgedit_cases_and_judge_prompts(tmp_path: Path) -> None:
    case = {"id": "animal/000.jpg", "prompt": "add a hat", "edit_type": "add"}
    official.write(tmp_path / "basic_edit.json", json.dumps({"1082": case}))
    official.write(tmp_path / "prompts.json", json.dumps({kind: f"{kind}: <edit_prompt>" for kind in imgedit.KINDS}))
    (read,) = imgedit.read_cases(tmp_path)
    assert (read.key, read.source, read.image_path.example) == ("1082", "animal/000.jpg", "1082.png")
    assert imgedit.judge_prompt(imgedit.read_judge_prompts(tmp_path), read) == "add: add a hat"
    official.write(tmp_path / "basic_edit.json", json.dumps({"1": {**case, "edit_type": "dance"}}))
    with pytest.raises(ConfigError, match="'dance'"):
        imgedit.read_cases(tmp_path)
    official.write(tmp_path / "prompts.json", json.dumps({"add": "x"}))
    with pytest.raises(ConfigError, match="'extract'"):
        imgedit.read_judge_prompts(tmp_path)
