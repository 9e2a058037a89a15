"""Loss curves as a PNG, drawn with Pillow from a run's CSV log."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from PIL import Image, ImageDraw

_COLORS = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#17becf", "#7f7f7f"]


Points = list[tuple[float, float]]


def read_log(log: Path) -> dict[str, Points]:
    """Every value of a log as (step, value) points; a step may lack some values."""
    if not log.exists():
        return {}
    with log.open(newline="") as file:
        rows = list(csv.reader(file))
    found: dict[str, Points] = {name: [] for name in rows[0][2:]} if rows else {}
    for row in rows[1:]:
        for name, cell in zip(found, row[2:], strict=False):
            if cell:
                found[name].append((float(row[0]), float(cell)))
    return {name: points for name, points in found.items() if points}


def running_mean(points: Points, window: int) -> Points:
    """The points with their values averaged, the last `window` counting most."""
    mean, smooth = points[0][1], []
    for step, value in points:
        mean += (value - mean) / max(1, window)
        smooth.append((step, mean))
    return smooth


def draw_curve(log: Path, output: Path, *, width: int = 800, height: int = 400) -> None:
    """All values of `log`, averaged, each scaled to its own range, on a log axis where positive."""
    curves = {name: points for name, points in read_log(log).items() if len(points) > 1}
    if not curves:
        return
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    left, top, right, bottom = 10, 10, width - 10, height - 20
    draw.rectangle((left, top, right, bottom), outline="#999999")
    last = max(points[-1][0] for points in curves.values()) or 1.0
    for row, (name, points) in enumerate(curves.items()):
        smooth = running_mean(points, len(points) // 50)
        values = [value for _, value in smooth]
        scale = math.log if min(values) > 0 else float
        low, high = scale(min(values)), scale(max(values))
        line = [
            (
                left + (right - left) * step / last,
                bottom - (bottom - top) * (scale(value) - low) / ((high - low) or 1.0),
            )
            for step, value in smooth
        ]
        color = _COLORS[row % len(_COLORS)]
        draw.line(line, fill=color, width=2)
        draw.text((right - 230, top + 8 + 14 * row), f"{name} {values[0]:.3g} -> {values[-1]:.3g}", fill=color)
    draw.text((left, bottom + 4), f"steps 0 .. {int(last)}", fill="#333333")
    image.save(output)
