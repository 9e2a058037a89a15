"""The assistant behind its page: shots, recordings and files wait for a question, and answers of a server are kept."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from inkwash.core.errors import MediaError, RequestError
from inkwash.desk import attachments, service
from inkwash.desk.endpoints import Endpoint, Endpoints, Piece
from inkwash.desk.places import Monitor, ScreenBox, Window
from inkwash.desk.screen import Shot
from inkwash.desk.service import Desk, Question
from inkwash.media.reader import InProcess

pytest.importorskip("fastapi")
from fastapi.testclient import TestClient

from inkwash.desk.routes import make_app

WHOLE = ScreenBox(left=0, top=0, width=320, height=200)


class Painted:
    """A screen with a red corner and one window."""

    closed = 0

    def monitors(self) -> list[Monitor]:
        return [Monitor(number=0, box=WHOLE), Monitor(number=1, box=WHOLE)]

    def windows(self) -> list[Window]:
        return [Window(id=1, title="Letter", program="writer", box=ScreenBox(left=10, top=20, width=64, height=32))]

    def shoot(self, box: ScreenBox) -> Shot:
        image = Image.new("RGB", (WHOLE.width, WHOLE.height), "white")
        ImageDraw.Draw(image).rectangle((0, 0, 39, 39), fill="red")
        corners = (box.left, box.top, box.left + box.width, box.top + box.height)
        return Shot(image=image.crop(corners), box=box, scale=1)

    def close(self) -> None:
        Painted.closed += 1


class Keys:
    """A keyring in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    def get(self, name: str) -> str | None:
        return self.kept.get(name)

    def set(self, name: str, key: str) -> None:
        self.kept[name] = key


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the server says, and what it was sent."""
    told: dict[str, Any] = {"say": ["It is ", "red."], "sent": [], "pause": 0.0}

    def ask(endpoint: Endpoint, messages: Any, key: str | None, *, cancelled: Any) -> Iterator[Piece]:
        told["sent"].append((endpoint.name, messages, key))
        yield Piece("thought", "hm")
        for text in told["say"]:
            time.sleep(told["pause"])
            if cancelled():
                from inkwash.core.errors import Cancelled

                raise Cancelled("Stopped.")
            yield Piece("answer", text)

    monkeypatch.setattr(service, "ask", ask)
    return told


@pytest.fixture
def desk(tmp_path: Path, script: dict[str, Any]) -> Iterator[Desk]:
    started: list[int] = []
    local = Endpoint(name="local", url="http://127.0.0.1:1/v1", model="nano-v", video=True)
    endpoints = Endpoints(tmp_path / "endpoints.json", Keys(), local)
    made = Desk(tmp_path, endpoints, InProcess(), lambda cursor: Painted(), start_local=lambda: started.append(1))
    made.started = started  # type: ignore[attr-defined]
    yield made
    made.close()


@pytest.fixture
def client(desk: Desk) -> Iterator[TestClient]:
    with TestClient(make_app(desk, "token"), base_url="http://127.0.0.1", headers={"x-inkwash-token": "token"}) as made:
        yield made


def test_a_shot_a_window_and_a_region_wait_to_be_sent(desk: Desk) -> None:
    whole, window = desk.shoot(), desk.shoot(window="letter")
    region = desk.shoot(region="30,30,20x10")
    sizes = [Image.open(io.BytesIO(desk.history.file(one.digest).read_bytes())).size for one in (whole, window, region)]
    assert sizes == [(320, 200), (64, 32), (20, 10)] and whole.kind == "image" and whole.pictures == 1
    part = desk.crop(whole.digest, [60, 55, 20, 15])  # drawn from the lower right
    image = Image.open(io.BytesIO(desk.history.file(part.digest).read_bytes())).convert("RGB")
    assert image.size == (40, 40) and image.getpixel((0, 0)) == (255, 0, 0) and image.getpixel((39, 39)) == (255,) * 3
    for corners in ([1, 1, 1, 9], [1, 2, 3], "all", [1.5, 2, 3, 4]):
        with pytest.raises(RequestError, match="region"):
            desk.crop(whole.digest, corners)


def test_an_answer_is_kept_with_its_media_and_thoughts_are_not_sent_back(desk: Desk, script: dict[str, Any]) -> None:
    shot = desk.shoot(region="0,0,40x40")
    media = (service.Medium(digest=shot.digest, name=shot.name),)
    events = list(desk.ask(Question(text="What colour?", media=media)))
    assert [event["kind"] for event in events] == ["begun", "thought", "answer", "answer", "done"]
    talk = events[0]["conversation"]
    assert desk.started == [1]  # type: ignore[attr-defined]
    list(desk.ask(Question(text="Sure?", conversation=talk)))
    first, second = (sent[1] for sent in script["sent"])
    assert [part["type"] for part in first[0]["content"]] == ["image_url", "text"]
    assert first[0]["content"][0]["image_url"]["url"].startswith("data:image/png;base64,")
    assert [turn["role"] for turn in second] == ["user", "assistant", "user"] and second[1]["content"] == "It is red."
    kept = desk.history.messages(talk)
    assert kept[1].thoughts == "hm" and desk.history.search("What colour")[0].id == talk
    list(desk.ask(Question(text="Which shade?", conversation=talk, instead_of=kept[2].id)))
    assert [one.text for one in desk.history.messages(talk)][2:] == ["Which shade?", "It is red."]


def test_without_any_endpoint_it_is_one_sentence(tmp_path: Path) -> None:
    alone = Desk(tmp_path, Endpoints(tmp_path / "none.json", Keys()), InProcess(), lambda cursor: Painted())
    with pytest.raises(RequestError, match="no endpoint to ask"):
        next(alone.ask(Question(text="Hello")))
    assert alone.history.recent() == []
    alone.close()


def test_a_stopped_answer_keeps_what_was_said(desk: Desk, script: dict[str, Any]) -> None:
    script["say"], script["pause"] = ["a "] * 100, 0.02
    events = desk.ask(Question(text="Go on"))
    talk = next(events)["conversation"]
    with pytest.raises(RequestError, match="still being written"):
        next(desk.ask(Question(text="again", conversation=talk)))
    threading.Timer(0.3, desk.stop, (talk,)).start()
    assert list(events)[-1]["kind"] == "stopped"
    assert 2 < len(desk.history.messages(talk)[1].text) < 150
    assert next(iter(desk.ask(Question(text="x", conversation=talk))))["kind"] == "begun"


def test_a_recording_waits_to_be_sent(desk: Desk) -> None:
    pytest.importorskip("av")
    assert desk.recording() == {"on": False}
    with pytest.raises(RequestError, match="Nothing is being recorded"):
        desk.stop_recording()
    desk.record(region="0,0,64x64")
    with pytest.raises(RequestError, match="under way"):
        desk.record()
    time.sleep(0.5)
    assert desk.recording()["going"] and desk.pause_recording()["paused"] and not desk.pause_recording()["paused"]
    before = Painted.closed
    clip, kept = desk.stop_recording()
    assert kept.kind == "video" and clip.seconds > 0.1 and not clip.path.exists() and Painted.closed == before + 1
    assert [event["kind"] for event in desk.news(0, 5)] == ["recorded"]
    parts = attachments.parts(desk.history.file(kept.digest), InProcess(), video=True)
    assert [part["type"] for part in parts] == ["video_url"]
    frames = attachments.parts(desk.history.file(kept.digest), InProcess(), video=False)
    assert 1 <= len(frames) <= 16 and {part["type"] for part in frames} == {"image_url"}


def test_files_and_folders(desk: Desk, tmp_path: Path) -> None:
    folder = tmp_path / "shown"
    folder.mkdir()
    with pytest.raises(RequestError, match="holds no picture"):
        desk.attach_folder(str(folder))
    for name in ("b.png", "a.jpg", ".hidden.png"):
        Image.new("RGB", (40, 30)).save(folder / name)
    (folder / "notes.txt").write_text("no")
    assert [one.name for one in desk.attach_folder(str(folder))] == ["a.jpg", "b.png"]
    with pytest.raises(MediaError):
        desk.attach(b"no picture", "x.png")
    with pytest.raises(RequestError, match="is no folder"):
        desk.attach_folder(str(folder / "none"))


def test_a_pdf_is_one_picture_a_page(desk: Desk) -> None:
    pytest.importorskip("pypdfium2")
    pages = [Image.new("RGB", (100, 140), color) for color in ("white", "red", "blue")]
    buffer = io.BytesIO()
    pages[0].save(buffer, "PDF", save_all=True, append_images=pages[1:])
    kept = desk.attach(buffer.getvalue(), "three.pdf")
    assert kept.kind == "file" and kept.pictures == 3
    parts = attachments.parts(desk.history.file(kept.digest), InProcess(), video=False)
    assert [part["type"] for part in parts] == ["image_url"] * 3


def test_settings_are_checked_and_stay(desk: Desk) -> None:
    assert desk.change({"keep": 5, "hotkeys": {"shot": "<ctrl>+<alt>+p"}})["keep"] == 5
    assert desk.settings()["hotkeys"] == {"shot": "<ctrl>+<alt>+p"}
    for wrong in ({"colour": "red"}, {"keep": 0}, {"keep": "all"}, {"hotkeys": {"shot": "p"}}):
        with pytest.raises(RequestError):
            desk.change(wrong)
    assert desk.settings()["keep"] == 5


def test_only_the_page_of_this_run_is_answered(desk: Desk) -> None:
    with TestClient(make_app(desk, "token"), base_url="http://127.0.0.1") as stranger:
        for path in ("/", "/api/state", "/api/places", "/api/media/x"):
            assert stranger.get(path).status_code == 403
        assert stranger.post("/api/shot").status_code == 403
        assert stranger.get("/api/state", headers={"x-inkwash-token": "wrong"}).status_code == 403
        rebound = {"x-inkwash-token": "token", "host": "evil.example"}
        assert stranger.get("/api/state", headers=rebound).status_code == 403
        page = stranger.get("/?token=token")
        assert page.status_code == 200 and "default-src 'none'" in page.headers["content-security-policy"]


def test_the_api_of_the_page(client: TestClient, desk: Desk) -> None:
    state = client.get("/api/state").json()
    assert (
        [one["name"] for one in state["endpoints"]] == ["local"] and state["local"] == "local" and state["act"] is False
    )
    shot = client.post("/api/shot", json={"window": "Letter"}).json()
    assert client.get(f"/api/media/{shot['digest']}").headers["content-type"] == "image/png"
    lines = client.post("/api/ask", json={"text": "Hello", "media": [{"digest": shot["digest"], "name": "s"}]}).text
    events = [json.loads(line.removeprefix("data: ")) for line in lines.split("\n\n") if line]
    talk = events[0]["conversation"]
    assert events[-1]["kind"] == "done"
    [user, assistant] = client.get(f"/api/conversations/{talk}").json()
    assert user["media"][0]["kind"] == "image" and assistant["text"] == "It is red."
    assert client.patch(f"/api/conversations/{talk}", json={"title": "Renamed"}).status_code == 200
    assert client.get("/api/conversations?search=renam").json()[0]["title"] == "Renamed"
    assert client.get(f"/api/conversations/{talk}/export").text.startswith("# Renamed")
    assert client.get(f"/api/conversations/{talk}/export?format=json").json()["title"] == "Renamed"
    assert client.delete(f"/api/conversations/{talk}").status_code == 200
    assert client.get("/api/conversations").json() == []
    assert client.post(f"/api/conversations/{talk}/undelete").status_code == 200
    added = {"name": "mine", "url": "https://host.example/v1", "model": "m", "key": "secret-key", "video": False}
    assert "key" not in client.post("/api/endpoints", json=added).json()
    assert "secret-key" not in client.get("/api/state").text and desk.endpoints.keys.get("mine") == "secret-key"
    assert client.delete("/api/endpoints/mine").status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/api/ask", {"text": " "}, 400, "The question is empty"),
        ("/api/ask", {"text": "a", "endpoint": "none"}, 404, "There is no endpoint 'none'"),
        ("/api/ask", {"text": "a", "conversation": 99}, 404, "There is no conversation 99"),
        ("/api/ask", {"text": "a", "colour": 1}, 400, "a field that is not known"),
        ("/api/shot", {"window": "Nothing"}, 400, "No window is named 'Nothing'"),
        ("/api/shot", {"where": 1}, 400, "There is no field 'where'"),
        ("/api/record/fly", {}, 404, "not 'fly'"),
        ("/api/act", {"task": "x"}, 404, "There is no agent"),
        ("/api/endpoints", {"name": "x"}, 400, "An endpoint has a name"),
        ("/api/settings", {"keep": 0}, 400, "keep is 0"),
    ],
)
def test_wrong_calls_are_one_sentence(client: TestClient, path: str, body: Any, status: int, said: str) -> None:
    answer = client.post(path, json=body)
    assert answer.status_code == status and said in answer.json()["error"] and "\n" not in answer.json()["error"]
