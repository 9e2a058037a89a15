"""The page: its lint, its shelf, its words, and the whole of it in a real browser where one is installed."""

from __future__ import annotations

import gc
import html
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from inkwash.core.types import Size
from inkwash.engine.defaults import ModelDefaults
from inkwash.models.glm_image.folder import drawing_defaults
from inkwash.models.registry import bundled_folder
from inkwash.serve.backend import ModelInfo
from inkwash.serve.server import mount_ui
from inkwash.serve.settings import ServeSettings
from inkwash.serve.ui.lint import lint_html
from inkwash.serve.ui.pictures import overlay, painted, picture_editor, uploads
from inkwash.serve.ui.shelf import Shelf
from inkwash.serve.ui.words import EN, ZH, language
from inkwash.serve.uploads import Uploads
from tests.server.conftest import Live, backend_of, running
from tests.server.fakes import FakeBackend
from tests.server.test_edits import png

CHROMIUM = shutil.which("chromium")
SHOWN = ModelDefaults(side=256, steps=33, guidance=2.5, temperature=0.8, top_p=0.7)
# Gradio and Playwright leave sockets and loops to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


INFO = ModelInfo(
    name="nano",
    natural_size=(384, 384),
    defaults=ModelDefaults(steps=20),
    limits=drawing_defaults(bundled_folder("nano")).limits,
    canonical_quotes=True,
)


@pytest.mark.parametrize(
    ("prompt", "says", "silent"),
    [
        ('A poster that says "HELLO"', ["Words to write: “HELLO”"], ["bad"]),
        ("A poster that says «HELLO»", ["Words to write: “HELLO”"], ["bad"]),
        ("A poster that says HELLO", ["without quotation marks"], ["Words to write"]),
        ('A poster that says "🎉 PARTY"', ["no emoji"], ["Words to write"]),
        ('"SALE" and "a text that never fits a line"', ["29 characters", "Words to write: “SALE”<"], []),
        ("a photo of a cat", ["does not know", "photo", "cat"], ["Words to write"]),
    ],
)
def test_the_page_says_what_will_not_be_drawn_and_promises_nothing(
    prompt: str, says: list[str], silent: list[str]
) -> None:
    shown = html.unescape(lint_html(prompt, "en", info=INFO, size=None))
    assert all(words in shown for words in says) and not any(words in shown for words in silent)
    assert "good" not in shown and lint_html("", "en", info=INFO, size=None) == ""
    assert lint_html(prompt, "zh", info=INFO, size=None) != lint_html(prompt, "en", info=INFO, size=None)


def test_a_size_that_was_never_learnt_is_said_while_it_is_chosen() -> None:
    assert "outside" in lint_html('A sign "OK"', "en", info=INFO, size=Size(1024, 1024))
    assert "nothing is quoted" in lint_html("a drawing", "en", info=INFO, size=None).lower()
    assert lint_html("make it blue", "en", info=INFO, size=None, edit=True) == ""


def test_what_a_prompt_holds_is_never_markup() -> None:
    for info in (None, INFO):
        assert "<b>" not in lint_html('says <b> and "<b>"', "en", info=info, size=None)


def test_both_languages_say_everything() -> None:
    assert EN.keys() == ZH.keys()
    for key, sentence in EN.items():
        slots = {part.split("}")[0] for part in sentence.split("{")[1:]}
        assert slots == {part.split("}")[0] for part in ZH[key].split("{")[1:]}, key
    assert [language(header) for header in ("zh-CN,zh;q=0.9", "en-US", None, "de")] == ["zh", "en", "en", "en"]


def test_the_shelf_drops_the_oldest_and_knows_its_own_files_only(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "pictures", kept=2)
    paths = [shelf.put(Image.new("RGB", (32, 32), color), {"seed": 1}) for color in ("red", "green", "blue")]
    assert len(list(shelf.folder.iterdir())) == 2
    assert sum(path.exists() for path in paths) == 2
    outside = tmp_path / "inkwash-secret.png"
    outside.write_bytes(b"x")
    assert shelf.find("../inkwash-secret.png") is None
    assert shelf.find("inkwash-nothing.png") is None
    kept = next(path for path in paths if path.exists())
    assert shelf.find(kept.name) == kept


