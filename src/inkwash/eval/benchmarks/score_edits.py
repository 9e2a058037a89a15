"""Scoring edits of real pictures: GEdit-Bench by VIEScore, ImgEdit by its three points."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path

from PIL import Image

from inkwash.eval.benchmarks import gedit, imgedit, proof
from inkwash.eval.benchmarks.judges import ImgEditJudge, VieScoreJudge
from inkwash.eval.benchmarks.panel import Panel
from inkwash.eval.benchmarks.pictures import find_pictures
from inkwash.eval.benchmarks.results import Entry, Result, Scoring, StageProgress, measures, rounded, run_settings
from inkwash.eval.paired import Unit
from inkwash.media.images import load_image


def score_gedit(run: Scoring, panel: Panel, tell: StageProgress) -> Result:
    """SC, PQ and O of one language: means by kind as the official script, and by picture as some reports."""
    prompts = gedit.read_prompts(run.data / gedit.PROMPTS, run.language, run.limit)
    edited = find_pictures(run.images, [prompt.spot for prompt in prompts])
    sources = find_pictures(run.images, [prompt.source for prompt in prompts])
    judge = panel.viescore(gedit.read_judge_prompts(run.data))
    proven = proof.prove_edits(
        judge.memory, lambda source, result, text: gedit.judged("proof", *judge.scores(source, result, text)).overall
    )
    tasks = [partial(_viescore, judge, *each) for each in zip(prompts, sources, edited, strict=True)]
    judged = panel.ask(tasks, partial(tell, "ask"))
    by_kind, by_picture = gedit.by_kind(judged), gedit.by_picture(judged)
    numbers = {**asdict(by_kind), **{f"{name}_by_picture": value for name, value in asdict(by_picture).items()}}
    part = gedit.intersection(judged)
    if 0 < len(part) < len(judged):
        numbers |= {f"{name}_intersection": value for name, value in asdict(gedit.by_kind(part)).items()}
    kinds = gedit.kinds(judged)
    return Result(
        task=run.task,
        judge=judge.name,
        measures=measures(run.task, judge.name, **numbers),
        parts_name="per_kind",
        parts={
            kind: rounded(asdict(score), n=sum(each.kind == kind for each in judged)) for kind, score in kinds.items()
        },
        counts={"n": len(judged)},
        entries=tuple(
            Entry(
                key=prompt.key,
                prompt=prompt.instruction,
                path=path,
                source=source,
                wanted=(("done and nothing else", one.sc >= 8), ("natural and clean", one.pq >= 8)),
                read=(f"SC {one.sc:g}", f"PQ {one.pq:g}", f"O {one.overall:.2f}"),
                share=one.overall / 10,
            )
            for prompt, path, source, one in zip(prompts, edited, sources, judged, strict=True)
        ),
        settings=run_settings(
            run, [prompt.instruction for prompt in prompts], language=run.language, truth_share_answered=proven
        ),
        units=tuple(
            Unit(
                key=f"{prompt.kind}/{prompt.key}",
                sums={
                    **{name: (value, 1.0) for name, value in _parts(one).items()},
                },
                stratum=prompt.kind,
            )
            for prompt, one in zip(prompts, judged, strict=True)
        ),
        notes=() if len(kinds) == gedit.KINDS else (f"this run has {len(kinds)} of {gedit.KINDS} kinds",),
    )


def _parts(one: gedit.Judged) -> dict[str, float]:
    return {"sc": one.sc, "pq": one.pq, "overall": one.overall}


def _viescore(judge: VieScoreJudge, prompt: gedit.Prompt, source: Path, edited: Path) -> gedit.Judged:
    before, after = load_image(source), load_image(edited)
    if after.size != before.size:  # the official script brings the result to the source's size first
        after = after.resize(before.size, Image.Resampling.LANCZOS)
    obedience, quality = judge.scores(before, after, prompt.instruction)
    return gedit.judged(prompt.kind, obedience, quality, intersection=prompt.intersection)


def score_imgedit(run: Scoring, panel: Panel, tell: StageProgress) -> Result:
    """Points by kind; the overall score needs all nine."""
    cases = imgedit.read_cases(run.data, run.limit)
    edited = find_pictures(run.images, [case.spot for case in cases])
    sources = [imgedit.source_file(run.source_folder, case) for case in cases]
    judge = panel.imgedit(imgedit.read_judge_prompts(run.data))
    proven = proof.prove_edits(judge.memory, partial(_proof_points, judge))
    tasks = [partial(_points, judge, *each) for each in zip(cases, sources, edited, strict=True)]
    points = panel.ask(tasks, partial(tell, "ask"))
    kinds: dict[str, list[float]] = {}
    for case, own in zip(cases, points, strict=True):
        kinds.setdefault(case.kind, []).append(imgedit.case_score(own))
    means = {kind: round(sum(values) / len(values), 2) for kind, values in kinds.items()}
    complete = set(means) == set(imgedit.KINDS)
    overall = imgedit.from_kinds(means).overall if complete else float("nan")
    return Result(
        task=run.task,
        judge=judge.name,
        measures=measures(run.task, judge.name, overall=overall),
        parts_name="per_kind",
        parts={kind: rounded({"overall": value}, n=len(kinds[kind])) for kind, value in means.items()},
        counts={"n": len(points)},
        entries=tuple(
            Entry(
                key=case.key,
                prompt=case.instruction,
                path=path,
                source=source,
                wanted=(("all points above 3", min(own) > 3),),
                read=tuple(map(str, own)),
                share=imgedit.case_score(own) / 5,
            )
            for case, path, source, own in zip(cases, edited, sources, points, strict=True)
        ),
        settings=run_settings(run, [case.instruction for case in cases], truth_share_answered=proven),
        units=tuple(
            Unit(key=case.key, sums={"overall": (imgedit.case_score(own), 1.0)}, stratum=case.kind)
            for case, own in zip(cases, points, strict=True)
        ),
        notes=() if complete else (f"overall needs all nine kinds, this run has {len(means)}",),
    )


def _points(judge: ImgEditJudge, case: imgedit.Case, source: Path, edited: Path) -> tuple[int, ...]:
    return judge.points(load_image(source), load_image(edited), case)


def _proof_points(judge: ImgEditJudge, source: Image.Image, edited: Image.Image, instruction: str) -> float:
    case = imgedit.Case(key="proof", kind="adjust", instruction=instruction, source="")
    return imgedit.case_score(judge.points(source, edited, case))
