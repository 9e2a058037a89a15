"""The page without a browser: its routes, its files and its words."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from inkwash.serve.auth import read_keys
from inkwash.serve.server import mount_ui
from inkwash.serve.settings import ServeSettings
from inkwash.serve.ui.examples import EXAMPLES, helpers
from inkwash.serve.ui.routes import STATIC
from tests.server.conftest import Live, running
from tests.server.fakes import FakeBackend
from tests.server.ui.page import SHOWN, nano


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
    assert about["shapes"] == {"square": [256, 256], "landscape": [384, 256], "portrait": [256, 384]}
    assert about["defaults"]["steps"] == SHOWN.steps and len(about["things"]) == 144 and "A" in about["alphabet"]
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
