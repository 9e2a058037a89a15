"""The page: its two routes, its words, and the whole of it in a real browser where one is installed."""

from __future__ import annotations

import base64
import gc
import io
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops

from inkwash.engine.defaults import ModelDefaults
from inkwash.engine.verify import Reading
from inkwash.media.images import read_metadata
from inkwash.models.glm_image.folder import drawing_defaults
from inkwash.models.registry import bundled_folder
from inkwash.serve.auth import read_keys
from inkwash.serve.backend import ModelInfo
from inkwash.serve.server import mount_ui
from inkwash.serve.service import Service
from inkwash.serve.settings import ServeSettings
from inkwash.serve.ui.examples import EXAMPLES, helpers
from inkwash.serve.ui.routes import STATIC
from tests.server.conftest import Live, backend_of, running
from tests.server.fakes import FakeBackend

CHROMIUM = shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
SHOWN = ModelDefaults(side=256, steps=33, guidance=2.5, temperature=0.8, top_p=0.7)
WAIT_MS = 60_000
# Playwright leaves sockets and loops to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def nano() -> ModelInfo:
    """What the server says about the shipped model."""
    return ModelInfo(
        name="nano",
        natural_size=(256, 256),
        defaults=SHOWN,
        limits=drawing_defaults(bundled_folder("nano")).limits,
        canonical_quotes=True,
    )


class Fake(FakeBackend):
    """A slow fake that says of itself what nano does."""

    def __init__(self) -> None:
        super().__init__(step_s=0.01)
        self.info = nano()


def give_reader(app: Any, service: Service) -> None:
    """The page, and a reader that reads HALLO in every picture."""
    service.words._open = lambda: lambda image: Reading(lines=("HALLO",))
    mount_ui(app)


@pytest.fixture(scope="module", autouse=True)
def nothing_left() -> Iterator[None]:
    """Collect here what the browser leaves: its warnings, told while a later test parses Python, break that."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def paged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A slow fake behind the page."""
    settings = ServeSettings(state=tmp_path_factory.mktemp("page"), shown=SHOWN)
    with running(settings, Fake, prepare=give_reader) as live:
        yield live


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One headless Chromium."""
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        made = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield made
        made.close()


@pytest.fixture
def tab(browser: Any, paged: Live) -> Iterator[Any]:
    """A tab of its own, with an empty history; the console must stay clean."""
    context = browser.new_context(locale="en-US", viewport={"width": 1280, "height": 720}, accept_downloads=True)
    page = opened(context, paged)
    yield page
    clean(page)
    context.close()


def opened(context: Any, live: Live, section: str = "draw") -> Any:
    """The page in a tab that keeps what went wrong in it, for `clean`."""
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    page.wrong = []
    page.on("pageerror", lambda error: page.wrong.append(f"error: {error}"))
    page.on("console", lambda said: page.wrong.append(f"console: {said.text}") if said.type != "log" else None)
    page.on("requestfailed", lambda request: page.wrong.append(f"failed: {request.url} {request.failure}"))
    page.goto(f"{live.url}/ui#{section}")
    page.wait_for_selector("html[data-ready]")
    return page


def clean(page: Any) -> None:
    """Nothing went wrong but what the server refused and what was stopped on purpose."""
    expected = ("responded with a status of 4", "ERR_ABORTED", "[DOM]", "willReadFrequently")
    assert [line for line in page.wrong if not any(part in line for part in expected)] == []


def playwright_expect(locator: Any) -> Any:
    """Playwright's assertions, which wait; imported when a browser is there."""
    from playwright.sync_api import expect

    return expect(locator)


def says(tab: Any, where: str, words: str) -> None:
    """Waited for by Playwright itself: `wait_for_function` asks again by `eval`, which the page's policy forbids."""
    playwright_expect(tab.locator(where).first).to_contain_text(words, use_inner_text=True, timeout=WAIT_MS)


def drawn(tab: Any, kind: str = "draw") -> None:
    tab.wait_for_selector(f"#{kind} .actions:not([hidden])")
    tab.wait_for_selector(f"#{kind}[aria-busy=false]")


def picture(color: str = "red", side: int = 256) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), color).save(buffer, "PNG")
    return buffer.getvalue()