def test_what_was_painted_becomes_the_mask() -> None:
    picture = Image.new("RGBA", (64, 64), "red")
    layer = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    assert painted([layer], picture.size) is None
    layer.paste((255, 60, 107, 255), (8, 8, 16, 16))
    mask = painted([layer], picture.size)
    assert mask is not None and mask.getbbox() == (8, 8, 16, 16)
    half = painted([layer], (32, 32))
    assert half is not None and half.getbbox() == (4, 4, 8, 8)


def test_what_comes_with_the_page_is_decoded_in_the_media_process(
    settings: Callable[..., ServeSettings], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What Gradio hands over of an editor's and a gallery's files is decoded nowhere here, only in the process."""
    import gradio as gr
    from gradio.components.image_editor import EditorData
    from gradio.data_classes import FileData

    layer = Image.new("RGBA", (64, 48), (0, 0, 0, 0))
    layer.paste((255, 60, 107, 255), (8, 8, 16, 16))
    files = {}
    for name, picture in (("first", Image.new("RGB", (64, 48), "red")), ("layer", layer)):
        files[name] = tmp_path / f"{name}.png"
        picture.save(files[name])
    with running(settings(), FakeBackend) as live:
        with monkeypatch.context() as patch:
            patch.setattr(Image, "open", lambda *_, **__: pytest.fail("decoded here"))
            with gr.Blocks():
                editor = picture_editor(live.service.settings)
                gallery = gr.Gallery(type="filepath")
            first = FileData(path=str(files["first"]), orig_name="first.png")
            given: Any = editor.preprocess(EditorData(background=first, layers=[FileData(path=str(files["layer"]))]))
            more: Any = gallery.preprocess(gallery.data_model.model_validate([{"image": first.model_dump()}]))
            made = uploads(given, more, live.service.settings, live.service.reader())
        assert made.images == (files["first"].read_bytes(),) * 2
        assert isinstance(made.mask, Image.Image) and made.mask.getchannel("A").getpixel((10, 10)) == 0
        assert made.mask.getchannel("A").getextrema() == (0, 255)


@pytest.fixture(scope="module", autouse=True)
def nothing_left() -> Iterator[None]:
    """Collect here what the page leaves: its warnings, told while a later test parses Python, break that."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def paged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A slow fake behind the page."""
    settings = ServeSettings(state=tmp_path_factory.mktemp("page"), shown=SHOWN)
    with running(settings, lambda: FakeBackend(step_s=0.01), prepare=mount_ui) as live:
        yield live


@pytest.fixture
def browser_page(paged: Live) -> Iterator[Any]:
    """A tab of a headless browser on the page."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=flags)
        tab = browser.new_page(locale="en-US", viewport={"width": 1280, "height": 950})
        tab.set_default_timeout(60_000)
        tab.goto(f"{paged.url}/ui/")
        tab.wait_for_selector("#iw-create-prompt textarea")
        yield tab
        browser.close()


def _says(tab: Any, where: str, words: str) -> None:
    tab.wait_for_function(f"document.querySelector('{where}').innerText.includes('{words}')")


def test_create_watch_and_use_again(browser_page: Any, paged: Live) -> None:
    tab = browser_page
    tab.fill("#iw-create-prompt textarea", "A poster that says HELLO")
    _says(tab, "#iw-create-lint", "without quotation marks")
    tab.fill("#iw-create-prompt textarea", 'A poster that says "HELLO"')
    _says(tab, "#iw-create-lint", "Words to write")
    tab.click("#iw-create-draw")
    _says(tab, "#iw-create-status", "Drawing")
    _says(tab, "#iw-create-status", "drawn in")
    drawn = backend_of(paged).drawn[-1]
    assert drawn.prompt == 'A poster that says "HELLO"'
    asked = (drawn.num_inference_steps, drawn.guidance_scale, drawn.temperature, drawn.top_p)
    # "More settings" was never unfolded.
    assert asked == (SHOWN.steps, SHOWN.guidance, SHOWN.temperature, SHOWN.top_p)
    tab.click("button[role=tab]:has-text('History')")
    tab.click("#iw-history img >> nth=0")
    _says(tab, "#iw-details", "HELLO")
    tab.click("#iw-again")
    tab.wait_for_selector("#iw-create-draw", state="visible")


def test_partial_pictures_are_watched_and_cancel_stops_the_drawing(browser_page: Any, paged: Live) -> None:
    backend, tab = backend_of(paged), browser_page
    backend.step_s = 0.3
    before = backend.cancelled
    try:
        tab.fill("#iw-create-prompt textarea", "two circles")
        tab.click("#iw-create-draw")
        _says(tab, "#iw-create-status", "Drawing")
        _says(tab, "#iw-create-gallery", "unfinished")
        assert tab.locator("#iw-create-gallery img").count() >= 1
        tab.click("#iw-create-cancel")
        _says(tab, "#iw-create-status", "Cancelled")
    finally:
        backend.step_s = 0.01
    assert backend.cancelled == before + 1


def test_edit_inside_what_was_painted(browser_page: Any, paged: Live, tmp_path: Path) -> None:
    tab = browser_page
    Image.new("RGB", (256, 256), "red").save(tmp_path / "red.png")
    tab.click("button[role=tab]:has-text('Edit')")
    tab.wait_for_function("document.querySelector('#iw-editor').innerText.includes('Upload')")
    tab.wait_for_timeout(2000)  # the editor's canvas is made in the background and tells nobody
    tab.set_input_files("#iw-editor input[type=file]", str(tmp_path / "red.png"))
    tab.wait_for_function("!document.querySelector('#iw-editor').innerText.includes('Upload')")
    tab.wait_for_timeout(500)
    box = tab.locator("#iw-editor canvas").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    tab.mouse.move(x - 40, y)
    tab.mouse.down()
    for step in range(8):
        tab.mouse.move(x - 40 + 10 * step, y)
    tab.mouse.up()
    tab.wait_for_timeout(1000)
    tab.fill("#iw-edit-prompt textarea", "Make it blue")
    tab.click("#iw-edit-draw")
    _says(tab, "#iw-edit-status", "drawn in")
    request = backend_of(paged).drawn[-1]
    assert request.images[0].getpixel((5, 5)) == (255, 0, 0)
    assert request.mask is not None
    assert request.mask.getpixel((5, 5)) == 0
    assert request.mask.getextrema() == (0, 255)


def test_the_page_asks_for_a_key_where_keys_are_set(
    settings: Callable[..., ServeSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    from inkwash.serve.auth import read_keys

    keys = read_keys(None, "me:a-long-secret")
    with running(settings(api_keys=keys), FakeBackend, prepare=mount_ui) as live:
        assert live.http.get("/ui/config").status_code == 401
        wrong = live.http.post("/ui/login", data={"username": "me", "password": "another-secret"})
        assert wrong.status_code == 400
        right = live.http.post("/ui/login", data={"username": "me", "password": "a-long-secret"})
        assert right.status_code == 200


def test_the_key_of_the_history_is_in_no_file_that_is_served(settings: Callable[..., ServeSettings]) -> None:
    """A folder of an earlier edition holds it; the page takes it away and makes its key otherwise."""
    made = settings()
    old = made.folder / "pictures" / ".secret"
    old.parent.mkdir(parents=True)
    old.write_text("the key of an earlier edition")
    with running(made, FakeBackend, prepare=mount_ui) as live:
        for name in (".secret", "../secret", "../jobs.sqlite3"):
            answer = live.http.get(f"/ui/gradio_api/file={made.folder}/pictures/{name}")
            assert answer.status_code in (403, 404), name
        assert not old.exists() and list(old.parent.iterdir()) == []


def test_the_page_orders_what_the_api_orders(settings: Callable[..., ServeSettings]) -> None:
    """The same fields on the page and in a body: the same request, the same warnings, the same pixels."""

    from inkwash.serve.ui.page import Page

    fields = {
        "prompt": 'says "HI"', "size": "80x70", "steps": 50, "guidance": 1.5, "count": 2, "seed": 5, "lock": True,
        "quality": "low", "layout": "same", "negative": "no quotes", "temperature": 0.9, "top_p": 0.75,
        "verify": False,
    }  # fmt: skip
    red, mask = Image.new("RGB", (64, 48), "red"), Image.new("L", (64, 48), 0)
    mask.paste(255, (0, 0, 20, 20))
    with running(settings(), FakeBackend) as live:
        page, backend = Page(live.service), backend_of(live)
        for pictures, painted_mask in (([], None), ([red], None), ([red], mask)):
            order = page._order(
                fields, Uploads(tuple(pictures), None if painted_mask is None else overlay(painted_mask))
            )
            body: dict[str, Any] = {"prompt": 'says "HI"', "n": 2, "quality": "low", "seed": 5, "layout": "same"}
            body |= {"negative_prompt": "no quotes"} | ({} if painted_mask else {"size": "80x70"})
            if pictures:
                alpha = Image.new("RGBA", red.size)
                alpha.putalpha(Image.eval(mask, lambda value: 255 - value))
                files = {"image": png(red)} | ({"mask": png(alpha)} if painted_mask else {})
                answer = live.http.post("/v1/images/edits", data={k: str(v) for k, v in body.items()}, files=files)
            else:
                answer = live.http.post("/v1/images/generations", json=body)
            asked = backend.drawn[-1]
            assert answer.status_code == 200, answer.text
            assert order.warnings == tuple(answer.json()["warnings"]) and order.warnings
            for name in ("prompt", "num_inference_steps", "guidance_scale", "quality", "seed", "num_images", "layout"):
                assert getattr(order.request, name) == getattr(asked, name), name
            assert (order.request.width, order.request.height) == (asked.width, asked.height)
            assert [each.tobytes() for each in order.request.images] == [each.tobytes() for each in asked.images]
            assert (order.request.mask is None) == (asked.mask is None)
            if asked.mask is not None and order.request.mask is not None:
                assert order.request.mask.tobytes() == asked.mask.tobytes()
        chosen = page._order({**fields, "steps": 7, "quality": "exact"}, Uploads())
        assert chosen.request.num_inference_steps == 7 and chosen.quality.name == "xhigh"


def test_the_page_checks_words(settings: Callable[..., ServeSettings]) -> None:
    """The switch on: attempts until the words are right; where they stay wrong the warning of the API, both tabs."""
    import gradio as gr

    from inkwash.engine.verify import Reading
    from inkwash.serve.service import Service
    from inkwash.serve.ui.page import FIELDS, Page

    def prepare(app: Any, service: Service) -> None:
        service.words._open = lambda: lambda image: Reading(lines=("HALLO",))

    fields: dict[str, Any] = {
        "prompt": 'says "HELLO"', "size": "64x64", "steps": 2, "guidance": 1.5, "count": 1, "seed": 5, "lock": True,
        "quality": "auto", "layout": "new", "negative": "", "temperature": 0.9, "top_p": 0.75, "verify": True,
    }  # fmt: skip
    with running(settings(), FakeBackend, prepare=prepare) as live:
        page, backend = Page(live.service), backend_of(live)
        page.build()
        request = gr.Request(headers={}, username=None, session_hash="tab")
        for handler, more in (
            (page.create, ()),
            (page.edit, ({"background": png(Image.new("RGB", (64, 64))), "layers": []}, None)),
        ):
            before = len(backend.drawn)
            last = list(handler(request, *(fields[name] for name in FIELDS), *more, []))[-1]
            assert "still wrong after 4 attempts" in html.unescape(last[0]), last[0]
            assert len(backend.drawn) == before + 4 and len(last[1]) == 1
            assert last[4][0]["verify"] is True and last[4][0]["kind"] == ("edit" if more else "create")
        live.service.words._open = live.service.words._read = None
        last = list(page.create(request, *(fields[name] for name in FIELDS), []))[-1]
        assert "extra 'ocr'" in html.unescape(last[0])
