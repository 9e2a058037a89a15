"""Scoring OneIG-Bench and DPG-Bench, whose pictures are grids of four cells per prompt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path

from PIL import Image

from inkwash.core.errors import ConfigError
from inkwash.eval.benchmarks import dpg, oneig, oneig_score, proof
from inkwash.eval.benchmarks.measures import Measure
from inkwash.eval.benchmarks.panel import Panel
from inkwash.eval.benchmarks.pictures import cells, find_pictures, is_black, through_jpeg
from inkwash.eval.benchmarks.results import Entry, Result, Scoring, StageProgress, measures, rounded, run_settings
from inkwash.eval.benchmarks.score_questions import find_system
from inkwash.eval.benchmarks.score_texts import proven_share, word_units
from inkwash.eval.metrics import mean
from inkwash.eval.paired import Unit
from inkwash.eval.predictions import Predictions
from inkwash.media.images import load_image

LONG_TEXT = 60  # words from which OneIG gives its reader twice the tokens
Grids = Mapping[str, Path]  # key of a prompt -> its file
Values = dict[str, float]  # key of a prompt -> its score


def score_dpg(run: Scoring, panel: Panel, tell: StageProgress) -> Result:
    """DPG in one of its two modes, from the answers about every cell."""
    mode = dpg.Mode(run.mode)
    prompts = dpg.read_prompts(run.data, run.limit)
    paths = dict(zip((p.id for p in prompts), find_pictures(run.images, [p.spot for p in prompts]), strict=True))
    items = [item for item in dpg.read_items(run.data, mode) if item.id in paths]
    judge = panel.yes_no("dpg")
    proven = proof.prove_answers(judge.memory, judge.answer, "yes")
    places = [(item, cell, question) for item in items for cell in range(dpg.CELLS) for question in item.questions]

    def ask(item: dpg.Item, cell: int, question: dpg.Question) -> bool:
        return dpg.is_yes(judge.answer(cells(load_image(paths[item.id]))[cell], question.question))

    alone = "mplug" in panel.weights
    said = panel.ask([partial(ask, *place) for place in places], partial(tell, "ask"), alone=alone)
    answers: dict[str, list[dict[int, bool]]] = {item.id: [{} for _ in range(dpg.CELLS)] for item in items}
    for (item, cell, question), yes in zip(places, said, strict=True):
        answers[item.id][cell][question.number] = yes
    score = dpg.score(items, answers, mode)
    return Result(
        task=run.task,
        judge=judge.name,
        measures=measures(run.task, judge.name, overall=score.overall),
        parts_name="per_category",
        parts={name: rounded({"overall": value}) for name, value in score.broad.items()},
        counts={"n": len(score.prompts), "questions": sum(len(item.questions) for item in items)},
        entries=tuple(_dpg_entry(item, answers[item.id], score.prompts, paths[item.id]) for item in items),
        settings=run_settings(run, [p.prompt for p in prompts], mode=run.mode, truth_share_answered=proven),
        units=tuple(Unit(key=key, sums={"overall": (value, 1.0)}) for key, value in score.prompts.items()),
        notes=tuple(f"the official scorer loses the prompt {key}" for key in score.dropped),
    )


def _dpg_entry(item: dpg.Item, answers: Sequence[Mapping[int, bool]], scores: Mapping[str, float], path: Path) -> Entry:
    wanted = tuple((question.question, all(cell[question.number] for cell in answers)) for question in item.questions)
    counts = (sum(cell[question.number] for cell in answers) for question in item.questions)
    return Entry(
        key=item.id,
        prompt=item.prompt,
        path=path,
        wanted=wanted,
        read=tuple(f"yes in {count} of {len(answers)} cells" for count in counts),
        share=scores.get(item.id, 0.0) / 100,
    )


def score_oneig(run: Scoring, panel: Panel, tell: StageProgress) -> Result:
    """The asked dimensions of one edition; the overall score needs all five."""
    language = run.task.removeprefix("oneig-")
    prompts = oneig.read_prompts(run.data, language, run.limit)
    oneig.check_covered(prompts, run.dimensions, language)
    system = find_system(run.images / prompts[0].set, run.system)
    files = find_pictures(run.images, [prompt.spot(system) for prompt in prompts])
    grids = dict(zip((prompt.key for prompt in prompts), files, strict=True))
    judged: dict[str, tuple[str, Values]] = {}
    parts: tuple[Measure, ...] = ()  # of the text score
    dimensions: dict[str, Callable[[], tuple[str, Values]]] = {
        "alignment": lambda: _alignment(run, panel, grids, language, tell),
        "reasoning": lambda: _reasoning(run, panel, grids, language, tell),
        "style": lambda: _style(run, panel, grids, tell),
        "diversity": lambda: _diversity(panel, grids, tell),
    }
    numbers: list[Measure] = []
    text_units: dict[str, dict[str, tuple[float, float]]] = {}
    for name in oneig.DIMENSIONS:
        if name not in run.dimensions:
            continue
        if name == "text":
            judge, score, text_units = _text(run, panel, grids, language, tell)
            judged[name] = (
                judge,
                {key: sums["text_words"][0] / sums["text_words"][1] for key, sums in text_units.items()},
            )
            numbers.append(Measure(name=f"{run.task}.text", judge=judge, value=score.score))
            parts = measures(
                run.task,
                judge,
                text_words=score.word_accuracy,
                text_edit_distance=score.edit_distance,
                text_completion=score.completion,
            )
        else:
            judged[name] = dimensions[name]()
            value = oneig_score.dimension(list(judged[name][1].values()))
            numbers.append(Measure(name=f"{run.task}.{name}", judge=judged[name][0], value=value))
    notes: tuple[str, ...] = ()
    if len(numbers) == len(oneig.DIMENSIONS) and all(number.value == number.value for number in numbers):
        overall = oneig_score.overall({number.name.partition(".")[2]: number.value for number in numbers})
        together = "+".join(dict.fromkeys(number.judge for number in numbers))
        numbers.insert(0, Measure(name=f"{run.task}.overall", judge=together, value=overall))
    else:
        notes = (f"overall is the mean of all five dimensions; this run has {len(numbers)}",)
    return Result(
        task=run.task,
        judge=" + ".join(dict.fromkeys(judge for judge, _ in judged.values())),
        measures=(*numbers, *parts),
        parts_name="per_set",
        parts=_by_set(prompts, judged),
        counts={"n": len(prompts)},
        entries=tuple(_oneig_entry(prompt, grids[prompt.key], judged) for prompt in prompts),
        settings=run_settings(run, [prompt.prompt for prompt in prompts], system=system),
        units=tuple(_oneig_unit(prompt.key, judged, text_units) for prompt in prompts),
        notes=notes,
    )


def _by_set(prompts: Sequence[oneig.Prompt], judged: Mapping[str, tuple[str, Values]]) -> dict[str, dict[str, object]]:
    parts: dict[str, dict[str, object]] = {}
    for name in dict.fromkeys(prompt.set for prompt in prompts):
        keys = [prompt.key for prompt in prompts if prompt.set == name]
        means = {
            dimension: mean([values[key] for key in keys if key in values]) for dimension, (_, values) in judged.items()
        }
        parts[name] = rounded(means, n=len(keys))
    return parts


def _oneig_entry(prompt: oneig.Prompt, path: Path, judged: Mapping[str, tuple[str, Values]]) -> Entry:
    own = {name: values[prompt.key] for name, (_, values) in judged.items() if prompt.key in values}
    scored = [value for name, value in own.items() if name != "diversity"]
    return Entry(
        key=prompt.key,
        prompt=prompt.prompt,
        path=path,
        wanted=tuple((name, value >= 1.0) for name, value in own.items() if name != "diversity"),
        read=tuple(f"{name} {value:.3f}" for name, value in own.items()),
        share=mean(scored) if scored else 1.0,
    )


def _oneig_unit(
    key: str, judged: Mapping[str, tuple[str, Values]], texts: Mapping[str, Mapping[str, tuple[float, float]]]
) -> Unit:
    sums = {name: (values[key], 1.0) for name, (_, values) in judged.items() if name != "text" and key in values}
    return Unit(key=key, sums={**sums, **texts.get(key, {})})


def lit_cells(path: Path) -> list[Image.Image]:
    """The cells of a grid that are not black, as the official scorer judges them."""
    return [through_jpeg(cell) for cell in cells(load_image(path), *oneig.GRID) if not is_black(cell)]


def _alignment(run: Scoring, panel: Panel, grids: Grids, language: str, tell: StageProgress) -> tuple[str, Values]:
    judge = panel.yes_no("oneig")
    proof.prove_answers(judge.memory, judge.answer, "Yes")
    asked = [each for each in oneig.read_questions(run.data, language) if f"{each.set}/{each.id}" in grids]

    def ask(questions: oneig.Questions) -> float:
        found = lit_cells(grids[f"{questions.set}/{questions.id}"])
        return oneig_score.prompt_score(
            [
                oneig_score.alignment_cell(
                    questions, {number: judge.answer(cell, text) for number, text in questions.questions.items()}
                )
                for cell in found
            ]
        )

    scores = panel.ask([partial(ask, each) for each in asked], partial(tell, "ask"))
    return judge.name, {f"{each.set}/{each.id}": score for each, score in zip(asked, scores, strict=True)}


def _text(
    run: Scoring, panel: Panel, grids: Grids, language: str, tell: StageProgress
) -> tuple[str, oneig_score.TextScore, dict[str, dict[str, tuple[float, float]]]]:
    wanted = {f"text/{key}": text for key, text in oneig.read_texts(run.data, language).items()}
    wanted = {key: text for key, text in wanted.items() if key in grids}
    name, readers = panel.oneig_readers()
    caches = [Predictions(reader, run.cache) for reader in readers]
    proven_share(caches[0], [oneig.listed(text) for text in wanted.values()], word_units, tell)

    def read(text: str, path: Path) -> list[oneig_score.TextPicture]:
        reader = caches[-1] if len(oneig_score.prepared(text).split()) > LONG_TEXT else caches[0]
        found = lit_cells(path)
        if not found:
            raise ConfigError(f"{path} has no cell that is not black; draw it again.")
        return [oneig_score.score_text(text, "\n".join(reader.texts(cell))) for cell in found]

    read_all = panel.ask([partial(read, text, grids[key]) for key, text in wanted.items()], partial(tell, "read"))
    score = oneig_score.text_score([picture for own in read_all for picture in own], language)
    return name, score, {key: _text_sums(own) for key, own in zip(wanted, read_all, strict=True)}


def _text_sums(own: Sequence[oneig_score.TextPicture]) -> dict[str, tuple[float, float]]:
    count = float(len(own))
    return {
        "text_words": (float(sum(picture.matched for picture in own)), float(sum(picture.total for picture in own))),
        "text_edit_distance": (float(sum(picture.distance for picture in own)), count),
        "text_completion": (float(sum(picture.complete for picture in own)), count),
    }


def _reasoning(run: Scoring, panel: Panel, grids: Grids, language: str, tell: StageProgress) -> tuple[str, Values]:
    judge = panel.llm2clip()
    wanted = {f"reasoning/{key}": text for key, text in oneig.read_answers(run.data, language).items()}

    def fits(key: str, text: str) -> float:
        return oneig_score.prompt_score([judge.cosine(cell, text) for cell in lit_cells(grids[key])])

    keys = [key for key in wanted if key in grids]
    scores = panel.ask([partial(fits, key, wanted[key]) for key in keys], partial(tell, "reasoning"), alone=True)
    return judge.name, dict(zip(keys, scores, strict=True))


def _style(run: Scoring, panel: Panel, grids: Grids, tell: StageProgress) -> tuple[str, Values]:
    judge = panel.styles(run.data / "scripts" / "style")
    styles = {f"anime/{key}": style for key, style in oneig.read_styles(run.data).items()}

    def fits(key: str) -> float:
        similar = [judge.cosines(cell, styles[key]) for cell in lit_cells(grids[key])]
        return oneig_score.prompt_score([oneig_score.style_cell(csd, encoder) for csd, encoder in similar])

    keys = [key for key in styles if key in grids]
    scores = panel.ask([partial(fits, key) for key in keys], partial(tell, "style"), alone=True)
    return judge.name, dict(zip(keys, scores, strict=True))


def _diversity(panel: Panel, grids: Grids, tell: StageProgress) -> tuple[str, Values]:
    judge = panel.dreamsim()

    def spread(path: Path) -> float:
        return oneig_score.diversity_prompt([judge.distance(a, b) for a, b in combinations(lit_cells(path), 2)])

    scores = panel.ask([partial(spread, path) for path in grids.values()], partial(tell, "diversity"), alone=True)
    return judge.name, {key: score for key, score in zip(grids, scores, strict=True) if score == score}
