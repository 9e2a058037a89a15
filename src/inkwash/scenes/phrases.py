"""The English and Chinese sentence templates that captions are put together from.

Slots: {N} noun ("poster"), {B} background colour, {T} the texts, {O} the shapes. Each list is split into train and
held-out by the hash of the template (`words.of_split`), so keep a template's wording once it has been trained on.
"""

from __future__ import annotations

NOUNS = ("poster", "sign", "picture", "card", "banner", "image", "flyer", "cover", "label", "print")

PLAIN = (
    "A {N} that says {T}",
    "A {N} with the text {T}",
    "a {N} saying {T}",
    "{T}",
    "Draw {T}",
    "Write {T}",
    "{N} that reads {T}",
    "A simple {N} that reads {T}.",
    "Make a {N} that says {T}.",
    "Create a {N} with the words {T}",
    "I want a {N} that says {T}",
    "Show {T} on a {N}",
    "Generate a {N} with {T} on it",
    "Please make me a {N} with {T}.",
    "a {N} with {T} written on it",
    "Design a {N} showing {T}.",
    "{T} written on a {N}",
    "Put {T} on a {N}",
    "A {N} displaying {T}.",
    "picture of {T}",
    "The text {T} on a {N}.",
    "A bold {N}: {T}",
    "A clean, simple {N} with {T}",
    "Could you draw a {N} that says {T}?",
    "An image of a {N} which reads {T}",
    "Lettering: {T}",
    "A {N} with the word {T}",
    "a {N} with the word {T} on it",
)

COLORED = (
    "{T} on a {B} background",
    "A {B} {N} that says {T}",
    "A {B} {N} with the text {T}",
    "a {B} {N} with {T}",
    "A {N} that says {T} on a {B} background",
    "A {N} with a {B} background and the text {T}.",
    "{B} background, {T}",
    "{T}, {B} background",
    "Write {T} on {B}",
    "Draw {T} on a {B} background.",
    "Make a {B} {N} that reads {T}",
    "Create a {B} {N} with {T} on it.",
    "a {B} {N} saying {T}",
    "A {B} {N}. It says {T}.",
    "A plain {B} {N} which reads {T}",
    "On a {B} background, {T}",
    "I need a {B} {N} showing {T}",
    "Generate {T} over a {B} background",
    "A {N} in {B} with {T}",
    "{N} with {T}, the background is {B}",
    "The background is {B}. The text says {T}.",
    "Design a {B} {N} displaying {T}",
    "A solid {B} {N} with {T} written on it",
    "picture of {T} on {B}",
    "Please draw a {B} {N} with the words {T}.",
    "{B} {N}: {T}",
    "A {N} showing {T} against a {B} background",
    "simple {B} {N}, text {T}",
    "Show {T} on a flat {B} background",
    "A {B} {N} with the word {T}",
    "a {B} {N} with the word {T} on it",
    "A {B} {N} showing the word {T}",
    "An image with a {B} backdrop that says {T}",
)

TAILS = (
    "{S} with {O}",
    "{S} and {O}",
    "{S}, with {O}",
    "{S}, and {O}",
    "{S} together with {O}",
    "{S}. Add {O}.",
    "{S}. There is {O}.",
    "{S}, decorated with {O}",
    "{S} plus {O}",
    "{S}. It also shows {O}.",
    "{S}, next to {O}",
    "{S}. Include {O}.",
    "{S}; also {O}",
    "{S}, accompanied by {O}",
)

NO_TEXT = (
    "{O}",
    "A {N} of {O}",
    "Draw {O}",
    "{O} on a {B} background",
    "A {B} {N} with {O}",
    "picture of {O} on {B}",
    "A {N} showing {O}",
    "{O}, {B} background",
)
BARE = (
    "A {B} {N}",
    "an empty {B} {N}",
    "plain {B} background",
    "A blank {B} {N}",
    "nothing but {B}",
    "just a {B} background",
    "Draw a plain {B} {N}.",
)

ZH_NOUNS = ("海报", "图片", "标牌", "卡片", "横幅", "封面")
ZH_PLAIN = (
    "一张写着{T}的{N}",
    "画一张{N}，上面写着{T}",
    "{T}",
    "请生成一张{N}，文字是{T}",
    "做一张{N}，内容为{T}",
    "{N}，文字{T}",
    "写上{T}的{N}",
    "一张简洁的{N}，写有{T}",
    "帮我设计一张{N}，写着{T}。",
    "我想要一张{N}，上面有{T}",
)
ZH_COLORED = (
    "{B}背景上写着{T}",
    "一张{B}的{N}，上面写着{T}",
    "{B}{N}，文字是{T}",
    "画一张{B}背景的{N}，写着{T}",
    "在{B}背景上写{T}",
    "请生成{B}背景的{N}，内容为{T}",
    "背景是{B}，文字是{T}",
    "{T}，{B}背景",
    "一张{B}底的{N}，写有{T}",
    "设计一张{B}的{N}，上面有{T}。",
    "{B}底色的{N}，写着{T}",
    "做一张{B}{N}，内容是{T}",
)
ZH_TAILS = ("{S}，还有{O}", "{S}，旁边有{O}", "{S}，配上{O}", "{S}，以及{O}", "{S}，加上{O}", "{S}，并画有{O}")
ZH_NO_TEXT = ("{O}", "画{O}", "{B}背景上有{O}", "一张{B}的{N}，画着{O}", "{O}，{B}背景")
ZH_BARE = ("一张{B}的{N}", "纯{B}背景", "空白的{B}{N}", "只有{B}背景")