def drop(tab: Any, name: str, content: bytes, kind: str = "image/png") -> None:
    """A file dropped onto the page, as a hand would do it."""
    data = tab.evaluate_handle(
        """([name, kind, text]) => {
            const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
            const data = new DataTransfer();
            data.items.add(new File([bytes], name, {type: kind}));
            return data;
        }""",
        [name, kind, base64.b64encode(content).decode()],
    )
    tab.dispatch_event("html", "drop", {"dataTransfer": data})


# -- without a browser ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "says", "words"),
    [
        ('A poster that says "HELLO"', [], ["HELLO"]),
        ("A poster that says «HELLO»", [], ["HELLO"]),
        ("A poster that says HELLO", ["without quotation marks"], []),
        ('A poster that says "🎉 PARTY"', ["no emoji"], []),
        ('"SALE" and "a text that never fits a line"', ["29 characters"], ["SALE"]),
        ("a photo of a cat", ["does not know", "photo", "cat"], []),
        ("a drawing", ["Nothing is quoted"], []),
        ("<b>", ["does not know"], []),
    ],
)
def test_the_page_says_what_will_not_be_drawn_and_promises_nothing(
    paged: Live, prompt: str, says: list[str], words: list[str]
) -> None:
    said = {
        language: paged.http.post("/ui/notes", json={"prompt": prompt, "language": language}).json()
        for language in ("en", "zh")
    }
    assert all(part in " ".join(said["en"]["notes"]) for part in says) and bool(says) == bool(said["en"]["notes"])
    assert said["en"]["words"] == said["zh"]["words"] == words
    assert not says or said["zh"]["notes"] != said["en"]["notes"]


def test_notes_know_sizes_and_edits(paged: Live) -> None:
    def notes(**fields: Any) -> list[str]:
        return list(paged.http.post("/ui/notes", json=fields).json()["notes"])

    [said] = notes(prompt='A sign "OK"', size="1024x1024")
    assert "outside" in said
    assert notes(prompt="make it blue", edit=True, size="auto") == []
    assert notes(prompt='A sign "OK"', size="no size") == notes(prompt='A sign "OK"') == []
    assert paged.http.post("/ui/notes", json={"prompt": "x" * 40_000}).status_code == 400


def test_what_the_page_is_told(paged: Live) -> None:
    about = paged.http.get("/ui/about").json()
    assert about["ready"] and about["draws"] and about["name"] == "nano" and about["chat"] is None
    assert about["shapes"] == {"square": [256, 256], "landscape": [384, 256], "portrait": [256, 384]}
    assert about["defaults"]["steps"] == SHOWN.steps and len(about["things"]) == 6 and "A" in about["alphabet"]
    limits = nano().limits
    assert limits is not None and about["helpers"] == helpers(limits) and about["helpers"]
    for example in EXAMPLES:
        assert (STATIC / "examples" / f"{example['name']}.webp").is_file()


def test_files_of_the_page_come_from_here_and_nothing_else_is_loaded(paged: Live) -> None:
    answer = paged.http.get("/ui")
    assert answer.status_code == 200 and "default-src 'self'" in answer.headers["content-security-policy"]
    for name in re.findall(r'(?:src|href)="(ui/[^"]+)"', answer.text):
        found = paged.http.get(f"/{name}")
        assert found.status_code == 200 and found.headers["x-content-type-options"] == "nosniff", name
    for path in STATIC.rglob("*.*"):
        if path.suffix in (".js", ".css", ".html"):
            assert not re.findall(r"https?://(?!www\.w3\.org)", path.read_text(encoding="utf-8")), path
    for name in ("../routes.py", "%2e%2e/routes.py", "..%2f..%2fapp.py"):
        assert paged.http.get(f"/ui/static/{name}").status_code == 404


