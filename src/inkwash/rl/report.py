"""The board of a finished run: rewards beside the reporting readers, guards, and pairs of pictures before and after.

`work`/NETWORK/report.html has a curve of every number of the log; `board.html` beside it answers the one question that
matters: has the reward been earned, or hacked?
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path

from inkwash.rl.judging import LOOKS, alarms
from inkwash.train.curve import read_log, running_mean
from inkwash.train.report import curve, picture, table, write_page

GUARDS = ("gold", "rewarding", "facts", *LOOKS, "distinct_plans")


def judged_rows(folder: Path) -> tuple[dict[str, float], dict[str, float]]:
    """What the judge said first and last, and the diversity of plans at these ends."""
    curves = read_log(folder / "log.csv")
    names = [name for name in curves if name in GUARDS or name.startswith("gold_")]
    first = {name: curves[name][0][1] for name in names}
    last = {name: curves[name][-1][1] for name in names}
    if "distinct_plans" in curves:
        points = curves["distinct_plans"]
        last["distinct_plans"] = running_mean(points, len(points) // 5)[-1][1]
    return first, last


def write_board(folder: Path, pairs: Path | None = None) -> Path | None:
    """Write `folder`/board.html; None where nothing was judged."""
    curves = read_log(folder / "log.csv")
    first, last = judged_rows(folder)
    if "gold" not in first:
        return None
    warnings = alarms(first, last) or ["No guard has moved out of its range."]
    parts = [f"<h2>Guards</h2><ul>{''.join(f'<li>{html.escape(one)}</li>' for one in warnings)}</ul>"]
    parts.append(
        table([("", "before", "after"), *((name, f"{first[name]:.4f}", f"{last[name]:.4f}") for name in first)])
    )
    for name, points in curves.items():
        if name.startswith(("reward_", "gold")) and len(points) > 1:
            parts.append(curve(name, points))
    parts += _pairs(pairs) if pairs is not None else []
    return write_page(folder / "board.html", f"Reinforcement of {folder.name}", parts)


def _pairs(folder: Path) -> list[str]:
    """The first and the last picture of every kept prompt, side by side."""
    texts = (folder / "prompts.txt").read_text(encoding="utf-8").splitlines() if folder.exists() else []
    parts = ["<h2>Before and after</h2>"] if texts else []
    for number, text in enumerate(texts):
        files = sorted(folder.glob(f"{number:02d}-*.png"))
        ends = dict.fromkeys(files[:1] + files[-1:])
        pictures = "".join(
            picture(file, f"step {file.stem.partition('-')[2]}", attributes=' width="320"') for file in ends
        )
        parts.append(f"<p>{html.escape(text)}<br>{pictures}</p>")
    return parts


def alarm_lines(before: Mapping[str, float], now: Mapping[str, float]) -> str:
    """The alarms as one text for the terminal."""
    return "\n".join(f"guard: {one}" for one in alarms(before, now))
