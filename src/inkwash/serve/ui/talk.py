"""The chat tab: files dropped beside a question, the answer as it comes, thoughts folded, boxes drawn on the picture.

A conversation lives in the browser tab's state on the server; what the model reads next is the same as with
`inkwash chat`. Raw HTML of an answer stands between fences, so that it is shown and never run.
"""

from __future__ import annotations

import html
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from inkwash.core.errors import InkwashError, RequestError
from inkwash.engine.request import CancelToken
from inkwash.engine.see.output import Delta, VisionOutput
from inkwash.media.kinds import DOCUMENTS, VIDEOS, kind_of
from inkwash.media.marks import draw_boxes
from inkwash.media.reader import MediaReader
from inkwash.serve.chat import Chat
from inkwash.serve.service import Service
from inkwash.serve.ui.talk_words import tell
from inkwash.serve.ui.words import Language, language

SHOWN_EVERY_S = 0.08
FILES = ["image", *sorted(VIDEOS | DOCUMENTS)]
DEFAULT_TOKENS = 1024
_ENDS = {"length": "chat_cut", "repetition": "chat_repeated", "cancelled": "chat_stopped"}


@dataclass
class Talked:
    """A conversation of one browser tab: what the model reads, what is shown, and the picture that was seen last."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    shown: list[dict[str, Any]] = field(default_factory=list)
    picture: Path | None = None

    def ask(self, text: str, files: list[Path]) -> list[dict[str, Any]]:
        """The messages with a question at their end; it is kept when its answer is."""
        parts = [*({"type": kind_of(file), kind_of(file): file} for file in files), {"type": "text", "text": text}]
        return [*self.messages, {"role": "user", "content": parts}]


class ChatTab:
    """The tab over the model behind the service's chat route."""

    def __init__(self, service: Service, chat: Chat, words: gr.I18n) -> None:
        self.service, self.chat, self.words = service, chat, words
        self._running: dict[str, CancelToken] = {}

    def build(self) -> None:
        """Components and their wiring, inside the tab that the page has opened."""
        t = self.words
        talked = gr.State(None)
        shown = gr.Chatbot(
            show_label=False,
            height=480,
            placeholder=t("chat_empty"),  # type: ignore[arg-type]  # translated all the same
            sanitize_html=True,
            elem_id="iw-chat",
            buttons=["copy"],
        )
        question = gr.MultimodalTextbox(
            show_label=False,
            placeholder=t("chat_hint"),  # type: ignore[arg-type]
            file_count="multiple",
            file_types=FILES,
            sources=["upload"],
            max_lines=8,
            elem_id="iw-chat-question",
        )
        status = gr.HTML(elem_id="iw-chat-status")
        with gr.Row():
            stop = gr.Button(t("chat_stop"), elem_id="iw-chat-stop")
            clear = gr.Button(t("chat_clear"), elem_id="iw-chat-clear")
        with gr.Accordion(t("more"), open=False):
            think = gr.Checkbox(label=t("chat_think"), value=True, elem_id="iw-chat-think")
            with gr.Row():
                budget = gr.Number(label=t("chat_budget"), value=None, precision=0, minimum=0)
                length = gr.Number(label=t("chat_length"), value=DEFAULT_TOKENS, precision=0, minimum=1)
                temperature = gr.Number(label=t("chat_temperature"), value=0, minimum=0, maximum=2)
        outputs = [question, shown, talked, status]
        question.submit(
            self.answer,
            [question, talked, think, budget, length, temperature],
            outputs,
            show_progress="hidden",
            concurrency_limit=16,
        )
        stop.click(self.stop, None, None, queue=False, show_progress="hidden")
        gr.on([clear.click, shown.clear], self.clear, None, outputs, queue=False, show_progress="hidden")

    def answer(
        self,
        question: dict[str, Any],
        talked: Talked | None,
        think: bool,
        budget: float | None,
        length: float | None,
        temperature: float | None,
        request: gr.Request,
    ) -> Iterator[tuple[Any, ...]]:
        """Show the question, then the answer while it is written; a turn that fails leaves the question in the box."""
        lang, tab = language(request.headers.get("accept-language")), request.session_hash or "one"
        text, files = str(question.get("text") or "").strip(), [Path(file) for file in question.get("files") or []]
        talked = talked or Talked()
        before = list(talked.shown)
        try:
            if not text:
                raise RequestError(tell("chat_question", lang))
            if tab in self._running:
                raise RequestError(tell("chat_busy", lang))
            messages = talked.ask(text, files)
            picture = next((file for file in reversed(files) if kind_of(file) == "image"), talked.picture)
            client = request.username or "page"
            self.service.rates.spend(client)
            leave = self.service.rates.enter(client)
        except InkwashError as error:
            yield gr.skip(), gr.skip(), gr.skip(), _said(error.message)
            return
        cancel = self._running[tab] = CancelToken()
        asked = [*before, *({"role": "user", "content": {"path": str(file)}} for file in files)]
        asked.append({"role": "user", "content": text})
        try:
            yield None, asked, gr.skip(), ""
            settings = self._settings(think, budget, length, temperature)
            for said, output in self._follow(messages, settings, cancel):
                shown = [*asked, *_turn(said, output, lang)]
                if output is None:
                    yield gr.skip(), shown, gr.skip(), gr.skip()
                    continue
                shown += _marked(output, picture, lang, self.service.reader())
                talked.messages, talked.shown, talked.picture = [*messages, output.message], shown, picture
                yield gr.skip(), shown, talked, _said(_facts(output, lang))
        except InkwashError as error:
            yield question, before, gr.skip(), _said(error.message)
        finally:
            cancel.cancel()
            self._running.pop(tab, None)
            leave()

    def stop(self, request: gr.Request) -> None:
        """End the answer that this tab is waiting for; what was said stays."""
        running = self._running.get(request.session_hash or "one")
        if running is not None:
            running.cancel()

    def clear(self, request: gr.Request) -> tuple[Any, ...]:
        """A new conversation."""
        self.stop(request)
        return None, [], None, ""

    def _settings(
        self, think: bool, budget: float | None, length: float | None, temperature: float | None
    ) -> dict[str, Any]:
        """What the pipeline is asked for; a model without a switch gets a budget of none instead."""
        switch = self.chat.pipe.can_switch_thinking
        return {
            "enable_thinking": None if think or not switch else False,
            "thinking_budget": 0 if not think and not switch else None if budget is None else int(budget),
            "max_new_tokens": int(length or DEFAULT_TOKENS),
            "temperature": None if temperature is None else float(temperature),
            "fence_html": True,
            "media": self.chat.rules_below(Path(get_upload_folder())),
        }

    def _follow(
        self, messages: list[dict[str, Any]], settings: dict[str, Any], cancel: CancelToken
    ) -> Iterator[tuple[dict[str, str], VisionOutput | None]]:
        """What was said so far by kind, a few times a second, and the whole at the end."""
        said: dict[str, str] = {"thought": "", "answer": ""}
        stream, last = self.chat.pipe.stream(messages, cancel=cancel, **settings), time.monotonic()
        while True:
            try:
                delta: Delta = next(stream)
            except StopIteration as end:
                yield said, end.value
                return
            said[delta.kind] += delta.text
            if time.monotonic() - last > SHOWN_EVERY_S:
                yield said, None
                last = time.monotonic()


