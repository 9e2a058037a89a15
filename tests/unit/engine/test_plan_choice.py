"""Plans are read by the labels of their codes, and the best of several is drawn: the same in every way of drawing."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from inkwash.core.errors import RequestError, WeightsError
from inkwash.engine.ar import fill_plans
from inkwash.engine.pipeline import GlmImagePipeline
from inkwash.engine.plan_choice import (
    ALIGNED,
    RIGHT,
    RIGHT_EDIT,
    UNREADABLE,
    PlanChoice,
    PlanJudge,
    PlanReader,
    candidate_generator,
)
from inkwash.engine.prompt_reading import wanted_words
from inkwash.engine.readback import WantedTexts
from inkwash.engine.request import DrawRequest, Watch
from inkwash.engine.scheduler import Engine
from inkwash.models.glm_image.code_labels import COLUMNS, LABELS_FILE, CodeLabels
from inkwash.models.glm_image.folder import DrawingDefaults
from inkwash.models.glm_image.weights import load_pipeline_parts
from inkwash.models.registry import defaults_of

# Codes: "." is the ground; a letter is its whole character; "1A" is the first quarter of a large A; "cat" begins a
# cat, "cat-" goes on with it.
CHARACTERS, THINGS, COLORS = tuple("ABCDEO"), ("cat", "sun"), ("red", "blue", "green")
CONTRAST = np.array([[1.0, 1.5, 5.0], [1.5, 1.0, 5.0], [5.0, 5.0, 1.0]])
NAMES = [".", *CHARACTERS, *(f"{q}{c}" for c in CHARACTERS for q in (1, 2, 3, 4)), "cat", "cat-", "sun", "sun-"]


def labels_of(names: Sequence[str], further: Mapping[str, Sequence[str]] | None = None) -> CodeLabels:
    """A code for every name; `further` are other things that the code of a name shows as well, in 20 % of its cells."""
    rows = []
    for code, name in enumerate(names):
        for each, share in ((name, 70), *((other, 20) for other in (further or {}).get(name, ()))):
            sign = each[-1] if each[:-1] in ("", "1", "2", "3", "4") else "."
            character = CHARACTERS.index(sign) if sign in CHARACTERS else -1
            thing = THINGS.index(each.rstrip("-")) if each.rstrip("-") in THINGS else -1
            quarter = int(each[0]) if character >= 0 and len(each) == 2 else 0
            if character >= 0 or thing >= 0:
                rows.append((code, character, quarter, thing, int(each in THINGS), share))
    arrays = dict(zip(COLUMNS, np.array(rows, dtype=np.int64).T, strict=True))
    untold = np.full(len(names), -1)
    told = {"characters": CHARACTERS, "things": THINGS, "colors": COLORS, "contrast": CONTRAST}
    return CodeLabels(codes=len(names), ink=untold, ground=untold, **told, **arrays)


def colored(*, inks: Mapping[str, str] = MappingProxyType({}), ground: str | None = None) -> PlanReader:
    """One for which letters have these colours, and the free ground has one."""
    labels = labels_of(NAMES)
    ink = np.array([COLORS.index(inks[name]) if name in inks else -1 for name in NAMES])
    grounds = np.array([COLORS.index(ground) if ground and name == "." else -1 for name in NAMES])
    return PlanReader(replace(labels, ink=ink, ground=grounds))


READER = PlanReader(labels_of(NAMES))


def grid(*rows: str) -> Tensor:
    return torch.tensor([[NAMES.index(name) for name in row.split()] for row in rows])


def test_lines_of_whole_and_large_characters() -> None:
    read = READER.lines(
        grid(
            ". A B . C . . .",
            ". . . . . . . .",
            "1D 2D 1O 2O . . 1A 2A",
            "3D 4D 3O 4O . . 3A 4A",
            "E . . . . . . E",
        )
    )
    assert read == ["AB C", "DO A", "E E"]


@pytest.mark.parametrize(
    "rows",
    [
        ("1D 2O", "3O 4D"),  # quarters of two characters
        ("1D 2D", ". ."),  # two are missing
        ("2D 1D", "4D 3D"),  # in another order
        (". .", "3D 4D"),  # a lower half alone
        ("1D 2D",),  # an upper half alone
    ],
)
def test_a_large_character_of_parts_that_do_not_fit_is_unreadable(rows: tuple[str, ...]) -> None:
    read = "".join(READER.lines(grid(*rows)))
    assert "D" not in read and UNREADABLE in read
    judge = PlanJudge(reader=READER, grid=(len(rows), 2), wanted=WantedTexts(texts=("D",)))
    assert judge.score(grid(*rows).flatten()) < 1


def test_a_code_that_shows_several_is_read_as_what_is_wanted() -> None:
    """The upper left quarters of B, D and E look alike; so do a whole O and C."""
    further = {"1D": ["1B", "1E"], "O": ["C"], "A": ["2B"], "cat": ["sun"]}
    reader = PlanReader(labels_of(NAMES, further))
    large = grid("1D 2B . O", "3B 4B . A")
    assert reader.lines(large) == ["O", "B", "A"] == reader.lines(large, ["ODA"])
    assert reader.lines(large, ["CBA"]) == ["C", "B", "A"] == reader.lines(large, ["cb"])
    assert reader.lines(grid("1D 2D", "3D 4D"), ["B"]) == ["D"], "the other quarters show no B"
    assert reader.lines(grid("A A", "D D"), ["B"]) == ["AA", "DD"], "whole letters are no quarters"
    assert reader.lines(grid("O . O O"), ["CO", "O"]) == ["C OO"], "each place is read once"
    cats = grid("cat cat- sun sun-")
    assert reader.things(cats) == {"cat": 1, "sun": 1} and reader.things(cats, ["sun"]) == {"sun": 2}
    judge = PlanJudge(reader=reader, grid=(1, 2), wanted=WantedTexts(texts=("CA",)))
    assert judge.score(grid("O A").flatten()) == 1.0 > judge.score(grid("D A").flatten())


def test_words_of_colours_kinds_and_styles_are_no_things() -> None:
    limits = defaults_of("nano").limits
    none = ["on a ticket", "snow white background, cherry red text", "an orange background", "text in jet black"]
    none += ["on a sunny yellow note", "inside a pure white bubble", "on a royal purple ribbon", "as an ivory ticket"]
    none += ["this picture presents a sign", "a rose background", "an award ribbon", "no balloons", "图书封面"]
    assert [prompt for prompt in none if wanted_words(prompt, limits).things] == []
    some = {
        "a red rose on a card": "rose",
        "a plane": "airplane",
        "5 tickets": "ticket",
        "snow, white letters": "snowflake",
    }
    some |= {"a book cover with a book": "book", "a golden crown": "crown", "three presents": "gift", "一棵树": "tree"}
    assert {prompt: wanted_words(prompt, limits).things[0][0] for prompt in some} == some


@pytest.mark.parametrize("rows", [("1D 2O", "3D 4D"), ("1D 2D", "3D ."), ("1D 2D", "A 4D")])
def test_three_quarters_tell_a_large_character(rows: tuple[str, ...]) -> None:
    """The fourth cell may have a rare code; the glyphs of the prompt tell the decoder the rest."""
    assert READER.lines(grid(*rows)) == ["D"]


def test_things_are_counted_where_they_begin() -> None:
    cats = grid("cat cat- cat cat-", "cat- cat- cat- cat-", ". . sun sun-", ". . sun- sun-")
    assert READER.things(cats) == {"cat": 2, "sun": 1}
    judge = PlanJudge(reader=READER, grid=(4, 4), wanted=WantedTexts(texts=()), things=(("cat", 2), ("sun", None)))
    assert judge.score(cats.flatten()) == 1.0
    assert replace(judge, things=(("cat", 3), ("sun", 1))).score(cats.flatten()) == pytest.approx(
        0.05 / 0.3 + 0.25 / 0.3 * 0.75
    )
    assert judge.score(grid(*[". . . ."] * 4).flatten()) == 0.0


def test_texts_weigh_more_than_things() -> None:
    judge = PlanJudge(reader=READER, grid=(1, 4), wanted=WantedTexts(texts=("AB",)), things=(("cat", 1),))
    words, cat = judge.score(grid("A B . .").flatten()), judge.score(grid("cat . . .").flatten())
    assert (words, cat) == (0.75, 0.25)
    assert judge.score(grid("A B . cat").flatten()) == 1.0


@pytest.mark.parametrize(
    ("rows", "share"),
    [
        (("A B . .", ". . . .", "D O . E"), 1.0),  # flush on the left, with an empty row between
        ((". . A B", ". D O E"), 1.0),  # on the right
        (("A B D O", ". . E .", ". E E ."), 1.0),  # centred, to half a cell
        ((". . A B", "D . . ."), 0.0),
        (("A B . .", "D . . .", ". . . E"), 0.5),
        (("A B . .", ". . . .", ". . . .", ". . . E"), None),  # another text
        ((". . . .", "cat cat- . .", ". . A B"), None),  # things are no lines
    ],
)
def test_lines_are_aligned(rows: tuple[str, ...], share: float | None) -> None:
    assert READER.aligned(grid(*rows)) == share


def test_aligned_lines_win_and_an_edit_keeps_its_layout() -> None:
    judge = PlanJudge(reader=READER, grid=(2, 4), wanted=WantedTexts(texts=("AB DO",)))
    neat, loose = grid(". A B .", ". D O .").flatten(), grid("A B . .", ". D O .").flatten()
    assert judge.score(neat) == 1.0 > judge.score(loose) > judge.score(grid(". A B .", ". D E .").flatten())
    assert replace(judge, edit=True).score(loose) == 1.0


@pytest.mark.parametrize(
    ("row", "score"), [(". A B .", 1.0), ("A . . .", 0.5), (". . . .", 1.0), ("A B . .", 0.75), ("A B C .", 1.0)]
)
def test_what_is_shown_stands_in_the_middle(row: str, score: float) -> None:
    """One column more on a side is no fault: an odd text on an even grid has it."""
    assert READER.balance(grid(row)) == score


def test_a_word_stands_in_one_line() -> None:
    judge = PlanJudge(reader=READER, grid=(2, 4), wanted=WantedTexts(texts=("AB DO",)))
    scores = [
        judge.score(grid(*rows).flatten())
        for rows in [("A B . .", "D O . ."), ("A B . D", "O . . ."), ("A . . B", "D O . ."), (". . . .", "A B D .")]
    ]
    assert scores[0] == 1.0 and scores[2] == scores[1] > scores[3] > 0
    assert scores[1] == pytest.approx(((0.7 + 0.3 / 3) * 0.75 + ALIGNED) / (0.75 + ALIGNED)), (
        "one word of three is whole"
    )
    more, edit = (
        grid("A B . .", "D O . E").flatten(),
        replace(judge, edit=True, wanted=WantedTexts(texts=("AB DO",), spare=1)),
    )
    assert judge.score(more) < edit.score(more) == 1.0
    long = PlanJudge(reader=READER, grid=(2, 2), wanted=WantedTexts(texts=("ABDO",)))
    assert long.score(grid("A B", "D O").flatten()) == 1.0, "no line holds it"


def test_letters_that_nobody_asked_for() -> None:
    judge = PlanJudge(reader=READER, grid=(1, 4), wanted=WantedTexts(texts=()), things=(("cat", 1),))
    assert judge.score(grid("A . . cat").flatten()) < judge.score(grid(". . . cat").flatten()) == 1.0


def test_layout_decides_between_plans_that_say_the_same() -> None:
    judge = PlanJudge(reader=READER, grid=(2, 6), wanted=WantedTexts(texts=("D",)), balanced=True, large=True)
    plans = {
        "large": grid(". . 1D 2D . .", ". . 3D 4D . ."),
        "small": grid(". . D . . .", ". . . . . ."),
        "aside": grid("1D 2D . . . .", "3D 4D . . . ."),
        "wrong": grid(". . 1E 2E . .", ". . 3E 4E . ."),
    }
    scores = {name: judge.score(plan.flatten()) for name, plan in plans.items()}
    assert scores["large"] > RIGHT > max(scores["small"], scores["aside"])
    assert min(scores["small"], scores["aside"]) > scores["wrong"]


def test_what_a_prompt_asks_for() -> None:
    limits = defaults_of("nano").limits
    assert limits is not None
    thing, size = next(thing.name for thing in limits.things if thing.name not in THINGS), (8, 8)
    quoted = PlanJudge.of(READER, 'A sign "ABC"', size, limits=limits)
    assert quoted is not None and quoted.wanted.texts == ("ABC",) and not quoted.things and quoted.balanced
    bare = PlanJudge.of(READER, "a sign that says ABC", size, limits=limits)
    assert bare is not None and bare.wanted.texts == ("ABC",)
    aside = PlanJudge.of(READER, 'A sign, "ABC" on the left', size, limits=limits)
    assert aside is not None and not aside.balanced
    something = PlanJudge.of(READER, f"two {thing}s", size, limits=limits)  # which no code is labelled with
    assert something is not None and not something.things
    assert something.score(grid(*[". . . . . . . ."] * 8).flatten()) == 0.0
    assert PlanJudge.of(READER, "a plain blue background", size, limits=limits) is None
    edit = PlanJudge.of(READER, 'Change "AB" to "CD"', (1, 4), [grid("A B . E")], limits)
    assert edit is not None and edit.wanted.texts == ("CD",) and not edit.balanced
    assert edit.score(grid("C D . E").flatten()) >= RIGHT_EDIT and edit.score(grid("A B . E").flatten()) < 0.5
    kept = PlanJudge.of(READER, "Make it blue", (1, 4), [grid("A B . E")], limits)
    assert kept is not None and not kept.wanted.texts and kept.wanted.kept == ("AB E",)


def test_things_of_a_prompt_and_their_number() -> None:
    limits = defaults_of("nano").limits
    assert limits is not None
    found = wanted_words("three blue circles, a square and stars", limits)
    assert found.things == (("circle", 3), ("square", 1), ("star", None)) and not found.blank
    found = wanted_words('no circles, "two squares", 4 stars in large letters on the left', limits)
    assert found.things == (("star", 4),) and found.texts == ("two squares",) and found.large and found.placed
    assert wanted_words("A poster that says HELLO", limits).texts == ("HELLO",)
    assert wanted_words('A poster "HELLO that', limits).texts == ()


class Fixed(PlanJudge):
    """Scores that are given, by the token of a plan."""

    scores: Sequence[float] = ()

    def score(self, tokens: Tensor) -> float:
        return type(self).scores[int(tokens)]


@pytest.mark.parametrize(
    ("scores", "candidates", "rounds", "best"),
    [
        ([1.0, 1.0], 8, [[0]], 0),
        ([0.5, 0.2, 1.0, 1.0, 0.9], 8, [[0], [1, 2, 3]], 2),
        ([0.5, 0.2, 0.8, 0.8] + [0.1] * 4, 8, [[0], [1, 2, 3], [4, 5, 6, 7]], 2),
        ([0.5, 0.5, 0.5, 0.5, 0.5, 0.6], 6, [[0], [1, 2, 3], [4, 5]], 5),
        ([0.0, 0.0], 2, [[0], [1]], 0),
        ([0.0], 1, [[0]], 0),
    ],
)
def test_rounds_end_with_a_right_plan_and_the_first_of_the_best_is_kept(
    scores: list[float], candidates: int, rounds: list[list[int]], best: int
) -> None:
    Fixed.scores = scores
    judge = Fixed(reader=READER, grid=(1, 1), wanted=WantedTexts(texts=()))
    choice, seen = PlanChoice(judge, candidates), []
    while numbers := choice.next_round():
        seen.append(list(numbers))
        for number in random.Random(0).sample(numbers, len(numbers)):
            assert choice.open
            choice.add(number, torch.tensor([number]))
        assert not choice.open
    assert seen == rounds and choice.best.tolist() == [best]


@pytest.fixture(scope="module")
def choosing(tiny_folder: Path) -> GlmImagePipeline:
    """A tiny pipeline whose codes are labelled by chance, and which samples up to six plans."""
    parts = load_pipeline_parts(tiny_folder, dtype=torch.float32)
    codes, rng = parts.ar.config.vq_config.num_embeddings, random.Random(1)
    limits = defaults_of("nano").limits
    parts.code_labels = labels_of([rng.choice(NAMES[:7]) for _ in range(codes)])
    parts.drawing = DrawingDefaults(plan_candidates=6, limits=limits)
    return GlmImagePipeline(parts)


REQUEST = DrawRequest(prompt='A sign "A"', height=64, width=96, num_inference_steps=1, seed=3, num_images=3)


def test_the_best_of_the_candidates_is_drawn(choosing: GlmImagePipeline) -> None:
    stages = choosing.stages
    prepared = choosing.prepare(REQUEST)
    (judge,) = stages.judges([REQUEST.prompt], prepared.prompts, [[]], 6)
    assert judge is not None
    changed = 0
    plan = choosing.draw(REQUEST).plan.prior_token_ids
    for index in range(3):
        found: list[tuple[float, Tensor]] = []
        for number in range(6):
            generator = candidate_generator(prepared.plan_seeds[index], number)
            one = stages.plans(prepared.prompts, [[]], [0], [generator], prepared.sampling, Watch())[0]
            ids = one.view(2, 2, 3, 2)[:, 0, :, 0].flatten()  # of the picture, before they were repeated
            found.append((judge.score(ids), one))
        rounds = [found[:1], found[:4], found]
        kept = next((each for each in rounds if max(score for score, _ in each) >= RIGHT), found)
        score, best = max(kept, key=lambda pair: pair[0])
        assert torch.equal(plan[index], best)
        changed += score > found[0][0]
    assert changed, "a choice was made at least once"


def test_pipeline_engine_and_stage_choose_alike(choosing: GlmImagePipeline) -> None:
    plan = choosing.draw(REQUEST).plan.prior_token_ids
    with Engine(choosing) as engine:
        assert torch.equal(engine.submit(REQUEST).result().plan.prior_token_ids, plan)
        one = replace(REQUEST, plan_candidates=1)
        first = engine.submit(one).result().plan.prior_token_ids
    assert torch.equal(choosing.draw(one).plan.prior_token_ids, first) and not torch.equal(first, plan)
    alone = choosing.generate_prior_tokens(REQUEST.prompt, 64, 96, generator=torch.Generator().manual_seed(3))[0]
    assert torch.equal(alone, plan[:1])
    shared = choosing.draw(replace(REQUEST, layout="same")).plan.prior_token_ids
    assert torch.equal(shared, plan[:1].expand_as(shared))


def test_further_plans_begin_with_a_code_of_the_wanted_ground(
    choosing: GlmImagePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first plan is the one without a choice; engine and pipeline agree."""
    labels = choosing.parts.code_labels
    assert labels is not None
    rng = np.random.default_rng(2)
    ground = rng.integers(0, 8, labels.codes)
    colors = (*(f"color {number}" for number in range(7)), "red")
    told = replace(labels, colors=colors, ground=ground, contrast=np.ones((8, 8)))
    monkeypatch.setattr(choosing.parts, "code_labels", told)
    request = replace(REQUEST, prompt='A sign "A" on a red background', num_images=1)
    drawn: list[int] = []

    def watched(*settings: Any) -> list[Tensor]:
        plans = fill_plans(*settings)
        drawn.extend(int(plan[0]) for plan in plans)
        return plans

    monkeypatch.setattr("inkwash.engine.stages.fill_plans", watched)
    plan = choosing.draw(request).plan.prior_token_ids
    first, *further = drawn
    assert len(further) >= 3 and all(colors[ground[code]] == "red" for code in further)
    drawn.clear()
    choosing.draw(replace(request, plan_candidates=1))
    assert drawn == [first] and colors[ground[first]] != "red"
    with Engine(choosing) as engine:
        assert torch.equal(engine.submit(request).result().plan.prior_token_ids, plan)


