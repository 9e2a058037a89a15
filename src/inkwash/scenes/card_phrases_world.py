"""Sentence forms in Chinese, German, French and Spanish, by kind; slots as in `card_phrases` ({a} is {g} there)."""

from __future__ import annotations

FORMS: dict[str, dict[str, tuple[str, ...]]] = {
    "zh": {
        "SAYS": (
            "一张{g}，上面写着{T}", "{g}，写着{T}", "做一张{g}，文字是{T}", "请设计一张{g}，内容为{T}",
            "帮我做一张{g}，写上{T}",
            "我想要一张{g}，上面有{T}", "写着{T}的{g}", "{g}：{T}", "{g}，{T}", "{T}，{g}", "生成一张{g}，文字{T}",
            "给我画一张{g}，写{T}", "一个简单的{g}，写有{T}", "能不能做一张写着{T}的{g}？", "好看的{g}，上面写{T}",
            "我需要{g}，文字内容：{T}", "设计{g}，文案是{T}", "{g}上写着{T}", "在{g}上写{T}",
            "一款{g}，印着{T}", "来一张{g}，{T}",
            "可爱的{g}，文字为{T}", "麻烦做个{g}，要写{T}", "{g}一张，内容{T}", "{g}，文字：{T}", "带有{T}字样的{g}",
        ),
        "BARE_SAYS": (
            "{T}", "{T}", "写{T}", "写上{T}", "文字{T}", "请写{T}", "上面写着{T}", "画出文字{T}", "内容是{T}",
            "只写{T}", "请写上{T}", "显示{T}", "文字内容为{T}",
        ),
        "TITLED": (
            "一张{g}，标题是{F}，下面写{R}", "{g}，标题{F}，内容{R}", "{g}，上面写{F}，下面写{R}",
            "做一张{g}，大标题{F}，正文{R}",
            "{g}：标题{F}，其余{R}", "请设计{g}，题目为{F}，下方是{R}", "标题{F}，正文{R}，{g}",
            "题为{F}的{g}，下面有{R}",
            "一张{g}，上方{F}，下方{R}", "{g}，大字{F}，小字{R}",
        ),
        "SUBTITLED": ("{g}，标题{F}，副标题{R}", "一张{g}，主标题是{F}，副标题是{R}",
        "{g}，第一行{F}，第二行{R}", "{g}，写着{F}，底部是{R}"),
        "PICTURED": (
            "一张有{O}的{g}，写着{T}", "{g}，画着{O}，写有{T}", "{g}，{O}，{T}", "画{O}，写上{T}",
            "{g}，写着{T}，还有{O}",
            "做一张{g}，要有{O}和文字{T}", "{O}和文字{T}", "设计{g}，图案是{O}，文字是{T}", "{T}，配{O}",
            "带{O}的{g}，文字为{T}",
            "请画一张{g}，上面有{O}，并写着{T}", "{g}，文字{T}，配图{O}",
        ),
        "NO_TEXT": ("{O}", "画{O}", "一张{g}，画着{O}", "有{O}的{g}", "{g}，{O}", "请画{O}", "只画{O}", "{O}的图片"),
        "SPREAD": (
            "一张{g}。{M}", "{g}。{M}", "做一张{g}。{M}", "请设计{g}。{M}", "图上是一张{g}。{M}",
            "我需要一张{g}。{M}", "画{g}。{M}", "这是一张{g}。{M}", "帮忙做{g}。{M}", "要一张{g}。{M}",
        ),
        "SPREAD_FIRST": (
            "标题是{Q}", "最上面写{Q}", "第一行是{Q}", "顶部写着{Q}", "大标题{Q}", "首先是{Q}",
            "上方写{Q}", "开头是{Q}",
        ),
        "SPREAD_NEXT": (
            "下面写{Q}", "然后是{Q}", "接着写{Q}", "下一行{Q}", "再下面是{Q}", "还有{Q}", "其下为{Q}", "另一行写{Q}",
            "{Q}", "之后写{Q}",
        ),
        "SPREAD_LAST": ("最下面写{Q}", "最后一行是{Q}", "底部写着{Q}", "最后是{Q}", "结尾写{Q}", "页脚是{Q}"),
        "BLANK": (
            "一张{g}", "空白的{g}", "什么都没有的图", "一张空白图片",
            "{g}，什么都不要", "一张空的{g}", "只有背景的图",
        ),
        "EMPTY_QUOTES": (
            "一张{g}，写着{E}", "{g}，文字{E}",
            "画{g}，写{E}", "写着{E}的{g}", "请写{E}，{g}",
        ),
        "UNQUOTED": ("写着{T}的{g}", "{g}，写着{T}", "{T}", "一张{g}，上面写{T}", "{g}：{T}", "做一个{g}叫{T}"),
    },
    "de": {
        "SAYS": (
            "{g} mit dem Text {T}", "{g}: {T}", "{g}, auf dem Text steht {T}", "{g} mit der Aufschrift {T}",
            "Bitte {g} mit {T}", "{g}, darauf steht {T}", "ich brauche: {g} mit {T}", "{g} mit den Worten {T}",
            "Entwurf: {g}, Text {T}", "Kannst du das zeichnen: {g} mit {T}?", "{g}, Text: {T}", "{g}, Schriftzug {T}",
        ),
        "BARE_SAYS": ("Schreibe {T}", "Text {T}", "es soll {T} draufstehen", "Aufschrift {T}"),
        "TITLED": ("{g} mit dem Titel {F} und darunter {R}", "{g}, Überschrift {F}, Text {R}",
        "{g}: oben {F}, unten {R}"),
        "SUBTITLED": ("{g} mit dem Titel {F} und dem Untertitel {R}", "{g}, Titel {F}, Untertitel {R}"),
        "PICTURED": (
            "{g} mit dem Text {T}, dazu {O}", "{g}: {O}, Text {T}", "{g}, {O} und der Text {T}",
            "{O}, darunter steht {T}",
            "{g} mit Bild ({O}) und {T}",
        ),
        "NO_TEXT": ("{O}", "{g}: {O}", "Bild: {O}", "bitte zeichnen: {O}"),
        "BLANK": ("{g}, leer", "leeres Bild", "{g} ohne alles"),
        "EMPTY_QUOTES": ("{g} mit dem Text {E}", "{g}: {E}"),
        "UNQUOTED": ("{g} mit dem Text {T}", "{g}: {T}", "{g} mit der Aufschrift {T}"),
    },
    "fr": {
        "SAYS": (
            "{g} avec le texte {T}", "{g} : {T}", "{g} qui dit {T}", "{g} où il est écrit {T}",
            "je voudrais : {g} avec {T}",
            "{g}, texte {T}", "{g} avec les mots {T}", "fais-moi ça : {g} avec {T}", "{g} avec l'inscription {T}",
            "peux-tu dessiner ceci : {g} avec {T} ?",
        ),
        "BARE_SAYS": ("écris {T}", "texte {T}", "il doit être écrit {T}"),
        "TITLED": ("{g} avec le titre {F} et en dessous {R}", "{g}, titre {F}, puis {R}",
        "{g} : en haut {F}, en bas {R}"),
        "SUBTITLED": ("{g} avec le titre {F} et le sous-titre {R}", "{g}, titre {F}, sous-titre {R}"),
        "PICTURED": (
            "{g} avec {O} et le texte {T}", "{g}, {O}, texte {T}", "{g} qui dit {T} avec {O}", "{O} et les mots {T}",
        ),
        "NO_TEXT": ("{O}", "{g} avec {O}", "dessine {O}", "image : {O}"),
        "BLANK": ("{g} vide", "image vide"),
        "EMPTY_QUOTES": ("{g} avec le texte {E}", "{g} : {E}"),
        "UNQUOTED": ("{g} avec le texte {T}", "{g} : {T}", "{g} où il est écrit {T}"),
    },
    "es": {
        "SAYS": (
            "{g} con el texto {T}", "{g}: {T}", "{g} que dice {T}", "{g} donde pone {T}", "quiero esto: {g} con {T}",
            "{g}, texto {T}", "{g} con las palabras {T}", "necesito {g} con {T}", "hazme esto: {g} que diga {T}",
            "por favor, {g} con {T}",
        ),
        "BARE_SAYS": ("escribe {T}", "texto {T}", "que diga {T}"),
        "TITLED": ("{g} con el título {F} y debajo {R}", "{g}, título {F}, luego {R}", "{g}: arriba {F}, abajo {R}"),
        "SUBTITLED": ("{g} con el título {F} y el subtítulo {R}", "{g}, título {F}, subtítulo {R}"),
        "PICTURED": (
            "{g} con {O} y el texto {T}", "{g}, {O}, texto {T}", "{g} que dice {T} con {O}", "{O} y las palabras {T}",
        ),
        "NO_TEXT": ("{O}", "{g} con {O}", "dibuja {O}", "imagen: {O}"),
        "BLANK": ("{g} vacío", "imagen vacía"),
        "EMPTY_QUOTES": ("{g} con el texto {E}", "{g}: {E}"),
        "UNQUOTED": ("{g} que dice {T}", "{g}: {T}", "{g} con el texto {T}"),
    },
}  # fmt: skip
