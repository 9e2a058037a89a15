"""Chinese captions: the same parts as the English ones, in Chinese words and templates."""

from __future__ import annotations

import random
import re
from collections.abc import Set

from inkwash.scenes import phrases
from inkwash.scenes.lettering import GRID_CAP
from inkwash.scenes.scene import Box, Scene, ShapeItem, TextItem
from inkwash.scenes.words import of_split

COLORS = {
    "white": "白色", "black": "黑色", "red": "红色", "blue": "蓝色", "green": "绿色", "yellow": "黄色",
    "orange": "橙色", "purple": "紫色", "pink": "粉色", "gray": "灰色",
}  # fmt: skip
SHAPES = {
    "circle": "圆形", "square": "正方形", "triangle": "三角形", "star": "五角星", "heart": "爱心", "diamond": "菱形",
}  # fmt: skip
STYLES = {
    "gradient": "渐变背景", "striped": "条纹背景", "outlined": "图形带描边", "shadowed": "带阴影", "framed": "带边框",
    "dotted": "圆点背景", "paper": "纸张质感", "pixelated": "像素风格", "sketch": "素描排线风格",
}  # fmt: skip
FACES = {
    "sans": "无衬线体", "serif": "衬线体", "mono": "等宽字体", "italic": "斜体", "condensed": "窄体", "light": "细体",
    "cjk": "黑体", "wide": "宽体",
}  # fmt: skip


def place_zh(box: Box, scene: Scene) -> str:
    x, y = (box[0] + box[2]) / 2 / scene.width, (box[1] + box[3]) / 2 / scene.height
    vertical = "上" if y < 0.36 else "下" if y > 0.64 else ""
    horizontal = "左" if x < 0.36 else "右" if x > 0.64 else ""
    if vertical and horizontal:
        return f"{horizontal}{vertical}角"
    return f"{vertical}方" if vertical else f"{horizontal}边" if horizontal else "中间"


Usual = Set[TextItem | ShapeItem] | None


def _text(item: TextItem, scene: Scene, rng: random.Random, named: set[str], name: str, usual: Usual) -> str:
    quoted = f"“{item.text}”" if rng.random() < 0.6 else f'"{item.text}"'
    how = ""
    if rng.random() < 0.35 if usual is None else item not in usual:
        named.add(f"{name}.place")
        how += place_zh(item.box, scene)
    if rng.random() < 0.65:
        named.add(f"{name}.color")
        how += COLORS[item.color]
    if item.lettering == "grid" and item.size > GRID_CAP:
        named.add(f"{name}.size")
        how += "大号"
    if rng.random() < 0.25:
        named.add(f"{name}.face")
        how += FACES[item.face]
    return f"{how}的{quoted}" if how else quoted


def _shape(item: ShapeItem, scene: Scene, rng: random.Random, named: set[str], name: str, usual: Usual) -> str:
    where = ""
    if rng.random() < 0.5 if usual is None else item not in usual:
        named.add(f"{name}.place")
        where = place_zh(item.box, scene) + "的"
    named.add(f"{name}.color")
    return f"{where}一个{COLORS[item.color]}{SHAPES[item.shape]}"


def chinese(scene: Scene, rng: random.Random, split: str, usual: Usual = None) -> tuple[str, frozenset[str]]:
    """A Chinese prompt and what it names."""
    named: set[str] = set()
    texts = "和".join(_text(t, scene, rng, named, f"text{i}", usual) for i, t in enumerate(scene.texts))
    shapes = "和".join(_shape(o, scene, rng, named, f"object{i}", usual) for i, o in enumerate(scene.objects))
    kind: tuple[str, ...]
    if texts:
        kind = phrases.ZH_COLORED if rng.random() < 0.8 else phrases.ZH_PLAIN
    else:
        kind = phrases.ZH_NO_TEXT if shapes else phrases.ZH_BARE
    template = rng.choice(of_split(kind, split))
    if "{B}" in template:
        named.add("background")
    slots = {"N": rng.choice(phrases.ZH_NOUNS), "B": COLORS[scene.background], "T": texts, "O": shapes}
    sentence = re.sub(r"\{([A-Z])\}", lambda match: slots[match.group(1)], template)
    if scene.style != "flat":
        named.add("style")
        sentence = f"{sentence.rstrip('。')}，{STYLES[scene.style]}"
    if texts and shapes:
        tail = rng.choice(of_split(phrases.ZH_TAILS, split))
        sentence = tail.replace("{O}", shapes).replace("{S}", sentence.rstrip("。"))
    return sentence, frozenset(named)
