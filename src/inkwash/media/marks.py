"""Boxes drawn on a picture: a frame of a colour that stands out from any ground, with its number."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from inkwash.media.fonts import load_font

COLORS = ((230, 25, 75), (0, 130, 200), (60, 180, 75), (245, 130, 48), (145, 30, 180), (0, 128, 128))


def draw_boxes(image: Image.Image, boxes: Sequence[tuple[int, int, int, int]]) -> Image.Image:
    """A copy of the picture with (left, top, right, bottom) boxes in pixels drawn on it, numbered where several."""
    marked = image.convert("RGB")
    marked = marked.copy() if marked is image else marked
    draw = ImageDraw.Draw(marked)
    line = max(2, round(max(image.size) / 200))
    font = load_font("sans", max(12, 5 * line))
    for number, (left, top, right, bottom) in enumerate(boxes):
        color = COLORS[number % len(COLORS)]
        right, bottom = max(left + 1, min(right, image.width)) - 1, max(top + 1, min(bottom, image.height)) - 1
        draw.rectangle((left, top, right, bottom), outline=(255, 255, 255), width=2 * line)
        draw.rectangle((left, top, right, bottom), outline=color, width=line)
        if len(boxes) > 1:
            label = str(number + 1)
            x1, y1, x2, y2 = draw.textbbox((left + 2 * line, top + line), label, font=font)
            draw.rectangle((x1 - line, y1 - line, x2 + line, y2 + line), fill=color)
            draw.text((left + 2 * line, top + line), label, font=font, fill=(255, 255, 255))
    return marked
