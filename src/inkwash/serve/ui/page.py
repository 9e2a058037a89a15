"""The page itself: three tabs of Gradio components and what their buttons do.

A handler is a generator: it yields what changes while a picture is drawn. The page fills the fields of the API and has
the service make its order of them, so it queues, cancels, warns and repeats like every other client.
"""

from __future__ import annotations

import hmac
import html
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from PIL import Image

from inkwash.core.errors import InkwashError, RequestError
from inkwash.core.types import Size
from inkwash.serve import answers
from inkwash.serve.answers import file_metadata
from inkwash.serve.orders import Order
from inkwash.serve.quality import CHOICES
from inkwash.serve.schemas import EditBody, GenerationBody, validated
from inkwash.serve.service import Service
from inkwash.serve.sizes import parse_size
from inkwash.serve.ui import pictures, talk_words
from inkwash.serve.ui.drawing import Runs, View, follow
from inkwash.serve.ui.lint import lint_html
from inkwash.serve.ui.shelf import Shelf
from inkwash.serve.ui.talk import ChatTab
from inkwash.serve.ui.words import EN, ZH, Language, language, say
from inkwash.serve.uploads import Uploads

if TYPE_CHECKING:
    from inkwash.engine.ticket import GenerationResult
    from inkwash.serve.backend import ModelInfo

CSS = Path(__file__).with_name("page.css")
MAX_PICTURES = 4
MAX_STEPS = 100
HISTORY = 60
_OLD_QUALITIES = {"exact": "xhigh"}  # of a history that an earlier edition wrote
FIELDS = (
    *("prompt", "size", "steps", "guidance", "count", "seed", "lock"),
    *("quality", "layout", "negative", "temperature", "top_p", "verify"),
)


