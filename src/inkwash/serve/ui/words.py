"""Every word on the page, in English and Chinese.

Labels change with the browser's language through Gradio's own table; sentences that are made while a picture is drawn
ask for the language of the request.
"""

from __future__ import annotations

from typing import Literal

Language = Literal["en", "zh"]

EN: dict[str, str] = {
    "create": "Create",
    "edit": "Edit",
    "history": "History",
    "prompt": "What shall be drawn?",
    "prompt_hint": 'A poster that says "HELLO" in white letters',
    "instruction": "What shall change?",
    "instruction_hint": "Replace the background with blue",
    "size": "Size",
    "size_auto": "As the picture",
    "steps": "Steps",
    "guidance": "Guidance",
    "count": "Pictures",
    "seed": "Seed",
    "seed_lock": "Keep this seed",
    "verify": "Check the words, draw again until they are right",
    "quality": "Quality",
    "layout": "Several pictures",
    "layout_new": "each with a layout of its own",
    "layout_same": "one layout, different details",
    "negative": "Texts to avoid (in quotation marks)",
    "temperature": "Temperature",
    "top_p": "Top-p",
    "more": "More settings",
    "draw": "Draw",
    "cancel": "Cancel",
    "result": "Pictures",
    "files": "Download, settings inside",
    "first_picture": "Picture to edit; paint what may change",
    "references": "More reference pictures",
    "edit_this": "Edit this picture",
    "use_again": "Use these settings again",
    "settings": "Settings",
    "clear": "Forget my history",
    "square": "Square",
    "landscape": "Landscape",
    "portrait": "Portrait",
    "waiting": "Waiting: {position} before this one, about {eta} s",
    "planning": "Planning",
    "drawing": "Drawing",
    "tokens": "tokens",
    "done": "{count} drawn in {seconds} s, seed {seed}",
    "cancelled": "Cancelled",
    "unfinished": "unfinished",
    "empty_history": "Nothing drawn yet.",
    "no_picture": "Put in a picture to edit first.",
    "lint_quoted": "Words to write: {words}",
}

ZH: dict[str, str] = {
    "create": "生成",
    "edit": "编辑",
    "history": "历史",
    "prompt": "想画什么?",
    "prompt_hint": 'A poster that says "HELLO" in white letters',
    "instruction": "要改什么?",
    "instruction_hint": "Replace the background with blue",
    "size": "尺寸",
    "size_auto": "与原图相同",
    "steps": "步数",
    "guidance": "引导强度",
    "count": "张数",
    "seed": "种子",
    "seed_lock": "固定种子",
    "verify": "检查文字,直到画对为止",
    "quality": "质量",
    "layout": "多张图片",
    "layout_new": "每张布局不同",
    "layout_same": "同一布局,细节不同",
    "negative": "不想出现的文字(放在引号里)",
    "temperature": "温度",
    "top_p": "Top-p",
    "more": "更多设置",
    "draw": "绘制",
    "cancel": "取消",
    "result": "图片",
    "files": "下载(内含设置)",
    "first_picture": "要编辑的图片;可涂抹允许修改的区域",
    "references": "更多参考图",
    "edit_this": "编辑这张图片",
    "use_again": "再次使用这些设置",
    "settings": "设置",
    "clear": "清除我的历史",
    "square": "方形",
    "landscape": "横向",
    "portrait": "纵向",
    "waiting": "排队中:前面还有 {position} 个,约 {eta} 秒",
    "planning": "规划",
    "drawing": "绘制",
    "tokens": "词元",
    "done": "{count} 张,用时 {seconds} 秒,种子 {seed}",
    "cancelled": "已取消",
    "unfinished": "未完成",
    "empty_history": "还没有图片。",
    "no_picture": "请先放入要编辑的图片。",
    "lint_quoted": "要写的文字:{words}",
}

TABLES: dict[Language, dict[str, str]] = {"en": EN, "zh": ZH}


def language(accepted: str | None) -> Language:
    """The language of an Accept-Language header: Chinese where the reader prefers it, else English."""
    first = (accepted or "").split(",")[0].strip().lower()
    return "zh" if first.startswith("zh") else "en"


def say(key: str, lang: Language, **slots: object) -> str:
    """A sentence of the table with its slots filled."""
    return TABLES[lang][key].format(**slots)
