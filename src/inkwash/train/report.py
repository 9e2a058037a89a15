"""The report of a finished run: one HTML file without scripts, with curves, settings, speed and sample pictures.

Its pieces serve other reports of runs as well: a page, a table, a titled curve, a picture inside the file.
"""

from __future__ import annotations

import base64
import dataclasses
import html
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from inkwash.train.curve import Points, read_log, running_mean

WIDTH, HEIGHT, PAD = 640, 200, 40
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 720px; margin: 2rem auto; padding: 0 1rem; color: #222; }
h2 { font-size: 1rem; margin: 1.6rem 0 .3rem; } table { border-collapse: collapse; }
td { padding: .1rem 1rem .1rem 0; vertical-align: top; } td + td { color: #555; word-break: break-word; }
svg { width: 100%; height: auto; } img { max-width: 100%; image-rendering: pixelated; }
@media (prefers-color-scheme: dark) { body { background: #181818; color: #ddd; } td + td { color: #aaa; } }
"""


def write_report(folder: Path, settings: object, *, samples: int, hours: float) -> Path | None:
    """Write `folder`/report.html from its log.csv; None where nothing was logged."""
    curves = read_log(folder / "log.csv")
    if not curves:
        return None
    steps = max(points[-1][0] for points in curves.values())
    facts = {"steps": f"{steps:.0f}", "samples": f"{samples}", "hours": f"{hours:.2f}"}
    if dataclasses.is_dataclass(settings) and not isinstance(settings, type):
        facts |= {field.name: str(getattr(settings, field.name)) for field in dataclasses.fields(settings)}
    parts = [table(facts.items())]
    for name, points in curves.items():
        late = running_mean(points, len(points) // 20)[-1][1]
        parts.append(curve(f"{name}: {points[0][1]:.4g} \u2192 {late:.4g}", points))
    for sample in sorted(folder.glob("sample_*.png"))[-1:]:
        parts.append(f"<h2>{sample.name}</h2>{picture(sample, 'samples')}")
    return write_page(folder / "report.html", f"Training of {folder.name}", parts)


def write_page(path: Path, title: str, parts: Iterable[str]) -> Path:
    """Write pieces of HTML as one page."""
    title = html.escape(title)
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{STYLE}</style><h1>{title}</h1>{''.join(parts)}</html>"
    )
    path.write_text(page, encoding="utf-8")
    return path


def table(rows: Iterable[Sequence[str]]) -> str:
    """Rows of plain texts."""
    cells = ("".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows)
    return f"<table>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>"


def picture(path: Path, alt: str, *, attributes: str = "") -> str:
    """A PNG inside the page."""
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<img alt="{html.escape(alt)}"{attributes} src="data:image/png;base64,{data}">'


def curve(title: str, points: Points) -> str:
    """A titled curve."""
    return f"<h2>{html.escape(title)}</h2>{curve_svg(points)}"


def curve_svg(points: Points) -> str:
    """A line of running means over its raw values, on a log axis where all of them are positive and span a decade."""
    values = [value for _, value in points]
    logarithmic = min(values) > 0 and max(values) > 10 * min(values)
    scale = math.log10 if logarithmic else float
    heights = [scale(value) for value in values]
    low, high = min(heights), max(heights)
    first, last = points[0][0], points[-1][0]

    def place(step: float, value: float) -> str:
        x = PAD + (WIDTH - 2 * PAD) * (step - first) / ((last - first) or 1)
        return f"{x:.1f},{HEIGHT - 20 - (HEIGHT - 40) * (value - low) / ((high - low) or 1):.1f}"

    smooth = [height for _, height in running_mean(list(enumerate(heights)), len(heights) // 20)]
    thin = max(1, len(points) // 600)
    raw = " ".join(place(s, h) for (s, _), h in list(zip(points, heights, strict=True))[::thin])
    line = " ".join(place(s, h) for (s, _), h in list(zip(points, smooth, strict=True))[::thin])
    top, bottom = (10**high, 10**low) if logarithmic else (high, low)
    label = '<text x="4" y="{y}" font-size="11" fill="#888">{text}</text>'
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
        f'<polyline points="{raw}" fill="none" stroke="#9ecae1" stroke-width="1"/>'
        f'<polyline points="{line}" fill="none" stroke="#1f77b4" stroke-width="2"/>'
        + label.format(y=24, text=f"{top:.3g}")
        + label.format(y=HEIGHT - 18, text=f"{bottom:.3g}")
        + f'<text x="{PAD}" y="{HEIGHT - 4}" font-size="11" fill="#888">step {first:.0f} to {last:.0f}</text></svg>'
    )