class Page:
    """The page over one service; `build` makes its blocks, once."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.runs = Runs()
        self.shelf = Shelf(service.settings.folder / "pictures")
        en, zh = EN | talk_words.EN, ZH | talk_words.ZH
        self.i18n = gr.I18n(en=en, zh=zh, **{"zh-CN": zh, "zh-TW": zh})

    def build(self) -> gr.Blocks:
        """All tabs and their wiring."""
        t = self.i18n
        with gr.Blocks(title="Inkwash", analytics_enabled=False, fill_width=True) as blocks:
            model = html.escape(self.service.settings.served_name)
            gr.HTML(f'<div class="iw-head"><b>Inkwash</b><span>{model}</span></div>')
            history = gr.BrowserState([], storage_key="inkwash-history", secret=self._secret())
            with gr.Tabs() as tabs:
                with gr.Tab(t("create"), id="create"):
                    create, create_out = self._drawing_tab(edit=False)
                with gr.Tab(t("edit"), id="edit"):
                    edit, edit_out = self._drawing_tab(edit=True)
                if self.service.chat is not None:
                    with gr.Tab(t("chat"), id="chat"):
                        ChatTab(self.service, self.service.chat, t).build()
                with gr.Tab(t("history"), id="history") as history_tab:
                    shelf = gr.Gallery(
                        label=t("history"),
                        columns=4,
                        height="auto",
                        fit_columns=False,
                        buttons=[],
                        elem_id="iw-history",
                    )
                    details = gr.HTML(elem_id="iw-details")
                    chosen = gr.State(None)
                    with gr.Row():
                        again = gr.Button(t("use_again"), variant="primary", elem_id="iw-again")
                        clear = gr.Button(t("clear"), elem_id="iw-clear")
            self._wire_drawing(create, create_out, history, self.create)
            self._wire_drawing(edit, edit_out, history, self.edit)
            history_tab.select(self._shelf_items, history, shelf)
            shelf.select(self._chosen, history, [details, chosen])
            fields = [inputs[name] for inputs in (create, edit) for name in FIELDS]
            again.click(self._again, chosen, [*fields, tabs])
            clear.click(lambda: ([], [], "", None), None, [history, shelf, details, chosen])
            # The editor takes a picture only while it is shown: the tab first, then the picture.
            shown = create_out["edit_this"].click(lambda: gr.Tabs(selected="edit"), None, tabs)
            shown.then(self._to_edit, create_out["gallery"], edit["editor"])
        return blocks

    # -- components ---------------------------------------------------------------------------------------------------

    def _drawing_tab(self, *, edit: bool) -> tuple[dict[str, gr.components.Component], dict[str, Any]]:
        """Inputs on the left, pictures on the right; the same for drawing and editing."""
        t, where = self.i18n, "edit" if edit else "create"
        inputs: dict[str, Any] = {}
        outputs: dict[str, Any] = {}
        with gr.Row():
            with gr.Column(min_width=320):
                if edit:
                    inputs["editor"] = pictures.picture_editor(
                        self.service.settings,
                        label=t("first_picture"),
                        format="png",
                        sources=("upload", "clipboard"),
                        layers=False,
                        transforms=(),
                        brush=gr.Brush(default_size=24, colors=["#ff3b6b"], color_mode="fixed"),
                        elem_id="iw-editor",
                    )
                    inputs["references"] = gr.Gallery(
                        label=t("references"), type="filepath", format="png", columns=4, height="auto", interactive=True
                    )
                inputs["prompt"] = gr.Textbox(
                    label=t("instruction" if edit else "prompt"),
                    placeholder=t("instruction_hint" if edit else "prompt_hint"),
                    lines=3,
                    max_lines=8,
                    elem_id=f"iw-{where}-prompt",
                )
                hint = gr.HTML(elem_id=f"iw-{where}-lint")
                self._settings(inputs, edit)
                gr.on(
                    [inputs["prompt"].change, inputs["size"].change],
                    self._lint_edit if edit else self._lint,
                    [inputs["prompt"], inputs["size"]],
                    hint,
                    show_progress="hidden",
                    trigger_mode="always_last",
                    queue=False,
                )
                with gr.Row():
                    outputs["draw"] = gr.Button(t("draw"), variant="primary", elem_id=f"iw-{where}-draw")
                    outputs["cancel"] = gr.Button(t("cancel"), variant="stop", elem_id=f"iw-{where}-cancel")
            with gr.Column(min_width=320):
                outputs["status"] = gr.HTML(elem_id=f"iw-{where}-status")
                outputs["gallery"] = gr.Gallery(
                    label=t("result"),
                    type="filepath",
                    columns=2,
                    height=580,
                    object_fit="contain",
                    format="png",
                    interactive=False,
                    buttons=["download", "fullscreen"],
                    elem_id=f"iw-{where}-gallery",
                )
                outputs["files"] = gr.File(label=t("files"), file_count="multiple", interactive=False, visible=False)
                if not edit:
                    outputs["edit_this"] = gr.Button(t("edit_this"), elem_id="iw-edit-this")
        return inputs, outputs

    def _settings(self, inputs: dict[str, Any], edit: bool) -> None:
        t, shown, most = self.i18n, self.service.settings.shown, min(MAX_STEPS, self.service.settings.max_steps)
        with gr.Row():
            inputs["size"] = gr.Dropdown(
                label=t("size"),
                choices=self._sizes(edit),
                value="auto" if edit else self._sizes(False)[0][1],
                allow_custom_value=True,
                min_width=140,
            )
            inputs["count"] = gr.Slider(1, MAX_PICTURES, value=1, step=1, label=t("count"), min_width=140)
        with gr.Row():
            inputs["seed"] = gr.Number(label=t("seed"), value=None, precision=0, min_width=140)
            inputs["lock"] = gr.Checkbox(label=t("seed_lock"), value=False, min_width=140)
        inputs["verify"] = gr.Checkbox(
            label=t("verify"), value=False, elem_id=f"iw-{'edit' if edit else 'create'}-verify"
        )
        with gr.Accordion(t("more"), open=False):
            inputs["steps"] = gr.Slider(1, most, value=min(shown.steps, most), step=1, label=t("steps"))
            inputs["guidance"] = gr.Slider(1, 5, value=shown.guidance, step=0.1, label=t("guidance"))
            inputs["quality"] = gr.Dropdown(label=t("quality"), choices=["auto", *CHOICES], value="auto")
            inputs["layout"] = gr.Radio(
                label=t("layout"), choices=[(t("layout_new"), "new"), (t("layout_same"), "same")], value="new"
            )
            inputs["negative"] = gr.Textbox(label=t("negative"), lines=1)
            inputs["temperature"] = gr.Slider(0, 2, value=shown.temperature, step=0.05, label=t("temperature"))
            inputs["top_p"] = gr.Slider(0.05, 1, value=shown.top_p, step=0.05, label=t("top_p"))

    def _sizes(self, edit: bool) -> list[tuple[Any, str]]:
        """Presets around the model's natural size."""
        t = self.i18n
        info = None if self.service.backend is None else self.service.backend.info
        side = self.service.settings.shown.side if info is None else min(info.natural_size)
        long = side * 3 // 2 // 32 * 32
        presets = [("square", f"{side}x{side}"), ("landscape", f"{long}x{side}"), ("portrait", f"{side}x{long}")]
        shown: list[tuple[Any, str]] = [(f"{value.replace('x', ' x ')}", value) for _, value in presets]
        return [(t("size_auto"), "auto"), *shown] if edit else shown

    def _wire_drawing(self, inputs: dict[str, Any], outputs: dict[str, Any], history: Any, handler: Any) -> None:
        fields = [inputs[name] for name in FIELDS]
        extra = [inputs["editor"], inputs["references"]] if "editor" in inputs else []
        shown = [outputs["status"], outputs["gallery"], outputs["files"], inputs["seed"], history]
        start = {"fn": handler, "inputs": [*fields, *extra, history], "outputs": shown}
        gr.on([outputs["draw"].click, inputs["prompt"].submit], **start, show_progress="hidden", concurrency_limit=16)
        outputs["cancel"].click(self.cancel, None, None, queue=False, show_progress="hidden")

    # -- handlers -----------------------------------------------------------------------------------------------------

    def create(self, request: gr.Request, *values: Any) -> Iterator[tuple[Any, ...]]:
        """Draw from a prompt."""
        fields, (history,) = _fields(values), values[len(FIELDS) :]
        yield from self._draw(fields, Uploads, history, request)

    def edit(self, request: gr.Request, *values: Any) -> Iterator[tuple[Any, ...]]:
        """Draw from a prompt, a picture with what was painted on it, and further pictures."""
        fields, (editor, more, history) = _fields(values), values[len(FIELDS) :]
        if not (editor or {}).get("background"):
            gr.Warning(say("no_picture", _language(request)))
            yield ("", gr.skip(), gr.skip(), gr.skip(), gr.skip())
            return
        settings, reader = self.service.settings, self.service.reader()
        yield from self._draw(
            fields, lambda: pictures.uploads(editor, more, settings, reader), history, request, edit=True
        )

    def cancel(self, request: gr.Request) -> None:
        """Stop what this tab is waiting for."""
        self.runs.cancel(_tab(request))

    def _draw(
        self,
        fields: dict[str, Any],
        given: Callable[[], Uploads],
        history: list[dict[str, Any]],
        request: gr.Request,
        *,
        edit: bool = False,
    ) -> Iterator[tuple[Any, ...]]:
        lang, client = _language(request), request.username or "page"
        try:
            self.service.ready()
            self.service.rates.spend(client)
            leave = self.service.rates.enter(client)
        except RequestError as error:
            yield (_failed(error), gr.skip(), gr.skip(), gr.skip(), gr.skip())
            return
        try:
            order = self._order(fields, given())
            backend = self.service.drawing(order)
            yield (_warned(order.warnings), None, gr.File(value=None, visible=False), order.body.seed, gr.skip())
            for view in follow(backend, order.request, self.runs, _tab(request), lang):
                shown = [self._shown(view, index, order, lang) for index in sorted(view.pictures)]
                if view.result is None:
                    yield (view.status, shown, gr.skip(), gr.skip(), gr.skip())
                    continue
                files = [
                    self._keep(order, backend.info, view.result, index) for index in range(len(view.result.images))
                ]
                kind, seeds = ("edit" if edit else "create"), view.result.seeds
                entries = [self._entry(path, fields, own, kind) for path, own in zip(files, seeds, strict=True)]
                kept = [*entries, *(history or [])][:HISTORY]
                paths = [str(path) for path in files]
                said = view.status + _warned(answers.warnings(order, view.result))
                yield (said, paths, gr.File(value=paths, visible=True), gr.skip(), kept)
        except InkwashError as error:
            yield (_failed(error), gr.skip(), gr.skip(), gr.skip(), gr.skip())
        finally:
            leave()

    def _order(self, fields: dict[str, Any], given: Uploads) -> Order:
        """What the API makes of the same fields; what was left where the model has it is left to the model."""
        shown = self.service.settings.shown
        usual = {
            "steps": min(shown.steps, MAX_STEPS, self.service.settings.max_steps),
            "guidance": shown.guidance,
            "temperature": shown.temperature,
            "top_p": shown.top_p,
        }
        chosen = {name: None if fields[name] == value else fields[name] for name, value in usual.items()}
        values = {
            "prompt": str(fields["prompt"] or ""),
            "n": int(fields["count"]),
            "size": None if given.mask is not None else str(fields["size"]),
            "quality": _OLD_QUALITIES.get(fields["quality"], fields["quality"]),
            "seed": _seed(fields),
            "steps": None if chosen["steps"] is None else int(chosen["steps"]),
            "guidance_scale": chosen["guidance"],
            "negative_prompt": str(fields["negative"] or "").strip() or None,
            "layout": fields["layout"],
            "temperature": chosen["temperature"],
            "top_p": chosen["top_p"],
            "verify": bool(fields["verify"]) or None,
        }
        body = validated(EditBody if given.images else GenerationBody, values, strict=True)
        return self.service.prepare(body, given)

    def _shown(self, view: View, index: int, order: Order, lang: Language) -> tuple[Image.Image, str]:
        picture, finished = view.pictures[index]
        return (order.finish(picture), "") if finished else (picture, say("unfinished", lang))

    def _keep(self, order: Order, info: ModelInfo, result: GenerationResult, index: int) -> Path:
        """The file of a finished picture, with the settings that an answer of the API would write into it."""
        drawn, seed, found = result.images[index], result.seeds[index], answers.of_picture(result, index)
        picture = order.finish(drawn)
        sizes = Size(*drawn.size), Size(*picture.size)
        return self.shelf.put(picture, file_metadata(order, *sizes, info, index=index, seed=seed, verified=found))

    def _entry(self, path: Path, fields: dict[str, Any], seed: int | None, kind: str) -> dict[str, Any]:
        return {"file": path.name, "kind": kind, **{name: fields[name] for name in FIELDS}, "seed": seed, "count": 1}

    def _lint(self, prompt: str, size: str, request: gr.Request) -> str:
        return self._noted(prompt, size, request)

    def _lint_edit(self, prompt: str, size: str, request: gr.Request) -> str:
        return self._noted(prompt, size, request, edit=True)

    def _noted(self, prompt: str, size: str, request: gr.Request, *, edit: bool = False) -> str:
        info = None if self.service.backend is None else self.service.backend.info
        try:
            asked = parse_size(str(size))
        except RequestError:
            asked = None  # said when it is drawn
        return lint_html(prompt or "", _language(request), info=info, size=asked, edit=edit)

    def _there(self, history: list[dict[str, Any]] | None) -> list[tuple[str, dict[str, Any]]]:
        """Entries whose pictures are still on the shelf."""
        found = [(self.shelf.find(str(entry.get("file"))), entry) for entry in history or []]
        return [(str(path), entry) for path, entry in found if path is not None]

    def _shelf_items(self, history: list[dict[str, Any]] | None) -> list[tuple[str, str]]:
        return [(path, str(entry["prompt"])[:80]) for path, entry in self._there(history)]

    def _chosen(
        self, history: list[dict[str, Any]] | None, event: gr.SelectData, request: gr.Request
    ) -> tuple[Any, Any]:
        entries = self._there(history)
        if not isinstance(event.index, int) or event.index >= len(entries):
            return "", None
        entry = entries[event.index][1]
        return settings_html(entry, _language(request)), entry

    def _again(self, entry: dict[str, Any] | None) -> tuple[Any, ...]:
        """The chosen picture's settings into the tab they came from, its seed locked."""
        untouched = tuple(gr.skip() for _ in FIELDS)
        if entry is None:
            return (*untouched, *untouched, gr.skip())
        values = tuple({**entry, "lock": True}.get(name) for name in FIELDS)
        kind = "edit" if entry.get("kind") == "edit" else "create"
        filled = (*untouched, *values) if kind == "edit" else (*values, *untouched)
        return (*filled, gr.Tabs(selected=kind))

    def _to_edit(self, shown: list[tuple[str, str | None]] | None) -> Any:
        if not shown:
            return gr.skip()
        picture = self.service.reader().picture(shown[0][0])
        return {"background": picture, "layers": [], "composite": picture}

    def _secret(self) -> str:
        """History in the browser is sealed with a key of this server, the same after a restart.

        It follows from the server's secret and is nowhere in the folder whose files the page hands out.
        """
        return hmac.digest(self.service.folder.secret(), b"inkwash page history", "sha256").hex()[:32]