def test_both_languages_say_everything() -> None:
    text = (STATIC / "words.js").read_text(encoding="utf-8")
    tables = {}
    for name in ("EN", "ZH"):
        block = text.split(f"const {name} = {{")[1].split("\n};")[0]
        tables[name] = dict(re.findall(r'(\w+): ("(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\')', block))
    assert tables["EN"].keys() == tables["ZH"].keys() and len(tables["EN"]) > 100
    for key, sentence in tables["EN"].items():
        assert set(re.findall(r"\{(\w+)\}", sentence)) == set(re.findall(r"\{(\w+)\}", tables["ZH"][key])), key
    used = set(re.findall(r'data-t(?:-\w+)?="(\w+)"', (STATIC / "index.html").read_text(encoding="utf-8")))
    for path in STATIC.glob("*.js"):
        used |= set(re.findall(r'\bt\("(\w+)"', path.read_text(encoding="utf-8")))
    assert used <= tables["EN"].keys(), used - tables["EN"].keys()


def test_the_page_asks_for_a_key_where_keys_are_set(settings: Callable[..., ServeSettings]) -> None:
    with running(
        settings(api_keys=read_keys(None, "me:a-long-secret")), FakeBackend, prepare=lambda app, _: mount_ui(app)
    ) as live:
        assert live.http.get("/ui").status_code == 200, "the page itself tells nothing"
        for path in ("/ui/about", "/ui/notes"):
            assert live.http.get(path).status_code in (401, 405)
        assert live.http.post("/ui/notes", json={"prompt": "a"}).status_code == 401
        key = {"Authorization": "Bearer a-long-secret"}
        assert live.http.get("/ui/about", headers=key).json()["name"] == "nano"


# -- in a browser -----------------------------------------------------------------------------------------------------


def test_the_first_screen_has_prompt_button_and_examples(tab: Any) -> None:
    for where in ("#prompt-draw", "#draw .go .draw", "#draw .examples button"):
        box = tab.locator(where).first.bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= 720, where
    tab.click("#draw [data-example] >> nth=0")
    drawn(tab)
    image = tab.locator("#draw .view img").bounding_box()
    button = tab.locator("#draw .go .draw").bounding_box()
    assert image["y"] + image["height"] <= 720 and button["y"] + button["height"] <= 720


def test_draw_look_back_and_use_again(tab: Any, paged: Live) -> None:
    tab.fill("#prompt-draw", "A poster that says HELLO")
    says(tab, "#draw .notes", "without quotation marks")
    tab.fill("#prompt-draw", 'A poster that says "HALLO"')
    says(tab, "#draw .notes", "Words to write: “HALLO”")
    tab.press("#prompt-draw", "Control+Enter")
    drawn(tab)
    asked = backend_of(paged).drawn[-1]
    assert asked.prompt == 'A poster that says "HALLO"' and (asked.width, asked.height) == (256, 256)
    assert (asked.temperature, asked.top_p) == (None, None), "what nobody set is the model's own"
    says(tab, "#draw .actions", "All words are right")  # as the reader says, which the box asks for
    says(tab, "#draw .actions", str(asked.seed))
    tab.click("#draw [data-act=again_seed]")
    assert tab.input_value("#draw .seed") == str(asked.seed)
    tab.fill("#prompt-draw", "something else")
    tab.click("#tab-history")
    tab.click("#shelf button")
    says(tab, "#lightbox", 'A poster that says "HALLO"')
    tab.click("#lightbox [data-act=use_again]")
    assert tab.input_value("#prompt-draw") == 'A poster that says "HALLO"'
    assert tab.input_value("#draw .seed") == str(asked.seed)
    tab.reload()
    tab.wait_for_selector("html[data-ready]")
    tab.click("#tab-history")
    tab.fill("#search", "no such prompt")
    says(tab, "#history", "kept here")
    tab.fill("#search", "hallo")
    tab.click("#shelf button")
    tab.click("#lightbox [data-act=delete]")
    says(tab, "#history", "kept here")


