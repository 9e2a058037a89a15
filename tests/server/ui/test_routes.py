"""The page without a browser: its routes, its files and its words."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any

import pytest

from inkwash.serve.auth import read_keys
from inkwash.serve.server import mount_ui
from inkwash.serve.settings import ServeSettings
from inkwash.serve.ui.examples import EXAMPLES
from inkwash.serve.ui.ideas import ideas
from inkwash.serve.ui.routes import STATIC, shapes
from tests.server.conftest import Live, running
from tests.server.fakes import FakeBackend
from tests.server.ui.page import SHOWN, nano, picture


@pytest.mark.parametrize(
    ("prompt", "says", "words"),
    [
        ('A poster that says "HELLO"', [], ["HELLO"]),
        ("A poster that says «HELLO»", [], ["HELLO"]),
        ("A poster that says HELLO", ["without quotation marks"], []),
        ('A poster that says "🎉 PARTY"', ["no emoji"], []),
        ('"SALE" and "Incomprehensibilities"', ["21 characters"], ["SALE"]),
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
    for content in (
        b'{"prompt": "\xff"}',
        b'{"prompt": ' + b"[" * 9_000,
        b"[]",
        b'{"prompt": "a", "size": ' + b"9" * 5_000,
    ):
        refused = paged.http.post("/ui/notes", content=content, headers={"Content-Type": "application/json"})
        assert refused.status_code == 400 and refused.json()["error"]["code"] == "invalid_body"
    large = paged.http.post("/ui/notes", json={"prompt": "x" * 300_000})
    assert large.status_code == 413, "before it is parsed"


def test_what_the_page_is_told(paged: Live) -> None:
    about = paged.http.get("/ui/about").json()
    assert (
        about["ready"] and about["draws"] and about["name"] == "nano" and about["chat"] is None and about["acts"] == []
    )
    assert about["shapes"] == {"square": [256, 256], "landscape": [352, 256], "portrait": [256, 352]}
    assert about["defaults"]["steps"] == SHOWN.steps and len(about["things"]) == 144 and "A" in about["alphabet"]
    limits = nano().limits
    assert limits is not None and about["ideas"] == ideas(limits) and about["things"][0] == {"en": "cat", "zh": "猫"}
    for example in EXAMPLES:
        assert (STATIC / "examples" / f"{example.name}.webp").is_file()
        drawn = paged.http.post("/ui/notes", json={"prompt": example.prompt, "language": example.language}).json()
        assert drawn["notes"] == [] and drawn["words"], "an example asks for nothing in vain"
    assert {example.language for example in EXAMPLES} == {"en", "zh"}


def test_shapes_are_those_that_the_model_has_learnt() -> None:
    limits = nano().limits
    wide = {"wide": (512, 288), "tall": (288, 512)}
    assert shapes(384, limits) == {"square": (384, 384), "landscape": (512, 384), "portrait": (384, 512), **wide}
    assert shapes(1024, None)["wide"] == (1376, 768) and shapes(1024, None)["landscape"] == (1376, 1024)


def test_ideas_are_words_that_the_model_knows(paged: Live) -> None:
    limits = nano().limits
    assert limits is not None
    found = ideas(limits)
    groups = (found["kinds"], found["things"], found["styles"], found["grounds"])
    assert [len(group) for group in groups] == [60, 144, 16, 16]
    english = {idea["words"]["en"] for idea in found["things"]}
    assert {"with a cat", "with an owl", "with cherries", "with a unicorn", "with an umbrella", "with a bus"} <= english
    every = [idea["words"] for group in groups for idea in group]
    assert all(re.search("[\u3400-\u9fff]", words["zh"]) for words in every)
    few = [idea["words"] for group in (found["kinds"], found["styles"], found["grounds"]) for idea in group]
    for prompt in (", ".join(words["en"] for words in few), ",".join(words["zh"] for words in few)):
        told = paged.http.post("/ui/notes", json={"prompt": f'"OK", {prompt}'}).json()["notes"]
        assert not any("does not know" in note for note in told), told


def test_words_of_a_picture_are_read_without_drawing(paged: Live) -> None:
    """The reader of the fixture reads HALLO in everything."""
    image = f"data:image/png;base64,{base64.b64encode(picture()).decode()}"

    def read(**fields: Any) -> Any:
        return paged.http.post("/ui/words", json={"image": image, **fields})

    assert read(prompt='says "HALLO"').json() == {"read": ["HALLO"], "wanted": ["HALLO"], "right": True}
    assert read(prompt='says "OPEN"').json() == {"read": ["HALLO"], "wanted": ["OPEN"], "right": False}
    changed = read(prompt='Change "HALLO" to "OPEN"', before=image).json()
    assert changed["wanted"] == ["OPEN"] and not changed["right"]
    assert read(prompt="nothing quoted").status_code == 400
    assert read(prompt='"A"', image="https://example.org/a.png").status_code == 403, "nothing is fetched"
    assert read(prompt='"A"', image="data:image/png;base64,AAAA").json()["error"]["code"] == "invalid_image"


def test_files_of_the_page_come_from_here_and_nothing_else_is_loaded(paged: Live) -> None:
    answer = paged.http.get("/ui")
    assert answer.status_code == 200 and "default-src 'self'" in answer.headers["content-security-policy"]
    for name in re.findall(r'(?:src|href)="(ui/[^"]+)"', answer.text):
        found = paged.http.get(f"/{name}")
        assert found.status_code == 200 and found.headers["x-content-type-options"] == "nosniff", name
    assert paged.http.get("/", follow_redirects=True).text == answer.text
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
    sources = {path.name: path.read_text(encoding="utf-8") for path in STATIC.glob("*.js")}
    for source in sources.values():
        used |= set(re.findall(r'\bt\("(\w+)"', source))
    assert used <= tables["EN"].keys(), used - tables["EN"].keys()
    named = " ".join([source for name, source in sources.items() if name != "words.js"]) + " ".join(used)
    made = re.compile(r"(?:idea|quality|check|now|error|status|act)_")  # keys put together from a name
    unused = [key for key in tables["EN"] if not made.match(key) and not re.search(rf"\b{key}\b", named)]
    assert unused == []


def test_the_page_asks_for_a_key_where_keys_are_set(settings: Callable[..., ServeSettings]) -> None:
    with running(
        settings(api_keys=read_keys(None, "me:a-long-secret")), FakeBackend, prepare=lambda app, _: mount_ui(app)
    ) as live:
        assert live.http.get("/ui").status_code == 200, "the page itself tells nothing"
        assert live.http.post("/ui/words", json={"prompt": "a", "image": "a"}).status_code == 401
        for path in ("/ui/about", "/ui/notes"):
            assert live.http.get(path).status_code in (401, 405)
        assert live.http.post("/ui/notes", json={"prompt": "a"}).status_code == 401
        key = {"Authorization": "Bearer a-long-secret"}
        assert live.http.get("/ui/about", headers=key).json()["name"] == "nano"