def test_progress_is_that_of_the_first_plan(choosing: GlmImagePipeline) -> None:
    seen: list[tuple[str, int, int]] = []
    choosing.draw(
        replace(REQUEST, num_images=1), progress=lambda each: seen.append((each.stage, each.done, each.total))
    )
    prior = [(done, total) for stage, done, total in seen if stage == "prior"]
    assert prior[-1][0] == prior[-1][1] and len({total for _, total in prior}) == 1
    assert [done for done, _ in prior] == sorted(done for done, _ in prior)


def test_a_model_that_tells_nothing_takes_the_first_plan(pipe: GlmImagePipeline) -> None:
    with pytest.raises(RequestError, match="plan_candidates is 4") as caught:
        pipe.prepare(replace(REQUEST, plan_candidates=4))
    assert caught.value.param == "plan_candidates"
    assert pipe.prepare(replace(REQUEST, plan_candidates=1)).candidates == 1
    assert pipe.prepare(REQUEST).candidates == 1
    with pytest.raises(RequestError):
        DrawRequest(prompt="a", plan_candidates=0)


def test_labels_travel_with_the_checkpoint(choosing: GlmImagePipeline, tmp_path: Path) -> None:
    choosing.save_pretrained(tmp_path / "saved")
    file = tmp_path / "saved" / "vision_language_encoder" / LABELS_FILE
    again = load_pipeline_parts(tmp_path / "saved", dtype=torch.float32)
    assert again.code_labels is not None and choosing.parts.code_labels is not None
    assert again.code_labels.to_dict() == choosing.parts.code_labels.to_dict()
    assert again.defaults.plan_candidates == 6
    whole = json.loads(file.read_text())
    for name, value, words in (
        ("quarter", [*whole["quarter"][1:], 7], "from 0 to 4"),
        ("code", [*whole["code"][1:], whole["codes"]], "code of the semantic codes must be numbers"),
        ("character", whole["character"][1:], "rows"),
        ("things", [1], "names"),
        ("begins", "x", "copy it again"),
        ("thing", None, "copy it again"),
    ):
        file.write_text(json.dumps({**whole, name: value}))
        with pytest.raises(WeightsError, match=words):
            load_pipeline_parts(tmp_path / "saved", dtype=torch.float32)
    file.write_text(json.dumps(whole | {"codes": whole["codes"] + 1}))
    with pytest.raises(WeightsError, match="codebook"):
        load_pipeline_parts(tmp_path / "saved", dtype=torch.float32)


