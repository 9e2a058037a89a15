"""Loss curves as a PNG, drawn with Pillow from a run's CSV log."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from PIL import Image, ImageDraw

_COLORS = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#17becf", "#7f7f7f"]


def draw_curve(log: Path, output: Path, *, width: int = 800, height: int = 400) -> None:
    """Every column of `log` after step and samples, each scaled to its own range on a log axis where positive."""
    if not log.exists():
        return
    with log.open() as file:
        rows = list(csv.reader(file))
    if len(rows) < 3:
        return
    names, body = rows[0][2:], [[float(cell) for cell in row] for row in rows[1:] if len(row) == len(rows[0])]
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    left, top, right, bottom = 10, 10, width - 10, height - 20
    draw.rectangle((left, top, right, bottom), outline="#999999")
    last = body[-1][0] or 1.0
    for column, name in enumerate(names):
        values = [row[column + 2] for row in body]
        scale = math.log if min(values) > 0 else float
        ys = [scale(value) for value in values]
        low, high = min(ys), max(ys)
        span = (high - low) or 1.0
        points = [
            (left + (right - left) * row[0] / last, bottom - (bottom - top) * (y - low) / span)
            for row, y in zip(body, ys, strict=True)
        ]
        color = _COLORS[column % len(_COLORS)]
        draw.line(points, fill=color, width=2)
        draw.text((right - 230, top + 8 + 14 * column), f"{name} {values[0]:.3g} -> {values[-1]:.3g}", fill=color)
    draw.text((left, bottom + 4), f"steps 0 .. {int(last)}", fill="#333333")
    image.save(output)
