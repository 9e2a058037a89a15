"""Pictures whose words are read back: attempts through the queue, the best picture, and a warning where it is wrong."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image

from inkwash.core.errors import MissingExtraError, RequestError
from inkwash.engine.open import LoadOptions
from inkwash.engine.verify import Reading, attempt_seed
from inkwash.media.images import read_metadata
from inkwash.serve.backend import load_backend
from inkwash.serve.service import Service
from inkwash.serve.settings import ServeSettings
from inkwash.serve.verified import WordReader
from tests.server.conftest import Live, backend_of, running
from tests.server.fakes import FakeBackend
from tests.server.test_edits import png

HELLO = {"prompt": 'A sign that says "HELLO"', "size": "64x64", "steps": 2, "seed": 7, "verify": True}


class Script:
    """Reads what was written down, one reading after another; the last one again and again."""

    def __init__(self) -> None:
        self.lines: list[str] = ["HELLO"]
        self.seen: list[Image.Image] = []

    def reading(self, image: Image.Image) -> Reading:
        self.seen.append(image)
        said = self.lines[min(len(self.seen), len(self.lines)) - 1]
        return Reading(lines=(said,) if said else ())


@pytest.fixture(scope="module")
def script() -> Script:
    return Script()


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, script: Script) -> Iterator[Live]:
    def prepare(app: Any, service: Service) -> None:
        service.words._open = lambda: script.reading

    with running(ServeSettings(state=tmp_path_factory.mktemp("state")), FakeBackend, prepare=prepare) as made:
        yield made


@pytest.fixture(autouse=True)
def fresh(live: Live, script: Script) -> None:
    script.seen.clear()
    script.lines = ["HELLO"]
    backend_of(live).drawn.clear()


def draw(live: Live, **changes: Any) -> httpx2.Response:
    return live.http.post("/v1/images/generations", json={**HELLO, **changes})


def pixels(picture: dict[str, Any]) -> bytes:
    return Image.open(io.BytesIO(base64.b64decode(picture["b64_json"]))).tobytes()


def test_the_first_right_picture_comes_back(live: Live, script: Script, tmp_path: Path) -> None:
    script.lines = ["HALLO", "HELLO"]
    answer = draw(live).json()
    (picture,) = answer["data"]
    assert answer["verified"] is picture["verified"] is True and answer["warnings"] == []
    assert picture["verify"]["scores"] == [0.8, 1.0] and picture["verify"]["read"] == ["HELLO"]
    seeds = [request.seed for request in backend_of(live).drawn]
    assert seeds == [7, attempt_seed(7, 0, 1)] and picture["seed"] == 7
    assert pixels(picture) == script.seen[1].tobytes(), "the picture that was read is the one that comes back"
    (tmp_path / "sign.png").write_bytes(base64.b64decode(picture["b64_json"]))
    assert read_metadata(tmp_path / "sign.png")["verify"]["wanted"] == ["HELLO"]
    assert answer["usage"]["output_tokens"] == 80, "the second attempt had the plan of the first"


def test_attempt_0_is_the_picture_without_verify(live: Live) -> None:
    assert pixels(draw(live).json()["data"][0]) == pixels(draw(live, verify=False).json()["data"][0])


def test_words_that_stay_wrong_are_said(live: Live, script: Script) -> None:
    script.lines = ["XXXXX", "HALLO", "X"]
    answer = draw(live, tries=3).json()
    (picture,) = answer["data"]
    assert answer["verified"] is picture["verified"] is False and len(script.seen) == 3
    assert pixels(picture) == script.seen[1].tobytes(), "the best of them"
    (warning,) = answer["warnings"]
    assert "still wrong after 3 attempts" in warning and 'asked for "HELLO", read HALLO' in warning
    assert answer["usage"]["output_tokens"] == 160, "plans of attempts 0 and 2"


def test_best_of_draws_them_all_and_every_picture_has_its_own(live: Live, script: Script) -> None:
    answer = draw(live, best_of=2, n=2).json()
    assert [each["verify"]["attempts"] for each in answer["data"]] == [2, 2] and answer["verified"] is True
    assert [each["seed"] for each in answer["data"]] == [7, 8] and len({each["plan"] for each in answer["data"]}) >= 1
    script.seen.clear()
    script.lines = ["HELLO", "X"]
    answer = draw(live, n=2, tries=1).json()
    assert [each["verified"] for each in answer["data"]] == [True, False] and answer["verified"] is False
    assert "the words of picture 2 are still wrong after 1 attempt " in answer["warnings"][0]


def test_a_given_plan_is_kept_by_every_attempt(live: Live, script: Script) -> None:
    plan = draw(live, verify=False).json()["data"][0]["plan"]
    script.lines = ["X", "X", "X", "HELLO"]
    answer = draw(live, plan=plan).json()
    assert answer["verified"] is True and answer["usage"]["output_tokens"] == 0


def test_edits_keep_the_words_of_the_picture(live: Live, script: Script) -> None:
    script.lines = ["OLD 12", "HELLO"]
    fields = {"prompt": 'Replace "OLD" with "HELLO"', "steps": "1", "verify": "true", "seed": "1"}
    red = Image.new("RGB", (64, 48), "red")
    answer = live.http.post("/v1/images/edits", data=fields, files={"image": png(red)})
    assert answer.status_code == 200, answer.text
    assert script.seen[0].tobytes() == red.tobytes(), "what is edited is read first"
    assert answer.json()["verified"] is True, answer.json()["data"][0]["verify"]
    mask = Image.new("L", red.size, 0)
    mask.paste(255, (0, 0, 20, 20))
    script.seen.clear()
    answer = live.http.post("/v1/images/edits", data=fields, files={"image": png(red), "mask": png(mask)})
    assert answer.json()["verified"] is True
    assert script.seen[1].size == red.size and script.seen[1].getpixel((50, 40)) == (255, 0, 0), "as it comes back"


def test_a_stream_has_one_end_and_says_the_same(live: Live, script: Script) -> None:
    script.lines = ["X", "HELLO", "X"]
    told = draw(live, stream=True, progress=True, n=2, tries=2).text.split("\n\n")
    said = [json.loads(block.partition("data: ")[2]) for block in told if "data: " in block]
    done = [each for each in said if each["type"].endswith("completed")]
    assert [each["verified"] for each in done] == [True, False] and said[-1] is done[-1]
    assert done[0]["warnings"] == [] and "picture 2" in done[1]["warnings"][0]
    assert sum(each["type"].endswith("queued") for each in said) == 1 and "verify" in done[1]["timings"]


def test_progress_says_which_attempt_and_what_was_read(live: Live, script: Script) -> None:
    script.lines = ["HALLO", "HELLO"]
    text = draw(live, stream=True, progress=True, tries=3).text
    events = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    told = [
        (each["attempt"], each["attempts"], each["read"], each["done"])
        for each in events
        if each["type"].endswith(".progress")
    ]
    assert told == [(1, 3, None, 1), (1, 3, None, 2), (2, 3, ["HALLO"], 1), (2, 3, ["HALLO"], 2)]


def test_the_reader_is_opened_before_it_is_needed() -> None:
    opened: list[str] = []
    seen: list[Image.Image] = []

    def reader(image: Image.Image) -> Reading:
        seen.append(image)
        return Reading(lines=("HELLO",))

    def open_reader() -> Any:
        opened.append("reader")
        return reader

    def nothing() -> Any:
        raise MissingExtraError("Reading text", extra="ocr")

    words = WordReader(open_reader)
    words.warm()
    picture = Image.new("RGB", (8, 8))
    assert words(picture).lines == ("HELLO",) and seen[1] is picture, "one thread: the empty picture came first"
    assert opened == ["reader"]
    missing = WordReader(nothing)
    missing.warm()  # tells nobody
    with pytest.raises(RequestError, match="nothing to read words with"):
        missing(picture)
    for each in (words, missing):
        each.close()


def test_a_job_is_verified_too(live: Live, script: Script) -> None:
    script.lines = ["X", "HELLO"]
    job = live.http.post("/v1/images/generations?background=true", json=HELLO).json()

    def answer() -> dict[str, Any]:
        found: dict[str, Any] = live.http.get(f"/v1/jobs/{job['id']}").json()
        return found

    live.wait(lambda: answer()["status"] == "completed")
    assert answer()["result"]["verified"] is True and len(script.seen) == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prompt": "a poster"}, "quotes no text"),
        ({"layout": "same", "n": 2}, "layout is 'same'"),
        ({"tries": 0}, "tries is 0"),
        ({"best_of": 17}, "best_of is 17"),
    ],
)
def test_what_cannot_be_verified_is_refused(live: Live, changes: dict[str, Any], words: str) -> None:
    answer = draw(live, **changes)
    assert answer.status_code == 400 and words in answer.json()["error"]["message"]


def test_tries_alone_are_warned_about(live: Live, script: Script) -> None:
    answer = draw(live, verify=None, tries=2).json()
    assert answer["warnings"] == ["tries: has no effect without verify."] and not script.seen
    assert "verified" not in answer and "verify" not in answer["data"][0]


def test_a_server_that_cannot_read_says_so(settings: Callable[..., ServeSettings]) -> None:
    def missing() -> Any:
        raise MissingExtraError("Reading text", extra="ocr")

    for open_reader in (None, missing):

        def prepare(app: Any, service: Service, opened: Any = open_reader) -> None:
            service.words._open = opened

        with running(settings(), FakeBackend, prepare=prepare) as live:
            answer = draw(live)
            error = answer.json()["error"]
            assert answer.status_code == 400 and error["param"] == "verify" and "extra 'ocr'" in error["message"]
            assert error["message"].count(". ") == 0 and len(backend_of(live).drawn) == 1


def test_deadlines_and_leaving_end_all_attempts(settings: Callable[..., ServeSettings]) -> None:
    script = Script()
    script.lines = ["X"]

    def prepare(app: Any, service: Service) -> None:
        service.words._open = lambda: script.reading

    with running(settings(), lambda: FakeBackend(step_s=0.05), prepare=prepare) as live:
        answer = draw(live, tries=16, steps=10, deadline_s=0.8)
        assert answer.status_code == 408 and "0.8 s" in answer.json()["error"]["message"]
        with (
            httpx2.Client(base_url=live.url, trust_env=False, timeout=0.8) as http,
            pytest.raises(httpx2.TimeoutException),
        ):
            http.post("/v1/images/generations", json={**HELLO, "tries": 16, "steps": 10})
        live.wait(lambda: backend_of(live).cancelled >= 1, 10)
        live.wait(lambda: not any(each.name == "inkwash-verify" for each in threading.enumerate()), 10)
        assert len(backend_of(live).drawn) < 8


def test_a_full_queue_refuses_the_first_attempt_and_delays_the_others(settings: Callable[..., ServeSettings]) -> None:
    script = Script()
    script.lines = ["X", "HELLO"]

    def prepare(app: Any, service: Service) -> None:
        service.words._open = lambda: script.reading

    with running(settings(), lambda: FakeBackend(max_queue=1), prepare=prepare) as live:
        backend, real = backend_of(live), FakeBackend.submit
        full = iter([False, True, True, False])
        backend.submit = lambda *args, **more: (  # type: ignore[method-assign]
            _refused(backend) if next(full, False) else real(backend, *args, **more)
        )
        answer = draw(live)
        assert answer.status_code == 200 and answer.json()["verified"] is True and backend.rejected == 2
        full = iter([True])
        assert draw(live).status_code == 429


def _refused(backend: FakeBackend) -> Any:
    from inkwash.engine.scheduler import QueueFull

    backend.rejected += 1
    raise QueueFull("The queue is full.", retry_after=0.05)


@pytest.mark.slow
def test_the_shipped_model_with_the_real_reader(settings: Callable[..., ServeSettings]) -> None:
    ocr = pytest.importorskip("inkwash.eval.ocr")
    load = lambda: load_backend(LoadOptions(model="nano", device="cpu"), max_queue=4)  # noqa: E731

    def prepare(app: Any, service: Service) -> None:
        service.words._open = lambda: ocr.Reader().reading

    with running(settings(), load, prepare=prepare) as live:
        answer = draw(live, size="128x128", steps=1, tries=2).json()
        (picture,) = answer["data"]
        assert picture["verify"]["wanted"] == ["HELLO"] and picture["verified"] == (not answer["warnings"])
        assert picture["verify"]["attempts"] == len(picture["verify"]["scores"]) <= 2
        assert answer["timings"]["verify"] > 0


def test_a_stop_puts_a_verified_job_back(settings: Callable[..., ServeSettings]) -> None:
    """The attempts of a job that the end of the server cuts off are drawn again by the next one, from the first on."""
    script = Script()
    script.lines = ["X"]

    def prepare(app: Any, service: Service) -> None:
        service.words._open = lambda: script.reading

    made = settings(drain_s=0.5)
    with running(made, lambda: FakeBackend(step_s=0.05), prepare=prepare, drain_s=1) as live:
        job = live.http.post("/v1/images/generations?background=true", json={**HELLO, "tries": 16, "steps": 10}).json()
        live.wait(lambda: len(script.seen) >= 1)
    assert len(script.seen) < 16
    script.lines = ["HELLO"]
    with running(made, FakeBackend, prepare=prepare) as live:
        live.wait(lambda: live.http.get(f"/v1/jobs/{job['id']}").json()["status"] == "completed", 20)
        result = live.http.get(f"/v1/jobs/{job['id']}").json()["result"]
        assert result["verified"] is True and result["data"][0]["verify"]["attempt"] == 0