def test_colors_of_letters_are_those_of_the_text_that_was_read() -> None:
    """Codes without a colour count for none, and a text that is not there has none."""
    reader = colored(inks={"A": "red", "B": "red", "D": "blue", "1E": "green"})
    judge = PlanJudge(reader=reader, grid=(2, 4), wanted=WantedTexts(texts=("AB", "DO")), inks=(("AB", "red"),))
    tokens = grid("A B . .", "D O . .").flatten()
    assert judge.score(tokens) == 1.0 == replace(judge, inks=(("DO", "blue"),)).score(tokens), "O tells no colour"
    wrong = replace(judge, inks=(("AB", "blue"), ("DO", "blue")))
    assert wrong.score(tokens) == pytest.approx((0.75 + 0.05 + ALIGNED) / (0.85 + ALIGNED))
    assert (
        replace(judge, inks=(("E", "green"),), wanted=WantedTexts(texts=("E",))).score(
            grid(". 1E 2E .", ". 3E 4E .").flatten()
        )
        == 1.0
    ), "a large letter has the colour of its first quarter"
    assert reader.texts(grid("D O . .", ". . . ."), ("AB",)).codes["ab"] == []


def test_the_ground_is_what_stands_at_the_edge() -> None:
    judge = PlanJudge(reader=colored(ground="blue"), grid=(3, 3), wanted=WantedTexts(texts=("A",)), ground="blue")
    tokens = grid(". . .", ". A .", ". . .").flatten()
    assert judge.score(tokens) == 1.0
    assert replace(judge, ground="red").score(tokens) == pytest.approx(0.75 / 0.9)
    assert replace(judge, reader=READER, ground="red").score(tokens) == 1.0, "its codes tell no colour"
    grounds = np.full(len(NAMES), -1)
    grounds[[NAMES.index("."), NAMES.index("sun-")]] = COLORS.index("blue"), COLORS.index("red")
    mixed = replace(judge, reader=PlanReader(replace(READER.labels, ground=grounds)), ground="red")
    assert mixed.score(grid(". . .", ". A .", "sun- . .").flatten()) == pytest.approx((0.75 + 0.15 / 8) / 0.9)
    assert mixed.reader.ground(grid("sun-", "A", ".")) == {"red": 1, "blue": 1}, "a narrow plan is all edge"