def settings_html(entry: dict[str, Any], lang: Language) -> str:
    """The settings of one picture as a list of names and values."""
    shown = ("prompt", "negative", "size", "seed", "steps", "guidance", "quality", "temperature", "top_p")
    rows = [
        f"<dt>{html.escape(say(name, lang))}</dt><dd>{html.escape(str(entry[name]))}</dd>"
        for name in shown
        if entry.get(name) not in (None, "")
    ]
    return f'<dl class="iw-settings">{"".join(rows)}</dl>'


def _warned(warnings: Sequence[str]) -> str:
    """The warnings that an answer of the API would hold."""
    return "".join(f'<div class="iw-said">{html.escape(warning)}</div>' for warning in warnings)


def _fields(values: tuple[Any, ...]) -> dict[str, Any]:
    """The settings by name; what a handler takes besides follows them."""
    return dict(zip(FIELDS, values[: len(FIELDS)], strict=True))


def _seed(fields: dict[str, Any]) -> int:
    """The locked seed, or a new one."""
    if fields["lock"] and fields["seed"] is not None:
        return int(fields["seed"])
    return secrets.randbelow(2**31)


def _failed(error: InkwashError) -> str:
    return f'<div class="iw-said">{html.escape(error.message)}</div>'


def _language(request: gr.Request) -> Language:
    return language(request.headers.get("accept-language"))


def _tab(request: gr.Request) -> str:
    return request.session_hash or "one"
