"""The page for people: draw, edit, look back; mounted at /ui by ``serve --ui`` and ``inkwash ui``."""

from __future__ import annotations

import gradio as gr
from fastapi import FastAPI

from inkwash.core.errors import RequestError
from inkwash.serve.auth import identify
from inkwash.serve.service import Service
from inkwash.serve.ui.page import CSS, Page

PATH = "/ui"


def mount(app: FastAPI, service: Service) -> None:
    """Put the page at /ui. Where API keys are set, it asks for a key's name and secret."""
    page = Page(service)
    keys = service.settings.api_keys

    def known(name: str, secret: str) -> bool:
        try:
            return identify(keys, f"Bearer {secret}") == name
        except RequestError:
            return False

    fonts = ["system-ui", "Noto Sans", "Noto Sans CJK SC", "sans-serif"]
    gr.mount_gradio_app(
        app,
        page.build().queue(default_concurrency_limit=16, api_open=False),
        path=PATH,
        auth=known if keys else None,
        allowed_paths=[str(page.shelf.folder)],
        max_file_size=service.settings.max_image_bytes,
        i18n=page.i18n,
        theme=gr.themes.Soft(primary_hue="indigo", font=fonts, font_mono=["ui-monospace", "monospace"]),
        css_paths=[CSS],
        footer_links=[],
        ssr_mode=False,
        show_error=True,
    )