def test_letters_stand_out_from_the_ground_beside_them() -> None:
    reader = colored(inks={"A": "red", "B": "green", "D": "blue"}, ground="blue")
    assert reader.legible(grid(". . .", ". B .", ". . .")) == 1.0 and reader.legible(grid(". A .")) == 0.0
    assert reader.legible(grid("A B . A", "O O O O")) == 0.5, "the first stands beside nothing that tells a colour"
    assert reader.legible(grid("O .")) is None and READER.legible(grid("A .")) is None
    judge = PlanJudge(reader=reader, grid=(1, 3), wanted=WantedTexts(texts=("A",)))
    assert judge.score(grid(". A .").flatten()) == pytest.approx(0.75 / 1.15)
    assert replace(judge, wanted=WantedTexts(texts=("B",))).score(grid(". B .").flatten()) == 1.0


def test_labels_without_colors_are_read(tmp_path: Path) -> None:
    values = colored(ground="blue", inks={"A": "red"}).labels.to_dict()
    (tmp_path / LABELS_FILE).write_text(json.dumps(values))
    assert CodeLabels.from_file(tmp_path / LABELS_FILE, len(NAMES)).to_dict() == values
    for changed in (
        {"ink": [0]},
        {"ground": [3] * len(NAMES)},
        {"colors": ["red"]},
        {"colors": "red"},
        {"contrast": 1},
    ):
        (tmp_path / LABELS_FILE).write_text(json.dumps(values | changed))
        with pytest.raises(WeightsError):
            CodeLabels.from_file(tmp_path / LABELS_FILE, len(NAMES))
    for name in ("colors", "ink", "ground", "contrast"):
        values.pop(name)
    (tmp_path / LABELS_FILE).write_text(json.dumps(values))
    assert not PlanReader(CodeLabels.from_file(tmp_path / LABELS_FILE, len(NAMES))).ground(grid(". .", ". ."))


