"""Small benchmarks in the official file layouts, made up for the tests: nothing of the real data is kept here."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

CVTG_PROMPT = "A shop window with a sign 'Grand Opening' and a tag '50 percent' number {index}."


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    return write(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def table(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def cvtg2k(folder: Path, each: int = 2) -> Path:
    """Eight files of `each` prompts with two quoted texts of four words; indexes have gaps."""
    for subset in ("CVTG", "CVTG-Style"):
        for area in (2, 3, 4, 5):
            rows = [
                {
                    "index": 10 * i + area,
                    "prompt": CVTG_PROMPT.format(index=i),
                    "carrier_list": ["sign", "tag"],
                    "sentence_list": ["Grand Opening", "50 percent"],
                }
                for i in range(each)
            ]
            write(folder / subset / f"{area}.json", json.dumps({"data_list": rows}))
    return folder


def longtext(folder: Path) -> Path:
    """Four prompts per language in two categories, with a gap in the ids."""
    english = [["FRESH BREWS, EVERY MORNING,", "EVERY DAY"], ["one two"], ["e-mail us"], ["Café déjà vu"]]
    chinese = [["每日新鲜烘焙", "本地烘焙，始于1998"], ["你好 世界"], ["中央公园 - 2公里"], ["开放"]]
    for name, all_texts in (("text_prompts.jsonl", english), ("text_prompts_zh.jsonl", chinese)):
        rows = [
            {
                "category": ("sign", "label")[i // 2],
                "length": "short",
                "prompt": f"a picture that says {texts}",
                "text": texts,
                "text_length": 3,
                "prompt_id": (0, 1, 100, 101)[i],
            }
            for i, texts in enumerate(all_texts)
        ]
        lines(folder / name, rows)
    return folder


def oneig(folder: Path) -> Path:
    """Two prompts per set with questions, texts, answers and styles."""
    sets = ("Anime_Stylization", "Portrait", "General_Object", "Text_Rendering", "Knowledge_Reasoning")
    english = [[s, f"00{i}", f"prompt {s} {i}", "T", "short", "None"] for s in sets for i in (0, 1)]
    header = ("category", "id", "prompt_en", "type", "prompt_length", "class")
    table(folder / "OneIG-Bench.csv", header, english)
    chinese = [[s, f"00{i}", f"提示 {s} {i}", "None"] for s in (*sets, "Multilingualism") for i in (0, 1)]
    table(folder / "OneIG-Bench-ZH.csv", ("category", "id", "prompt_cn", "class"), chinese)
    asked = {
        "question": json.dumps({"1": "Is there a dog?", "2": "Is the dog brown?", "3": "Does it sit?"}),
        "dependency": json.dumps({"1": [0], "2": [1], "3": [2]}),
    }
    for name in ("anime", "human", "object", "anime_zh", "human_zh", "object_zh", "multilingualism_zh"):
        write(folder / "scripts/alignment/Q_D" / f"{name}.json", json.dumps({"000": asked, "001": asked}))
    table(folder / "scripts/text/text_content.csv", ("id", "text_content"), [["000", "['Joy', 'Rural Areas']"]])
    table(folder / "scripts/text/text_content_zh.csv", ("id", "text_content"), [["000", "['你好', 'OK']"]])
    write(folder / "scripts/reasoning/gt_answer.json", json.dumps({"000": "an apple falls"}))
    table(folder / "scripts/style/style.csv", ("id", "class"), [["000", "Pop Art"], ["001", ""]])
    return folder


def tiif(folder: Path, types: Iterable[str]) -> Path:
    """Two lines with two questions for each type."""
    for kind in types:
        rows = [
            {"type": kind, "short_description": f"{kind} {i}", "long_description": f"{kind} {i}, told at length"}
            for i in (0, 1)
        ]
        lines(folder / "data/testmini_prompts" / f"{kind}_prompts.jsonl", rows)
        asked = {"type": kind, "yn_question_list": ["Is it?", "Is it not?"], "yn_answer_list": ["Yes", "no"]}
        lines(folder / "data/testmini_eval_prompts" / f"{kind}_eval_prompts.jsonl", [asked, asked])
    return folder


DPG_HEADER = (
    "item_id",
    "text",
    "keywords",
    "proposition_id",
    "dependency",
    "category_broad",
    "category_detailed",
    "tuple",
    "question_natural_language",
)


def dpg(folder: Path, questions: Mapping[str, Sequence[tuple[int, str, str]]]) -> Path:
    """`dpg_bench.csv` from id -> (number, dependency, category)."""
    rows = [
        [key, f"text of {key}", "", str(n), parents, category.split(" - ")[0], "x", f"{category} (a)", f"Is {key} {n}?"]
        for key, asked in questions.items()
        for n, parents, category in asked
    ]
    table(folder / "dpg_bench.csv", DPG_HEADER, rows)
    return folder


def picture(path: Path, color: str | tuple[int, int, int] = "white", size: tuple[int, int] = (8, 8)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)
    return path


def geneval(folder: Path) -> Path:
    """One prompt per task, and a second one about counting."""
    tags = ("single_object", "two_object", "counting", "colors", "position", "color_attr", "counting")
    rows = [
        {"tag": tag, "include": [{"class": "bench", "count": 1 + i}], "prompt": f"a photo of {1 + i} benches"}
        for i, tag in enumerate(tags)
    ]
    lines(folder / "evaluation_metadata.jsonl", rows)
    return folder


def gedit(folder: Path) -> Path:
    """Two kinds with two edits in each language, the sources, and judge prompts of our own in the official form."""
    rows = [
        {
            "key": f"{kind}{i}{language}",
            "task_type": kind,
            "instruction": f"make it {kind} {i}",
            "instruction_language": language,
            "Intersection_exist": i == 0,
        }
        for kind in ("color_alter", "text_change")
        for i in (0, 1)
        for language in ("en", "cn")
    ]
    lines(folder / "gedit_bench.jsonl", rows)
    for row in rows:
        picture(folder / "sources" / f"{row['key']}.png", "gray", (64, 64))
    names = ("_context_no_delimit", "_prompts_0shot_two_image_edit_rule", "_prompts_0shot_tie_rule_SC")
    texts = ("Give scores.", "Two pictures.", "Instruction: <instruction>")
    content = "".join(f'{name} = """{text}"""\n' for name, text in zip(names, texts, strict=True))
    write(folder / "viescore" / "vie_prompts.py", content + '_prompts_0shot_rule_PQ = "Quality."\n')
    return folder


def imgedit(folder: Path) -> Path:
    """Nine kinds with one edit each."""
    kinds = ("extract", "style", "add", "adjust", "background", "replace", "remove", "action", "compose")
    cases = {
        f"{i:04d}": {"id": f"{kind}/{i}.jpg", "prompt": f"do {kind}", "edit_type": kind} for i, kind in enumerate(kinds)
    }
    write(folder / "basic_edit.json", json.dumps(cases))
    write(folder / "prompts.json", json.dumps({kind: f"{kind}: <edit_prompt>" for kind in kinds}))
    for case in cases.values():
        picture(folder / case["id"], "gray", (64, 64))
    return folder
