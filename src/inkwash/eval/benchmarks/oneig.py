"""OneIG-Bench in English and Chinese: five dimensions of grids of four pictures.

Pictures: one grid of 2 x 2 per prompt at `{set}/{system}/{id}.webp`; cells that are black all over do not count. Each
dimension has a judge of its own: a vision model (alignment), a reader (text), LLM2CLIP (reasoning), two style encoders
and DreamSim (diversity). Prompts and answers are read by `oneig_data`, the metrics are in `oneig_score`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations
from pathlib import Path

from PIL import Image

from inkwash.core.errors import ConfigError
from inkwash.eval.benchmarks import libraries, oneig_data, oneig_score, self_check
from inkwash.eval.benchmarks.benchmark import (
    Benchmark,
    BenchmarkRun,
    ImageTask,
    Published,
    StageProgress,
    SystemOptions,
    option,
)
from inkwash.eval.benchmarks.judges import CachedSimilarity, Judges, Need
from inkwash.eval.benchmarks.measures import Measure
from inkwash.eval.benchmarks.oneig_data import DIMENSIONS, OneigPrompt, OneigQuestions
from inkwash.eval.benchmarks.pictures import cells, find_pictures, is_black, through_jpeg
from inkwash.eval.benchmarks.results import JudgedPicture, Result, measures, rounded
from inkwash.eval.benchmarks.scoring import checked_share, count_words, find_system, run_settings, system_folder
from inkwash.eval.benchmarks.vision import VlmReader, YesNoJudge
from inkwash.eval.metrics import mean
from inkwash.eval.paired import PairedItem
from inkwash.eval.predictions import Predictions, TextReader
from inkwash.media.images import load_image

QUESTION = "{question}. Please answer 'Yes' or 'No' only."
TOKENS = (128, 256)  # of a vision model that reads: for ordinary texts and for long ones
LONG_TEXT = 60  # words from which a text is a long one
NEEDS: Mapping[str, Need] = {
    "alignment": Need(purpose="answers to its alignment questions", vision=True),
    "reasoning": Need(purpose="OneIG's reasoning", weights="llm2clip"),
    "style": Need(purpose="OneIG's style", weights="csd"),
    "diversity": Need(purpose="OneIG's diversity", weights="dreamsim"),
}


@dataclass(frozen=True, kw_only=True)
class OneigOptions(SystemOptions):
    """Options of OneIG-Bench."""

    dimensions: tuple[str, ...] = option(
        DIMENSIONS,
        metavar="A,B",
        help="Which of the five are judged; the overall score needs all.",
        choices=DIMENSIONS,
    )


@dataclass(frozen=True, kw_only=True)
class DimensionScores:
    """One dimension of a run: its scores by prompt, and what `inkwash eval compare` needs of it."""

    name: str
    judge: str
    value: float
    scores: Mapping[str, float]  # key of a prompt -> its score
    details: Mapping[str, float] = field(default_factory=dict)  # further numbers of the same judge
    sums: Mapping[str, Mapping[str, tuple[float, float]]] | None = None  # by key, in place of the scores


@dataclass(frozen=True, kw_only=True)
class Grids:
    """The pictures of a run, and who judges them."""

    run: BenchmarkRun[OneigOptions]
    judges: Judges
    paths: Mapping[str, Path]  # key of a prompt -> its file
    tell: StageProgress

    @property
    def language(self) -> str:
        return self.run.benchmark.language

    def cells(self, key: str) -> list[Image.Image]:
        """The cells of a grid that are not black, as the official scorer judges them."""
        return lit_cells(self.paths[key])


def lit_cells(path: Path) -> list[Image.Image]:
    """The cells of a file that are not black, as the official scorer judges them."""
    return [through_jpeg(cell) for cell in cells(load_image(path), *oneig_data.GRID) if not is_black(cell)]


def _mean_scores(name: str, judge: str, scores: Mapping[str, float]) -> DimensionScores:
    return DimensionScores(name=name, judge=judge, value=oneig_score.dimension(list(scores.values())), scores=scores)


def _alignment(grids: Grids) -> DimensionScores:
    client = grids.judges.vision("answers to its questions")
    cache = grids.judges.cache
    judge = YesNoJudge(client, cache, prompt=QUESTION, purpose="oneig-question", exact=True)
    self_check.check_answers(judge.cache, judge.answer, "Yes")
    questions = {f"{each.set}/{each.id}": each for each in oneig_data.read_questions(grids.run.data, grids.language)}
    keys = [key for key in questions if key in grids.paths]

    def ask(key: str) -> float:
        return oneig_score.prompt_score([_aligned(judge, questions[key], cell) for cell in grids.cells(key)])

    scores = grids.judges.ask([partial(ask, key) for key in keys], partial(grids.tell, "ask"))
    return _mean_scores("alignment", judge.name, dict(zip(keys, scores, strict=True)))


def _aligned(judge: YesNoJudge, questions: OneigQuestions, cell: Image.Image) -> float:
    answers = {number: judge.answer(cell, text) for number, text in questions.questions.items()}
    return oneig_score.alignment_cell(questions, answers)


def _text(grids: Grids) -> DimensionScores:
    texts = {f"text/{key}": text for key, text in oneig_data.read_texts(grids.run.data, grids.language).items()}
    texts = {key: text for key, text in texts.items() if key in grids.paths}
    readers = [Predictions(reader, grids.run.cache) for reader in _readers(grids.judges)]
    checked_share(readers[0], [oneig_data.listed(text) for text in texts.values()], count_words, grids.tell)

    def read(key: str, text: str) -> list[oneig_score.TextPicture]:
        reader = readers[-1] if len(oneig_score.prepared(text).split()) > LONG_TEXT else readers[0]
        found = grids.cells(key)
        if not found:
            raise ConfigError(f"{grids.paths[key]} has no cell that is not black; draw it again.")
        return [oneig_score.score_text(text, "\n".join(reader.texts(cell))) for cell in found]

    questions = [partial(read, key, text) for key, text in texts.items()]
    pictures = dict(zip(texts, grids.judges.ask(questions, partial(grids.tell, "read")), strict=True))
    whole = oneig_score.text_score([each for some in pictures.values() for each in some], grids.language)
    sums = {key: _text_sums(some) for key, some in pictures.items()}
    return DimensionScores(
        name="text",
        judge=readers[0].judge.name,
        value=whole.score,
        scores={key: each["text_words"][0] / each["text_words"][1] for key, each in sums.items()},
        details={
            "text_words": whole.word_accuracy,
            "text_edit_distance": whole.edit_distance,
            "text_completion": whole.completion,
        },
        sums=sums,
    )


def _readers(judges: Judges) -> list[TextReader]:
    """One reader for all texts, or of a vision model one for ordinary texts and one with twice the tokens."""
    reader = judges.open_reader()
    if not isinstance(reader, VlmReader):
        return [reader]
    both = "|".join(map(str, TOKENS))
    return [VlmReader(reader.client, max_tokens=tokens, tokens_in_name=both) for tokens in TOKENS]


def _text_sums(pictures: Sequence[oneig_score.TextPicture]) -> dict[str, tuple[float, float]]:
    count = float(len(pictures))
    return {
        "text_words": (float(sum(each.matched for each in pictures)), float(sum(each.total for each in pictures))),
        "text_edit_distance": (float(sum(each.distance for each in pictures)), count),
        "text_completion": (float(sum(each.complete for each in pictures)), count),
    }


def _reasoning(grids: Grids) -> DimensionScores:
    judges, needs = grids.judges, NEEDS["reasoning"]
    weights = judges.weights_path("llm2clip", needs.purpose)
    judge = CachedSimilarity(libraries.Llm2Clip(weights, judges.device), judges.cache)
    answers = {
        f"reasoning/{key}": text for key, text in oneig_data.read_answers(grids.run.data, grids.language).items()
    }
    keys = [key for key in answers if key in grids.paths]

    def fit(key: str) -> float:
        return oneig_score.prompt_score([judge.cosine(cell, answers[key]) for cell in grids.cells(key)])

    scores = judges.ask([partial(fit, key) for key in keys], partial(grids.tell, "reasoning"), alone=True)
    return _mean_scores("reasoning", judge.name, dict(zip(keys, scores, strict=True)))


def _style(grids: Grids) -> DimensionScores:
    judges = grids.judges
    csd, clip, encoder = (judges.weights_path(name, NEEDS["style"].purpose) for name in ("csd", "clip", "style"))
    references = grids.run.data / "scripts" / "style"
    judge = libraries.StyleJudge(csd, clip, encoder, references, judges.device)
    styles = {f"anime/{key}": style for key, style in oneig_data.read_styles(grids.run.data).items()}
    keys = [key for key in styles if key in grids.paths]

    def fit(key: str) -> float:
        similar = [judge.cosines(cell, styles[key]) for cell in grids.cells(key)]
        return oneig_score.prompt_score([oneig_score.style_cell(*each) for each in similar])

    scores = judges.ask([partial(fit, key) for key in keys], partial(grids.tell, "style"), alone=True)
    return _mean_scores("style", judge.name, dict(zip(keys, scores, strict=True)))


def _diversity(grids: Grids) -> DimensionScores:
    judges = grids.judges
    judge = libraries.DreamSim(judges.weights_path("dreamsim", NEEDS["diversity"].purpose), judges.device)

    def difference(key: str) -> float:
        return oneig_score.diversity_prompt([judge.distance(a, b) for a, b in combinations(grids.cells(key), 2)])

    keys = list(grids.paths)
    scores = judges.ask([partial(difference, key) for key in keys], partial(grids.tell, "diversity"), alone=True)
    known = {key: score for key, score in zip(keys, scores, strict=True) if score == score}
    return _mean_scores("diversity", judge.name, known)


_DIMENSIONS = {
    "alignment": _alignment,
    "text": _text,
    "reasoning": _reasoning,
    "style": _style,
    "diversity": _diversity,
}


def _layout(run: BenchmarkRun[OneigOptions], prompts: Sequence[OneigPrompt]) -> list[ImageTask]:
    system = system_folder(run)
    return [ImageTask(path=prompt.image_path(system), prompt=prompt.prompt, cells=4) for prompt in prompts]


def _score(
    run: BenchmarkRun[OneigOptions], prompts: Sequence[OneigPrompt], judges: Judges, tell: StageProgress
) -> Result:
    """The chosen dimensions of one edition; the overall score needs all five."""
    chosen = run.options.dimensions
    oneig_data.check_covered(prompts, chosen, run.benchmark.language)
    system = find_system(run.images / prompts[0].set, run.options.system or run.model_folder)
    files = find_pictures(run.images, [prompt.image_path(system) for prompt in prompts])
    paths = dict(zip((prompt.key for prompt in prompts), files, strict=True))
    grids = Grids(run=run, judges=judges, paths=paths, tell=tell)
    judged = [_DIMENSIONS[name](grids) for name in DIMENSIONS if name in chosen]
    numbers, notes = _measures(run.task, judged)
    return Result(
        task=run.task,
        judge=" + ".join(dict.fromkeys(each.judge for each in judged)),
        measures=numbers,
        parts_name="per_set",
        parts=_by_set(prompts, judged),
        counts={"n": len(prompts)},
        pictures=tuple(_judged(prompt, paths[prompt.key], judged) for prompt in prompts),
        settings=run_settings(run, [prompt.prompt for prompt in prompts], system=system),
        items=tuple(_item(prompt.key, judged) for prompt in prompts),
        notes=notes,
    )


def _measures(task: str, judged: Sequence[DimensionScores]) -> tuple[tuple[Measure, ...], tuple[str, ...]]:
    numbers = [Measure(name=f"{task}.{each.name}", judge=each.judge, value=each.value) for each in judged]
    details = [number for each in judged for number in measures(task, each.judge, **each.details)]
    if len(judged) < len(DIMENSIONS) or any(each.value != each.value for each in judged):
        note = f"overall is the mean of all five dimensions; this run has {len(judged)}"
        return (*numbers, *details), (note,)
    overall = oneig_score.overall({each.name: each.value for each in judged})
    together = "+".join(dict.fromkeys(each.judge for each in judged))
    return (Measure(name=f"{task}.overall", judge=together, value=overall), *numbers, *details), ()


def _by_set(prompts: Sequence[OneigPrompt], judged: Sequence[DimensionScores]) -> dict[str, dict[str, object]]:
    parts: dict[str, dict[str, object]] = {}
    for name in dict.fromkeys(prompt.set for prompt in prompts):
        keys = [prompt.key for prompt in prompts if prompt.set == name]
        means = {each.name: mean([each.scores[key] for key in keys if key in each.scores]) for each in judged}
        parts[name] = rounded(means, n=len(keys))
    return parts


def _judged(prompt: OneigPrompt, path: Path, judged: Sequence[DimensionScores]) -> JudgedPicture:
    scores = {each.name: each.scores[prompt.key] for each in judged if prompt.key in each.scores}
    graded = {name: value for name, value in scores.items() if name != "diversity"}
    return JudgedPicture(
        key=prompt.key,
        prompt=prompt.prompt,
        path=path,
        wanted=tuple((name, value >= 1.0) for name, value in graded.items()),
        read=tuple(f"{name} {value:.3f}" for name, value in scores.items()),
        share=mean(list(graded.values())) if graded else 1.0,
    )


def _item(key: str, judged: Sequence[DimensionScores]) -> PairedItem:
    sums: dict[str, tuple[float, float]] = {}
    for each in judged:
        if each.sums is None and key in each.scores:
            sums[each.name] = (each.scores[key], 1.0)
    for each in judged:
        sums |= (each.sums or {}).get(key, {})
    return PairedItem(key=key, sums=sums)


def _benchmark(
    language: str, summary: str, rows: Mapping[str, tuple[float | None, ...]]
) -> Benchmark[OneigOptions, OneigPrompt]:
    return Benchmark(
        name=f"oneig-{language}",
        summary=summary,
        options=OneigOptions,
        read=lambda run: oneig_data.read_prompts(run.data, language, run.limit),
        layout=_layout,
        score=_score,
        needs=lambda options: [NEEDS[name] for name in NEEDS if name in options.dimensions],
        language=language,
        reads=True,
        weights=True,
        published=Published(judges={"overall": "official"}, rows=rows),
    )


ENGLISH = _benchmark(
    "en",
    "OneIG-Bench in English: five dimensions.",
    {
        "Seedream 4.5": (0.576,),
        "Seedream 4.0": (0.576,),
        "Nano Banana 2.0": (0.578,),
        "GPT Image 1 [High]": (0.533,),
        "Qwen-Image": (0.539,),
        "Qwen-Image-2512": (0.530,),
        "Z-Image": (0.546,),
        "Z-Image-Turbo": (0.528,),
        "FLUX.1 [Dev]": (0.434,),
        "SD XL": (0.316,),
        "BAGEL": (0.361,),
        "Janus-Pro": (0.267,),
        "Show-o2": (0.308,),
        "GLM-Image": (0.528,),
    },
)
CHINESE = _benchmark(
    "zh",
    "OneIG-Bench in Chinese: five dimensions.",
    {
        "Seedream 4.5": (0.551,),
        "Seedream 4.0": (0.553,),
        "Nano Banana 2.0": (0.567,),
        "GPT Image 1 [High]": (0.474,),
        "Qwen-Image": (0.548,),
        "Qwen-Image-2512": (0.515,),
        "Z-Image": (0.535,),
        "Z-Image-Turbo": (0.507,),
        "BAGEL": (0.370,),
        "Janus-Pro": (0.240,),
        "GLM-Image": (0.511,),
    },
)