def test_an_edit_keeps_what_its_instruction_does_not_name() -> None:
    """Ground, lines, things and cells of the picture that is edited; of several pictures only new texts count."""
    limits = defaults_of("nano").limits
    reader = colored(inks={"D": "red"}, ground="green")
    before = grid(". . . . .", ". A B . .", ". . . . .", "D O . sun sun-", ". . . sun- sun-")
    size = (before.shape[0], before.shape[1])

    def score(prompt: str, *rows: str) -> float:
        judge = PlanJudge.of(reader, prompt, size, [before], limits)
        assert judge is not None
        return judge.score(grid(*rows).flatten())

    rows = [". . . . .", ". A B . .", ". . . . .", "D O . . .", ". . . . ."]
    assert score("remove the sun", *rows) >= RIGHT_EDIT > score("remove the sun", *rows[:3], ". . . . .", rows[4])
    assert score("remove the sun", *rows) > score('Change "AB" to "CE"', *rows) + 0.1
    same = [" ".join(NAMES[code] for code in row) for row in before.tolist()]
    assert score("make the background green", *same) == 1.0 > score("make the background red", *same)
    assert score("add a cat", *same) < score("add a cat", "cat cat- . . .", "cat- A B . .", *same[2:])
    assert score('write "DO" in red', *same) > score('write "DO" in green', *same)
    one = PlanJudge.of(reader, "the first with the sun of the second", size, [before, before], limits)
    assert one is None, "which picture gives what is not known"
    several = PlanJudge.of(reader, 'combine them and write "CE"', size, [before, before], limits)
    assert several is not None and several.wanted.texts == ("CE",) and not several.wanted.kept and not several.things


def test_an_edit_of_another_size_is_judged_without_its_cells() -> None:
    nothing = PlanJudge.of(READER, "Make it blue", (1, 3), [grid(". . . .")], defaults_of("nano").limits)
    assert nothing is not None and nothing.score(grid(". . .").flatten()) == 1.0, "nothing can be judged"
    judge = PlanJudge.of(READER, 'Change "AB" to "CD"', (1, 3), [grid("A B . E")], defaults_of("nano").limits)
    assert judge is not None and judge.edited is None and judge.score(grid("C D .").flatten()) == 1.0