def test_every_setting_reaches_the_model(tab: Any, paged: Live) -> None:
    tab.fill("#prompt-draw", 'says "HALLO"')
    tab.uncheck("#draw .verify")
    tab.click("#draw [data-shape=custom]")
    tab.fill("#draw .width", "320")
    tab.fill("#draw .height", "192")
    tab.click("#draw .swap")
    tab.click("#draw .stepper .more")
    tab.click("#draw .more-settings summary")
    for name, value in {"seed": "7", "steps": "5", "guidance": "1.5", "temperature": "0.5", "top-p": "0.6"}.items():
        tab.fill(f"#draw .{name}", value)
    tab.fill("#draw .negative", '"SALE"')
    tab.select_option("#draw .quality", "low")
    tab.select_option("#draw .layout", "same")
    tab.click("#draw .go .draw")
    drawn(tab)
    asked = backend_of(paged).drawn[-1]
    assert (asked.width, asked.height, asked.num_images, asked.layout) == (192, 320, 2, "same")
    assert (asked.seed, asked.num_inference_steps, asked.guidance_scale) == (7, 8, 1.5)  # "low" takes 5 of 8
    assert (asked.temperature, asked.top_p, asked.negative_prompt, asked.quality) == (0.5, 0.6, '"SALE"', "low")
    assert tab.locator("#draw .variants button").count() == 2
    tab.click("#draw .variants button >> nth=1")
    says(tab, "#draw .actions", "Seed 8")
    tab.click("#draw .dice")
    assert tab.input_value("#draw .seed") == ""


def test_partial_pictures_are_watched_and_stop_ends_the_drawing(tab: Any, paged: Live) -> None:
    backend = backend_of(paged)
    backend.step_s, before = 0.3, backend.cancelled
    try:
        tab.fill("#prompt-draw", "two circles")
        tab.uncheck("#draw .verify")
        tab.click("#draw .go .draw")
        tab.wait_for_selector("#draw .view img.unfinished")
        says(tab, "#draw .progress", "Drawing: step")
        tab.click("#draw .stop")
        says(tab, "#draw .progress", "Stopped.")
        tab.wait_for_selector("#draw .go .draw:not([disabled])")
        tab.wait_for_timeout(500)
    finally:
        backend.step_s = 0.01
    assert backend.cancelled == before + 1


def test_wrong_words_are_said_and_drawn_again(tab: Any, paged: Live) -> None:
    tab.fill("#prompt-draw", 'says "HELLO"')
    before = len(backend_of(paged).drawn)
    tab.click("#draw .go .draw")
    drawn(tab)
    says(tab, "#draw .actions", "Not all words are right")
    says(tab, "#draw .progress", "still wrong after 4 attempts")
    assert len(backend_of(paged).drawn) == before + 4
    tab.click("#draw [data-act=redraw]")
    tab.wait_for_selector("#draw[aria-busy=true]")
    drawn(tab)
    assert len(backend_of(paged).drawn) == before + 8


def test_a_refusal_is_one_sentence_on_the_page(tab: Any) -> None:
    tab.fill("#prompt-draw", 'says "HALLO"')
    tab.click("#draw [data-shape=custom]")
    tab.fill("#draw .width", "5000")
    tab.click("#draw .go .draw")
    says(tab, "#draw .progress", "2048")
    assert tab.is_enabled("#draw .go .draw")


def test_downloads_have_the_prompt_as_their_name_and_restore_the_settings(
    tab: Any, paged: Live, tmp_path: Path
) -> None:
    tab.fill("#prompt-draw", 'A sign: "HALLO"/2')
    tab.click("#draw .more-settings summary")
    tab.fill("#draw .seed", "11")
    tab.fill("#draw .steps", "6")
    tab.click("#draw [data-shape=landscape]")
    tab.click("#draw .go .draw")
    drawn(tab)
    files = {}
    for ending in ("png", "webp", "jpg"):
        tab.click("#draw .actions [data-act=download]")
        with tab.expect_download() as waited:
            tab.click(f"#draw .actions [data-format={ending}]")
        assert waited.value.suggested_filename == f"A-sign-HALLO-2.{ending}"
        files[ending] = tmp_path / waited.value.suggested_filename
        waited.value.save_as(files[ending])
        with Image.open(files[ending]) as image:
            assert image.size == (384, 256) and image.format == {"jpg": "JPEG"}.get(ending, ending.upper())
    assert read_metadata(files["png"])["seed"] == 11
    tab.reload()
    tab.wait_for_selector("html[data-ready]")
    drop(tab, "a.png", files["png"].read_bytes())
    says(tab, "#toasts", "filled in")
    assert tab.input_value("#prompt-draw") == 'A sign: "HALLO"/2'
    assert [tab.input_value(f"#draw .{name}") for name in ("seed", "steps")] == ["11", "6"]
    assert tab.get_attribute("#draw [data-shape=landscape]", "aria-pressed") == "true"
    drop(tab, "b.png", picture())
    says(tab, "#toasts", "no settings")
    tab.click("#tab-history")
    with tab.expect_download() as waited:
        tab.click("#download-all")
    waited.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.testzip() is None and archive.namelist() == ["A-sign-HALLO-2.png"]
        assert archive.read("A-sign-HALLO-2.png") == files["png"].read_bytes()
    tab.on("dialog", lambda dialog: dialog.accept())
    tab.click("#forget")
    says(tab, "#history", "kept here")


