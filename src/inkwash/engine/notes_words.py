"""The sentences of `engine.notes`, in the languages of the page."""

from __future__ import annotations

from typing import Literal

Language = Literal["en", "zh"]

EN = {
    "open": "a quotation mark ({mark}) has no partner: only what stands between two of them is written.",
    "empty": "there is nothing between two quotation marks, so no text is drawn there.",
    "style": "{texts} stands in quotation marks that this model does not read: use straight ones, {better}.",
    "unquoted": "{words} stands without quotation marks, so it is not written as text: put it in marks, {better}.",
    "emoji": "{letters} in {text}: this model draws no emoji.",
    "letters": "{letters} in {text}: this model does not know these characters.",
    "long": "{text} has {count} characters, but {room} fit into a line of {width} px{large}: the rest is lost.",
    "large": " in large letters",
    "lines": "the texts take {count} lines, but {room} fit: some will be missing.",
    "many": "{count} things are asked for, but this model draws at most {room} in a picture.",
    "unknown": "this model does not know {words}: it draws texts and {things}.",
    "language": "prompts are understood in {languages} only.",
    "nothing": "nothing is quoted and nothing to draw is named, so the picture will be an empty ground.",
    "size": "{size} is outside what this model has learnt: sides from {shortest} to {longest} px, at most {aspect}:1.",
    "photograph": "picture {number} looks like a photograph, which this model cannot read: it knows flat cards only.",
    "no_negative": "only its texts in quotation marks count, and it has none.",
    "no_guidance": "has no effect without guidance (above 1).",
    "more": "{words} and {count} more",
    "such": "{count} things such as {words}",
    "en": "English",
    "zh": "Chinese",
    "de": "German",
    "fr": "French",
    "es": "Spanish",
    "or": " or ",
}

ZH = {
    "open": "引号（{mark}）不成对：只有成对引号里的文字才会写出。",
    "empty": "两个引号之间没有内容，那里不会写字。",
    "style": "{texts} 用了本模型不识别的引号：请用直引号，{better}。",
    "unquoted": "{words} 没有放在引号里，不会作为文字写出：请加引号，{better}。",
    "emoji": "{text} 中的 {letters}：本模型不能画表情符号。",
    "letters": "{text} 中的 {letters}：本模型不认识这些字符。",
    "long": "{text} 有 {count} 个字符，而 {width} 像素宽的一行{large}只能容纳 {room} 个：其余会丢失。",
    "large": "用大字时",
    "lines": "文字共需 {count} 行，但只能容纳 {room} 行：会有缺失。",
    "many": "要求了 {count} 个图形，但本模型一张图最多画 {room} 个。",
    "unknown": "本模型不认识 {words}：它能画文字和 {things}。",
    "language": "本模型只理解{languages}提示词。",
    "nothing": "没有引号内容，也没有说出可画的东西，画面将是空的。",
    "size": "{size} 超出本模型学过的范围：边长 {shortest} 到 {longest} 像素，长宽比不超过 {aspect}:1。",
    "photograph": "第 {number} 张图片像是照片，本模型读不懂：它只认识平面卡片。",
    "no_negative": "只有引号里的文字起作用，而这里没有。",
    "no_guidance": "没有引导（大于 1）时不起作用。",
    "more": "{words} 等 {count} 个",
    "such": "{words} 等 {count} 种图形",
    "en": "英文",
    "zh": "中文",
    "de": "德文",
    "fr": "法文",
    "es": "西班牙文",
    "or": "或",
}

TABLES: dict[Language, dict[str, str]] = {"en": EN, "zh": ZH}
