"""Every word of the chat tab, in English and Chinese; `words.py` has those of the other tabs."""

from __future__ import annotations

from inkwash.serve.ui.words import Language

EN: dict[str, str] = {
    "chat": "Chat",
    "chat_hint": "Ask about pictures, videos or documents; drop them here",
    "chat_empty": "Drop pictures, a video, a PDF or slides below and ask about them.",
    "chat_stop": "Stop",
    "chat_clear": "New conversation",
    "chat_think": "Think before answering",
    "chat_budget": "Tokens of thought at most (empty: no limit)",
    "chat_length": "Tokens of the answer at most",
    "chat_temperature": "Temperature (0: always the likeliest word)",
    "chat_thoughts": "Thoughts",
    "chat_marked": "{count} marked",
    "chat_cost": "{prompt} tokens read, {cached} of them remembered; {said} written in {seconds} s",
    "chat_cut": "The answer reached its limit of tokens.",
    "chat_repeated": "Stopped: the answer repeated itself.",
    "chat_stopped": "Stopped.",
    "chat_question": "Write a question.",
    "chat_busy": "An answer is still being written in this tab: stop it first.",
}

ZH: dict[str, str] = {
    "chat": "对话",
    "chat_hint": "就图片、视频或文档提问;可将文件拖到这里",
    "chat_empty": "把图片、视频、PDF 或幻灯片拖到下面,然后提问。",
    "chat_stop": "停止",
    "chat_clear": "新对话",
    "chat_think": "回答前先思考",
    "chat_budget": "思考的词元上限(留空:不限)",
    "chat_length": "回答的词元上限",
    "chat_temperature": "温度(0:总取最可能的词)",
    "chat_thoughts": "思考过程",
    "chat_marked": "标出 {count} 处",
    "chat_cost": "读入 {prompt} 个词元(其中 {cached} 个已记住),写出 {said} 个,用时 {seconds} 秒",
    "chat_cut": "回答达到了词元上限。",
    "chat_repeated": "已停止:回答开始重复。",
    "chat_stopped": "已停止。",
    "chat_question": "请写下问题。",
    "chat_busy": "此标签页的回答尚未结束:请先停止。",
}

TABLES: dict[Language, dict[str, str]] = {"en": EN, "zh": ZH}


def tell(key: str, lang: Language, **slots: object) -> str:
    """A sentence of the table with its slots filled."""
    return TABLES[lang][key].format(**slots)