@pytest.mark.parametrize("ending", ["webp", "jpeg"])
def test_settings_come_back_from_every_format_that_the_api_writes(tab: Any, paged: Live, ending: str) -> None:
    body = {"prompt": 'a "{x}" \\ sign', "size": "256x256", "seed": 3, "output_format": ending}
    answer = paged.http.post("/v1/images/generations", json=body).json()
    drop(tab, f"a.{ending}", base64.b64decode(answer["data"][0]["b64_json"]), f"image/{ending}")
    says(tab, "#toasts", "filled in")
    assert tab.input_value("#prompt-draw") == body["prompt"] and tab.input_value("#draw .seed") == "3"


def start_editing(tab: Any, content: bytes) -> Any:
    tab.click("#tab-edit")
    files = [{"name": "red.png", "mimeType": "image/png", "buffer": content}]
    tab.set_input_files("#edit .base-file", files)
    return tab.wait_for_selector("#mask")


def paint(tab: Any, *points: tuple[float, float]) -> None:
    """A stroke through points of the picture, in parts of its sides."""
    box = tab.locator("#mask").bounding_box()
    for number, (x, y) in enumerate(points):
        tab.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
        if number == 0:
            tab.mouse.down()
    tab.mouse.up()


def mask_of(paged: Live) -> Image.Image | None:
    return backend_of(paged).drawn[-1].mask


def test_edit_inside_what_was_painted_and_change_it_further(tab: Any, paged: Live) -> None:
    start_editing(tab, picture())
    tab.uncheck("#edit .verify")
    paint(tab, (0.3, 0.5), (0.7, 0.5))
    tab.fill("#prompt-edit", "Make it blue")
    tab.click("#edit .go .draw")
    drawn(tab, "edit")
    request, mask = backend_of(paged).drawn[-1], mask_of(paged)
    assert request.images[0].getpixel((5, 5)) == (255, 0, 0) and mask is not None
    assert mask.getpixel((5, 5)) == 0 and mask.getpixel((128, 128)) == 255
    slider = tab.locator("#edit .compare input")
    slider.evaluate("node => { node.value = 70; node.dispatchEvent(new Event('input')); }")
    assert "70" in tab.locator("#edit .compare").get_attribute("style")
    tab.click("#edit [data-act=keep_going]")
    tab.locator("#edit .chain li").nth(1).wait_for()
    assert tab.input_value("#prompt-edit") == ""
    tab.fill("#prompt-edit", "Now a star")
    tab.click("#edit .go .draw")
    drawn(tab, "edit")
    assert mask_of(paged) is None, "nothing was painted on the second picture"
    assert backend_of(paged).drawn[-1].images[0].getpixel((5, 5)) == (255, 0, 0), "kept outside of the first mask"
    tab.click("#edit .chain button >> nth=0")
    tab.wait_for_selector("#mask")


