"""Scoring TIIF-Bench and GenEval: questions about single pictures, answered by a vision model.

GenEval's own judge is a detector in a stack of its own; its results file may be scored instead (`official_correct`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from inkwash.core.errors import ConfigError, MediaError
from inkwash.eval.benchmarks import geneval, proof, tiif
from inkwash.eval.benchmarks.files import field, read_lines
from inkwash.eval.benchmarks.judges import TiifJudge, is_plain_yes
from inkwash.eval.benchmarks.measures import Measure
from inkwash.eval.benchmarks.panel import Answering, Panel
from inkwash.eval.benchmarks.pictures import find_pictures
from inkwash.eval.benchmarks.results import Entry, Result, Scoring, StageProgress, measures, rounded, run_settings
from inkwash.eval.metrics import mean
from inkwash.eval.paired import Unit
from inkwash.media.images import load_image

GROUP_OF: Mapping[str, str] = {kind: group for group, kinds in tiif.GROUPS.items() for kind in kinds}
DETECTOR = "mask2former-swin-s+clip-vit-l-14"  # GenEval's own judge
_PLACE = re.compile(r"(\d{5})/samples/(\d{4})\.\w+$")


def find_system(folder: Path, given: str | None) -> str:
    """The name of the system whose pictures lie below `folder`: as given, or that of the only folder there."""
    if given is not None:
        return given
    names = sorted(place.name for place in folder.iterdir() if place.is_dir()) if folder.is_dir() else []
    if len(names) != 1:
        found = f"the folders {', '.join(names)}" if names else "no folder"
        raise MediaError(f"{folder} has {found}; name the system whose pictures are scored with --system.")
    return names[0]


@dataclass(frozen=True)
class _Asked:
    """One picture of TIIF-Bench."""

    prompt: tiif.Prompt
    length: str
    path: Path
    checked: tiif.Checked

    @property
    def right(self) -> list[bool]:
        return [a.lower() == b.lower() for a, b in zip(self.checked.expected, self.checked.answers, strict=True)]


def score_tiif(run: Scoring, panel: Panel, tell: StageProgress) -> Result:
    """Short and long descriptions of one split; the overall scores need all 39 types."""
    prompts = tiif.read_prompts(run.data, run.split, run.limit)
    system = find_system(run.images / prompts[0].type, run.system)
    wanted = [(prompt, length) for prompt in prompts for length in tiif.LENGTHS]
    paths = find_pictures(run.images, [prompt.spot(system, length) for prompt, length in wanted])
    judge = panel.tiif()
    proven = proof.prove_answers(judge.memory, lambda image, question: judge.answers(image, [question])[0], "yes")
    tasks = [partial(_tiif_one, judge, *each, path) for each, path in zip(wanted, paths, strict=True)]
    asked = panel.ask(tasks, partial(tell, "ask"))
    numbers, notes = _tiif_measures(run.task, judge.name, [each.checked for each in asked])
    return Result(
        task=run.task,
        judge=judge.name,
        measures=numbers,
        parts_name="per_group",
        parts=_tiif_parts([each.checked for each in asked]),
        counts={"n": len(asked), "questions": sum(len(each.checked.expected) for each in asked)},
        entries=tuple(_tiif_entry(each) for each in asked),
        settings=run_settings(
            run, [prompt.short for prompt in prompts], split=run.split, system=system, truth_share_answered=proven
        ),
        units=tuple(_tiif_unit(asked[i : i + 2]) for i in range(0, len(asked), 2)),
        notes=notes,
    )


def _tiif_one(judge: TiifJudge, prompt: tiif.Prompt, length: str, path: Path) -> _Asked:
    answers = judge.answers(load_image(path), prompt.questions)
    checked = tiif.Checked(type=prompt.type, length=length, expected=prompt.answers, answers=answers)
    return _Asked(prompt, length, path, checked)


def _tiif_measures(
    task: str, judge: str, checked: Sequence[tiif.Checked]
) -> tuple[tuple[Measure, ...], tuple[str, ...]]:
    present = {each.type.lower() for each in checked}
    if present != set(tiif.TYPES):
        shares = {
            length: sum(c.correct for c in checked if c.length == length)
            / sum(len(c.expected) for c in checked if c.length == length)
            for length in tiif.LENGTHS
        }
        note = (
            f"short and long need all {len(tiif.TYPES)} types, this run has {len(present)}: the question_accuracy here "
            f"is the share of right answers and stands in no published table"
        )
        named = {f"question_accuracy_{length}": 100 * share for length, share in shares.items()}
        return measures(task, judge, **named), (note,)
    scores = {length: tiif.score(checked, length).overall for length in tiif.LENGTHS}
    return measures(task, judge, **scores), ()


def _tiif_parts(checked: Sequence[tiif.Checked]) -> dict[str, dict[str, object]]:
    parts: dict[str, dict[str, object]] = {}
    for group, kinds in tiif.GROUPS.items():
        values: dict[str, float] = {}
        for length in tiif.LENGTHS:
            by_type = [[c for c in checked if c.type.lower() == kind and c.length == length] for kind in kinds]
            values[length] = mean([100 * tiif.type_accuracy(own) for own in by_type if own])
        own = [c for c in checked if c.type.lower() in kinds]
        if own:
            parts[group] = rounded(values, n=len(own))
    return parts


def _tiif_unit(pair: Sequence[_Asked]) -> Unit:
    first = pair[0].prompt
    kind = first.type.lower()
    sums = {each.length: (100.0 * each.checked.correct, float(len(each.checked.expected))) for each in pair}
    questions = {f"question_accuracy_{length}": value for length, value in sums.items()}
    return Unit(key=f"{first.type}/{first.line}", sums=sums | questions, group=GROUP_OF.get(kind, kind), stratum=kind)


def _tiif_entry(asked: _Asked) -> Entry:
    prompt = asked.prompt
    return Entry(
        key=f"{prompt.type}/{asked.length}/{prompt.line}",
        prompt=prompt.short if asked.length == "short" else prompt.long,
        path=asked.path,
        wanted=tuple(
            (f"{question} ({expected.lower()})", right)
            for question, expected, right in zip(prompt.questions, prompt.answers, asked.right, strict=True)
        ),
        read=asked.checked.answers,
        share=asked.checked.correct / len(asked.checked.expected),
    )


def score_geneval(run: Scoring, panel: Panel, tell: StageProgress) -> Result:
    """The share of correct pictures by task, from the official detector's results or a vision model's answers."""
    prompts = geneval.read_prompts(run.data, run.limit)
    wanted = [(prompt, i) for prompt in prompts for i in range(run.samples)]
    spots = [spot for prompt in prompts for spot in prompt.spots(run.samples)]
    paths = find_pictures(run.images, spots)
    official = run.images / "results.jsonl"
    settings = run_settings(run, [prompt.prompt for prompt in prompts], samples=run.samples)
    if official.exists():
        known = official_correct(official)
        name, correct = DETECTOR, [_known(known, prompt, i, official) for prompt, i in wanted]
    else:
        judge = panel.yes_no("geneval")
        settings["truth_share_answered"] = proof.prove_answers(judge.memory, judge.answer, "yes")
        name = judge.name
        tasks = [partial(_shows, judge, prompt, path) for (prompt, _), path in zip(wanted, paths, strict=True)]
        correct = panel.ask(tasks, partial(tell, "ask"))
    judged = [(prompt.tag, right) for (prompt, _), right in zip(wanted, correct, strict=True)]
    present = [tag for tag in geneval.TASKS if any(each == tag for each, _ in judged)]
    complete = len(present) == len(geneval.TASKS)
    overall = geneval.score(judged).overall if complete else float("nan")
    return Result(
        task=run.task,
        judge=name,
        measures=measures(run.task, name, overall=overall),
        parts_name="per_task",
        parts={
            tag: rounded(
                {"overall": mean([float(right) for each, right in judged if each == tag])}, n=_count(judged, tag)
            )
            for tag in present
        },
        counts={"n": len(judged), "correct": sum(correct)},
        entries=tuple(
            Entry(
                key=f"{prompt.folder}/{i}",
                prompt=prompt.prompt,
                path=path,
                wanted=((prompt.prompt, right),),
                read=("correct" if right else "not correct",),
                share=float(right),
            )
            for (prompt, i), path, right in zip(wanted, paths, correct, strict=True)
        ),
        settings=settings,
        units=tuple(
            Unit(
                key=prompt.folder,
                sums={"overall": (float(sum(correct[i * run.samples : (i + 1) * run.samples])), float(run.samples))},
                stratum=prompt.tag,
            )
            for i, prompt in enumerate(prompts)
        ),
        notes=() if complete else (f"overall needs all six tasks, this run has {len(present)}",),
    )


def _count(judged: Sequence[tuple[str, bool]], tag: str) -> int:
    return sum(each == tag for each, _ in judged)


def _shows(judge: Answering, prompt: geneval.Prompt, path: Path) -> bool:
    return is_plain_yes(judge.answer(load_image(path), prompt.prompt))


def official_correct(file: Path) -> dict[tuple[str, int], bool]:
    """(folder, sample) -> whether GenEval's own `evaluate_images.py` calls the picture correct."""
    found = {}
    for number, row in enumerate(read_lines(file), start=1):
        where = f"{file} line {number}"
        place = _PLACE.search(field(row, "filename", str, where).replace("\\", "/"))
        if place is None or not isinstance(row.get("correct"), bool):
            raise ConfigError(f"{where} is no line of GenEval's results; delete the file or write it again.")
        found[place[1], int(place[2])] = bool(row["correct"])
    return found


def _known(known: Mapping[tuple[str, int], bool], prompt: geneval.Prompt, sample: int, file: Path) -> bool:
    key = prompt.folder, sample
    if key not in known:
        raise ConfigError(
            f"{file} says nothing about {prompt.folder}/samples/{sample:04d}.png; run the detector again."
        )
    return known[key]
