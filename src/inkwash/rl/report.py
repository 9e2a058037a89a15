"""The board of a finished run: rewards beside the reporting readers, guards, and pairs of pictures before and after.

`work`/NETWORK/report.html has a curve of every number of the log; `board.html` beside it answers the one question that
matters: has the reward been earned, or hacked?
"""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping
from pathlib import Path

from inkwash.rl.judging import LOOKS, alarms
from inkwash.train.curve import read_log, running_mean
from inkwash.train.report import STYLE, curve_svg

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
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{first[name]:.4f}</td><td>{last[name]:.4f}</td></tr>" for name in first
    )
    warnings = alarms(first, last) or ["No guard has moved out of its range."]
    parts = [f"<h2>Guards</h2><ul>{''.join(f'<li>{html.escape(one)}</li>' for one in warnings)}</ul>"]
    parts.append(f"<table><tr><td></td><td>before</td><td>after</td></tr>{rows}</table>")
    for name, points in curves.items():
        if name.startswith(("reward_", "gold")) and len(points) > 1:
            parts.append(f"<h2>{html.escape(name)}</h2>{curve_svg(points)}")
    parts += _pairs(pairs) if pairs is not None else []
    title = html.escape(f"Reinforcement of {folder.name}")
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{STYLE}</style><h1>{title}</h1>{''.join(parts)}</html>"
    )
    path = folder / "board.html"
    path.write_text(page, encoding="utf-8")
    return path


def _pairs(folder: Path) -> list[str]:
    """The first and the last picture of every kept prompt, side by side."""
    texts = (folder / "prompts.txt").read_text(encoding="utf-8").splitlines() if folder.exists() else []
    parts = ["<h2>Before and after</h2>"] if texts else []
    for number, text in enumerate(texts):
        files = sorted(folder.glob(f"{number:02d}-*.png"))
        pictures = "".join(_picture(file) for file in dict.fromkeys(files[:1] + files[-1:]))
        parts.append(f"<p>{html.escape(text)}<br>{pictures}</p>")
    return parts


def _picture(path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<img alt="step {path.stem.partition("-")[2]}" width="320" src="data:image/png;base64,{data}">'


def alarm_lines(before: Mapping[str, float], now: Mapping[str, float]) -> str:
    """The alarms as one text for the terminal."""
    return "\n".join(f"guard: {one}" for one in alarms(before, now))
