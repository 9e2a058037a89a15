"""Scoring finished pictures of a benchmark as one function: prompts, pictures, proof of the judge, answers.

`score_pictures(Scoring(task="cvtg2k", data=..., images=...), Panel(open_reader=...))` is what `inkwash eval cvtg2k`
calls. All that can fail early fails before a judge is opened: a broken prompt file, a missing picture. Answers are
cached, so a second run asks only what is new.
"""

from __future__ import annotations

from inkwash.eval.benchmarks.panel import Panel
from inkwash.eval.benchmarks.results import TASKS, TEXT_TASKS, Entry, Result, Scoring, StageProgress
from inkwash.eval.benchmarks.score_edits import score_gedit, score_imgedit
from inkwash.eval.benchmarks.score_grids import score_dpg, score_oneig
from inkwash.eval.benchmarks.score_questions import score_geneval, score_tiif
from inkwash.eval.benchmarks.score_texts import score_cvtg2k, score_longtext

__all__ = ["PREDICTIONS_FILE", "TASKS", "TEXT_TASKS", "Entry", "Panel", "Result", "Scoring", "score_pictures"]

PREDICTIONS_FILE = "predictions.jsonl"
_SCORERS = {
    "cvtg2k": score_cvtg2k,
    "longtext-en": score_longtext,
    "longtext-zh": score_longtext,
    "oneig-en": score_oneig,
    "oneig-zh": score_oneig,
    "tiif": score_tiif,
    "dpg": score_dpg,
    "geneval": score_geneval,
    "gedit": score_gedit,
    "imgedit": score_imgedit,
}


def score_pictures(run: Scoring, panel: Panel, *, progress: StageProgress | None = None) -> Result:
    """Judge the pictures of a benchmark and put their scores together."""
    return _SCORERS[run.task](run, panel, progress or (lambda stage, done, total: None))