def test_the_tools_of_the_mask(tab: Any, paged: Live) -> None:
    start_editing(tab, picture())
    tab.uncheck("#edit .verify")

    def painted() -> float:
        return float(
            tab.evaluate(
                """() => {
                    const canvas = document.getElementById('mask');
                    const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
                    let count = 0;
                    for (let i = 3; i < data.length; i += 4) count += data[i] > 8;
                    return count / (data.length / 4);
                }"""
            )
        )

    paint(tab, (0.2, 0.5), (0.8, 0.5))
    one = painted()
    assert 0.05 < one < 0.2
    tab.click("#edit [data-act=invert]")
    assert painted() == pytest.approx(1 - one, abs=0.01)
    tab.click("#edit [data-act=undo]")
    assert painted() == pytest.approx(one, abs=0.002)
    tab.click("#edit [data-act=redo]")
    tab.click("#edit [data-act=clear]")
    assert painted() == 0
    tab.focus("#mask")
    for key in ("Enter", "ArrowRight", "ArrowRight", "Enter"):  # without a pointer
        tab.keyboard.press(key)
    by_keys = painted()
    assert by_keys > 0
    tab.keyboard.press("Control+z")
    assert painted() < by_keys
    tab.click("#edit [data-act=clear]")
    tab.click("#edit [data-mode=eraser]")
    paint(tab, (0.2, 0.5), (0.8, 0.5))
    assert painted() == 0
    tab.click("#edit .tools .menu > button")
    tab.click("#edit .tools [data-side=right]")
    playwright_expect(tab.locator("#mask")).to_have_js_property("width", 384, timeout=WAIT_MS)
    assert painted() == pytest.approx(1 / 3, abs=0.01)
    tab.fill("#prompt-edit", "Go on to the right")
    tab.click("#edit .go .draw")
    drawn(tab, "edit")
    request, mask = backend_of(paged).drawn[-1], mask_of(paged)
    assert request.images[0].size == (384, 256) and mask is not None and mask.getbbox() == (256, 0, 384, 256)


def test_a_soft_edge_blends_the_result_into_the_picture(tab: Any, paged: Live) -> None:
    start_editing(tab, picture())
    tab.uncheck("#edit .verify")
    tab.locator("#edit [data-slide=feather]").fill("40")
    paint(tab, (0.3, 0.5), (0.7, 0.5))
    tab.fill("#prompt-edit", "Make it blue")
    tab.click("#edit .go .draw")
    drawn(tab, "edit")
    values = tab.evaluate(
        """() => {
            const image = document.querySelector('#edit .compare img'), canvas = document.createElement('canvas');
            canvas.width = canvas.height = 256;
            const pen = canvas.getContext('2d');
            pen.drawImage(image, 0, 0, 256, 256);
            return Array.from(pen.getImageData(0, 0, 256, 256).data);
        }"""
    )
    image = Image.frombytes("RGBA", (256, 256), bytes(values)).convert("RGB")
    difference = ImageChops.difference(image, Image.new("RGB", image.size, "red")).convert("L")
    column = [difference.getpixel((128, y)) for y in range(256)]
    most = max(column)
    assert column[5] == 0 and most > 20
    between = [value for value in column if 0.1 * most < value < 0.9 * most]
    assert len(between) >= 8, "the edge is a slope, no step"


def test_more_pictures_are_references(tab: Any, paged: Live) -> None:
    start_editing(tab, picture())
    tab.uncheck("#edit .verify")
    drop(tab, "blue.png", picture("blue"))
    tab.wait_for_selector("#edit .references li")
    tab.fill("#prompt-edit", "Combine them")
    tab.click("#edit .go .draw")
    drawn(tab, "edit")
    assert [image.getpixel((0, 0)) for image in backend_of(paged).drawn[-1].images] == [(255, 0, 0), (0, 0, 255)]
    tab.click("#edit .references button")
    assert tab.locator("#edit .references li").count() == 0


def test_a_drawn_picture_is_edited_with_one_click(tab: Any, paged: Live) -> None:
    tab.fill("#prompt-draw", "two circles")
    tab.uncheck("#draw .verify")
    tab.click("#draw .go .draw")
    drawn(tab)
    tab.click("#draw [data-act=edit_this]")
    tab.wait_for_selector("#edit #mask")
    tab.fill("#prompt-edit", "Make it blue")
    tab.uncheck("#edit .verify")
    tab.click("#edit .go .draw")
    drawn(tab, "edit")
    assert len(backend_of(paged).drawn[-1].images) == 1
    tab.click("#tab-edit")
    tab.click("#edit [data-act=fullscreen]")
    tab.keyboard.press("Escape")