def _turn(said: dict[str, str], output: VisionOutput | None, lang: Language) -> list[dict[str, Any]]:
    """Thoughts as a block that folds itself when the answer begins, then the answer."""
    answer = said["answer"] if output is None else output.content
    thinking = output is None and not answer
    found: list[dict[str, Any]] = []
    if said["thought"].strip():
        metadata = {"title": tell("chat_thoughts", lang), "status": "pending" if thinking else "done"}
        found.append({"role": "assistant", "content": said["thought"].strip(), "metadata": metadata})
    if answer.strip() or not found:
        found.append({"role": "assistant", "content": answer.strip() or "…"})
    return found


def _marked(output: VisionOutput, picture: Path | None, lang: Language, reader: MediaReader) -> list[dict[str, Any]]:
    """The picture with the boxes of the answer."""
    if not output.boxes or picture is None:
        return []
    image = reader.picture(picture)
    marked = draw_boxes(image, output.pixel_boxes(*image.size))
    label = tell("chat_marked", lang, count=len(output.boxes))
    return [{"role": "assistant", "content": gr.Image(marked, format="png", label=label, buttons=["download"])}]


def _facts(output: VisionOutput, lang: Language) -> str:
    usage, seconds = output.usage, f"{output.timings['seconds']:.1f}"
    prompt, said = usage.prompt_tokens, usage.completion_tokens
    cost = tell("chat_cost", lang, prompt=prompt, cached=usage.cached_tokens, said=said, seconds=seconds)
    end = _ENDS.get(output.finish_reason)
    return f"{tell(end, lang)} {cost}" if end else cost


def _said(words: str) -> str:
    return f'<div class="iw-said">{html.escape(words)}</div>'