def test_the_keyboard_alone_draws(tab: Any, paged: Live) -> None:
    before = len(backend_of(paged).drawn)
    tab.focus("#tab-draw")
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate("document.activeElement.id") == "tab-edit" and tab.is_visible("#edit")
    tab.keyboard.press("ArrowLeft")
    for _ in range(8):
        tab.keyboard.press("Tab")
        if tab.evaluate("document.activeElement.id") == "prompt-draw":
            break
    tab.keyboard.type('says "HALLO"')
    tab.keyboard.press("Control+Enter")
    drawn(tab)
    assert len(backend_of(paged).drawn) == before + 1
    outline = tab.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "what has the focus shows it"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Any, paged: Live, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    context = browser.new_context(locale="en-US", viewport={"width": 1280, "height": 720}, color_scheme=scheme)
    page = opened(context, paged)
    found = {}
    page.fill("#prompt-draw", 'says HALLO and "HALLO"')
    says(page, "#draw .notes", "Words to write")
    found["draw"] = axe.run(page)
    page.click("#draw .go .draw")
    drawn(page)
    found["drawn"] = axe.run(page)
    page.click("#draw [data-act=edit_this]")
    page.wait_for_selector("#mask")
    found["edit"] = axe.run(page)
    page.click("#tab-history")
    page.click("#shelf button")
    found["history"] = axe.run(page)
    context.close()
    serious = {
        where: [(each["id"], [node["html"] for node in each["nodes"]][:3]) for each in result.response["violations"]]
        for where, result in found.items()
    }
    assert not any(serious.values()), serious


def test_a_phone_in_chinese_and_dark(browser: Any, paged: Live) -> None:
    context = browser.new_context(
        locale="zh-CN", viewport={"width": 390, "height": 780}, color_scheme="dark", has_touch=True, is_mobile=True
    )
    page = opened(context, paged)
    assert page.inner_text("#tab-draw") == "绘制" and page.get_attribute("html", "lang") == "zh"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.fill("#prompt-draw", "一个没有引号的东西")
    says(page, "#draw .notes", "本模型")
    button = page.locator("#draw .go .draw").bounding_box()
    assert button["y"] + button["height"] <= 780, "prompt and button share the first screen"
    page.fill("#prompt-draw", "“HALLO”")
    page.tap("#draw .go .draw")
    drawn(page)
    image = page.locator("#draw .view img").bounding_box()
    assert image["y"] + image["height"] <= 780, "the picture comes first"
    for tab in ("edit", "history"):
        page.tap(f"#tab-{tab}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, tab
        left = page.evaluate(
            "() => Array.from(document.querySelectorAll('main button, main label, main legend'))"
            ".filter(node => node.offsetParent && /^[A-Za-z ,;]{6,}$/.test(node.innerText.trim()))"
            ".map(node => node.innerText)"
        )
        assert left == [], "English on the Chinese page"
    page.tap("#language")
    assert page.inner_text("#tab-draw") == "Draw"
    page.tap("#theme")
    assert page.get_attribute("html", "data-theme") == "light"
    clean(page)
    context.close()


def test_a_browser_is_asked_for_the_key(browser: Any, settings: Callable[..., ServeSettings]) -> None:
    with running(
        settings(api_keys=read_keys(None, "me:a-long-secret")), FakeBackend, prepare=lambda app, _: mount_ui(app)
    ) as live:
        context = browser.new_context(locale="en-US")
        page = context.new_page()
        page.goto(f"{live.url}/ui")
        page.wait_for_selector("#key-dialog[open]")
        page.fill("#key", "another-secret")
        page.click("#key-form button")
        says(page, "#key-error", "not known")
        page.fill("#key", "a-long-secret")
        page.click("#key-form button")
        page.wait_for_selector("html[data-ready]")
        page.fill("#prompt-draw", "two circles")
        page.click("#draw .go .draw")
        drawn(page)
        context.close()


def test_the_page_is_quick(browser: Any, paged: Live) -> None:
    """First useful paint on loopback, with what axe and Lighthouse call the largest contentful element."""
    context = browser.new_context(locale="en-US", viewport={"width": 1280, "height": 720})
    opened(context, paged)  # the browser itself is warm
    page = opened(context, paged)
    painted = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    sizes = page.evaluate("performance.getEntriesByType('resource').reduce((sum, one) => sum + one.encodedBodySize, 0)")
    assert painted <= 1500 and sizes <= 250_000
    context.close()
