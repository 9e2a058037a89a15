"""Vision models as judges, over real HTTP: the benchmark's prompts, every fault that passes, every fault that stays."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from inkwash.core.errors import Cancelled, ConfigError
from inkwash.eval.benchmarks import chat, dpg, imgedit, oneig
from inkwash.eval.benchmarks.chat import JudgeEndpoint, JudgeError, VisionClient
from inkwash.eval.benchmarks.imgedit import ImgEditJudge
from inkwash.eval.benchmarks.parallel import in_parallel
from inkwash.eval.benchmarks.tiif import TiifJudge
from inkwash.eval.benchmarks.vision import VlmReader, YesNoJudge, plain_yes_no
from inkwash.eval.predictions import Predictions, picture_hash
from tests.unit.eval.benchmarks.stand_in import DROP, HANG, Raw, Status, pictures_of, prompt_of, serving

RED = Image.new("RGB", (8, 8), "red")
BLUE = Image.new("RGB", (8, 8), "blue")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def client(url: str, **settings: Any) -> VisionClient:
    return VisionClient(JudgeEndpoint(**{"url": url, "model": "Test-VL", "pause": 0.001, "timeout": 5.0, **settings}))


def yes_no(vision: VisionClient, cache: Path | None = None) -> YesNoJudge:
    return YesNoJudge(vision, cache, prompt=oneig.QUESTION, purpose="oneig-question", exact=True)


def test_a_reader_sends_the_benchmarks_prompt_and_the_picture() -> None:
    with serving(lambda body, number: "FRESH BREWS\n\nEvery day") as server:
        reader = VlmReader(client(server.url, key="secret"))
        assert reader.texts(RED) == ["FRESH BREWS", "Every day"]
        body = server.requests[0]
        assert prompt_of(body).startswith("Recognize the text in the image, only reply with the text content, but")
        assert prompt_of(body).endswith("If no text is recognized, please reply with 'No text recognized'.")
        assert picture_hash(pictures_of(body)[0]) == picture_hash(RED)
        assert [part["type"] for part in body["messages"][0]["content"]] == ["image_url", "text"]
        assert (body["model"], body["temperature"], body["max_tokens"]) == ("Test-VL", 0.0, 1024)
        assert server.headers[0]["Authorization"] == "Bearer secret"
        assert "secret" not in repr(reader.client.endpoint)
    assert reader.name == "test-vl[longtext-prompt,max_tokens=1024,temperature=0]"


def test_a_blank_picture_reads_as_nothing() -> None:
    with serving(lambda body, number: "No text recognized.") as server:
        assert VlmReader(client(server.url)).texts(RED) == []


def test_predictions_ask_a_model_once(tmp_path: Path) -> None:
    with serving(lambda body, number: f"answer {number}") as server:
        for _ in range(2):
            predictions = Predictions(VlmReader(client(server.url)), tmp_path / "read.jsonl")
            assert predictions.texts(RED) == ("answer 0",)
        assert server.count == 1
        assert Predictions(VlmReader(client(server.url, model="Other")), tmp_path / "read.jsonl").texts(RED) == (
            "answer 1",
        )


FAULTS: dict[str, Any] = {
    "busy": Status(429, "{}", Retry_After="0"),
    "busy until a date": Status(429, "{}", Retry_After="Wed, 21 Oct 2026 07:28:00 GMT"),
    "server error": Status(500, "<html>oops</html>"),
    "overloaded": Status(503),
    "request timeout": Status(408),
    "dropped": DROP,
    "not JSON": Raw(b"<html>"),
    "no choices": Raw(b'{"choices": []}'),
    "no content": Raw(b'{"choices": [{"message": {"content": null}}]}'),
    "a list": Raw(b"[]"),
    "empty": Raw(b""),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_passes_by_itself_is_asked_again(fault: str) -> None:
    with serving(lambda body, number: FAULTS[fault] if number < 2 else "yes") as server:
        assert yes_no(client(server.url)).answer(RED, "Is it red?") == "yes"
        assert server.count == 3 and server.requests[0] == server.requests[2]


@pytest.mark.parametrize("fault", FAULTS)
def test_what_stays_is_one_sentence(fault: str) -> None:
    with serving(lambda body, number: FAULTS[fault]) as server:
        with pytest.raises(JudgeError, match=r"Test-VL at http.* no usable answer in 3 tries") as caught:
            yes_no(client(server.url, tries=3)).answer(RED, "Is it red?")
        assert server.count == 3 and "\n" not in caught.value.message


def test_a_silent_server_times_out_and_is_asked_again() -> None:
    with serving(lambda body, number: HANG if number == 0 else "yes") as server:
        assert yes_no(client(server.url, timeout=0.3)).answer(RED, "?") == "yes"
    with serving(lambda body, number: HANG) as dead:
        judge = yes_no(client(dead.url, timeout=0.3, tries=1))
        with pytest.raises(JudgeError, match=r"no sign of life for 0\.3 seconds"):
            judge.answer(RED, "?")


def test_nobody_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(JudgeError, match="refused"):
        yes_no(client(f"http://127.0.0.1:{port}/v1", tries=2)).answer(RED, "?")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ('{"error": {"message": "no such model"}}', "no such model"),
        ('{"message": "bad key"}', "bad key"),
        ('{"error": "plain"}', "plain"),
        ("<b>not here</b>", "<b>not here</b>"),
        ("", "no reason given"),
    ],
)
@pytest.mark.parametrize("code", [400, 401, 404])
def test_a_refusal_is_final_and_in_the_servers_words(code: int, body: str, says: str) -> None:
    with serving(lambda request, number: Status(code, body)) as server:
        with pytest.raises(JudgeError, match=f"refuses with status {code}") as caught:
            yes_no(client(server.url, key="secret")).answer(RED, "?")
        assert server.count == 1 and says in caught.value.message and "secret" not in caught.value.message


def test_pauses_double_and_honour_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat.random, "uniform", lambda low, high: high)
    waiter = client("http://127.0.0.1:1/v1", pause=1.0)
    assert [waiter._pause(attempt, 0.0) for attempt in range(4)] == [1.0, 2.0, 4.0, 8.0]
    assert waiter._pause(0, 7.5) == 7.5 and waiter._pause(30, 0.0) == 60.0 and waiter._pause(0, 1e9) == 60.0


def test_stopping_ends_a_long_pause_at_once() -> None:
    with serving(lambda body, number: Status(503, Retry_After="30")) as server:
        patient = client(server.url)
        threading.Timer(0.3, patient.stop.set).start()
        start = time.monotonic()
        with pytest.raises(Cancelled):
            yes_no(patient).answer(RED, "?")
        assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"url": "localhost:8000"}, "http://localhost:8000/v1"),
        ({"model": " "}, "no name"),
        ({"timeout": 0}, "timeout 0"),
        ({"tries": 0}, "tries 0"),
        ({"workers": 0}, "workers 0"),
        ({"temperature": -1}, "temperature -1"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        JudgeEndpoint(**{"url": "http://x/v1", "model": "m", **settings})


def test_oneig_questions_keep_the_exact_answer(tmp_path: Path) -> None:
    with serving(lambda body, number: "Yes.") as server:
        judge = yes_no(client(server.url), tmp_path / "answers.jsonl")
        assert judge.answer(RED, "Is there a dog?") == "Yes."
        assert server.prompt() == "Is there a dog?. Please answer 'Yes' or 'No' only."
        assert yes_no(client(server.url), tmp_path / "answers.jsonl").answer(RED, "Is there a dog?") == "Yes."
        assert server.count == 1
        judge.answer(BLUE, "Is there a dog?")
        judge.answer(RED, "Is there a cat?")
        assert server.count == 3


def test_dpg_questions_want_one_word() -> None:
    with serving(lambda body, number: ("It depends.", "Yes!")[number]) as server:
        judge = YesNoJudge(client(server.url), None, prompt=dpg.QUESTION, purpose="dpg-question")
        assert judge.answer(RED, "Is it red?") == "yes" and server.count == 2
        assert "dpg-question" in judge.name


@pytest.mark.parametrize(("answer", "plain"), [("Yes", "yes"), (" no. ", "no"), ('"YES"', "yes")])
def test_plain_yes_no(answer: str, plain: str) -> None:
    assert plain_yes_no(answer) == plain


@pytest.mark.parametrize("answer", ["", "yes and no", "I cannot say", "yess"])
def test_neither_yes_nor_no(answer: str) -> None:
    with pytest.raises(chat.MalformedAnswer):
        plain_yes_no(answer)


def test_tiif_asks_until_every_question_has_its_line(tmp_path: Path) -> None:
    said = ["yes", "Yes\nno\nyes", "YES\nNo, it is not."]
    with serving(lambda body, number: said[number]) as server:
        judge = TiifJudge(client(server.url), tmp_path / "a.jsonl")
        assert judge.answers(RED, ["Is it red?", "Is it blue?"]) == ("yes", "no")
        assert server.count == 3 and "1. Is it red?\n2. Is it blue?" in server.prompt()
        assert TiifJudge(client(server.url), tmp_path / "a.jsonl").answers(RED, ["Is it red?", "Is it blue?"]) == (
            "yes",
            "no",
        )
        assert server.count == 3 and "own-tiif-prompt" in judge.name


def test_imgedit_sees_the_original_first(tmp_path: Path) -> None:
    said = ["I refuse.", "Prompt Compliance: 4\nNaturalness: 5\nIntegrity: 3"]
    case = imgedit.ImgEditCase(key="1", kind="add", instruction="add a hat", source="a.jpg")
    prompts = {kind: f"{kind}: <edit_prompt>" for kind in imgedit.KINDS}
    with serving(lambda body, number: said[number]) as server:
        judge = ImgEditJudge(client(server.url), prompts, tmp_path / "a.jsonl")
        assert judge.points(RED, BLUE, case) == (4, 5, 3)
        first, second = pictures_of(server.requests[0])
        assert (picture_hash(first), picture_hash(second)) == (picture_hash(RED), picture_hash(BLUE))
        assert server.prompt() == "add: add a hat"
        again = ImgEditJudge(client(server.url), prompts, tmp_path / "a.jsonl")
        assert again.points(RED, BLUE, case) == (4, 5, 3) and server.count == 2


# --- many at once ---


def pictures(count: int) -> list[Image.Image]:
    return [Image.new("RGB", (4, 4), (i % 256, i // 256, 7)) for i in range(count)]


def asking(judge: YesNoJudge, images: list[Image.Image]) -> list[Callable[[], str]]:
    return [lambda image=image: judge.answer(image, "?") for image in images]  # type: ignore[misc]


def test_answers_come_back_in_order_through_many_faults() -> None:
    """Half of the replicas behind the address are dead, others are busy: nothing is lost and nothing is mixed up."""

    def script(body: dict[str, Any], number: int) -> Any:
        fault = [DROP, None, Status(429, Retry_After="0"), None, DROP, Raw(b"{")][number % 6]
        return str(pictures_of(body)[0].getpixel((0, 0))) if fault is None else fault

    with serving(script) as server:
        vision = client(server.url, tries=30)
        tasks = asking(yes_no(vision), pictures(40))
        seen: list[tuple[int, int]] = []
        answers = in_parallel(tasks, workers=6, stop=vision.stop, progress=lambda d, t: seen.append((d, t)))
        assert answers == [str((i, 0, 7)) for i in range(40)]
        assert seen[0] == (0, 40) and seen[-1] == (40, 40) and seen == sorted(seen)
        assert not vision.stop.is_set()


def test_a_dead_endpoint_ends_soon_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with serving(lambda body, number: "Yes" if number < 10 else Status(500)) as server:
        vision = client(server.url, tries=2)
        with pytest.raises(JudgeError, match=r"90 of 100 questions have no answer.*goes on") as caught:
            in_parallel(asking(yes_no(vision, path), pictures(100)), workers=4, stop=vision.stop)
        assert "status 500" in caught.value.message
        assert server.count < 60, "a dead judge is not asked a hundred times"
    with serving(lambda body, number: "No") as server:
        vision = client(server.url)
        answers = in_parallel(asking(yes_no(vision, path), pictures(100)), workers=4, stop=vision.stop)
        assert server.count == 90 and (answers.count("Yes"), answers.count("No")) == (10, 90)


def test_one_refused_picture_does_not_stop_the_others(tmp_path: Path) -> None:
    def script(body: dict[str, Any], number: int) -> Any:
        return Status(400, '{"message": "too dark"}') if pictures_of(body)[0].getpixel((0, 0))[0] == 5 else "Yes"

    with serving(script) as server:
        vision = client(server.url)
        with pytest.raises(JudgeError, match=r"1 of 20 questions.*too dark"):
            in_parallel(asking(yes_no(vision, tmp_path / "a.jsonl"), pictures(20)), workers=4, stop=vision.stop)
        assert server.count == 20
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 19


def test_the_user_stops_everything() -> None:
    def give_up(done: int, total: int) -> None:
        if done >= 3:
            raise Cancelled

    with serving(lambda body, number: "Yes" if number < 3 else Status(503, Retry_After="20")) as server:
        vision = client(server.url)
        start = time.monotonic()
        with pytest.raises(Cancelled):
            in_parallel(asking(yes_no(vision), pictures(50)), workers=2, stop=vision.stop, progress=give_up)
        assert time.monotonic() - start < 10 and server.count <= 6


def test_a_bug_in_a_task_is_not_swallowed() -> None:
    stop = threading.Event()
    with pytest.raises(ZeroDivisionError):
        in_parallel([lambda: 1, lambda: 1 // 0], workers=1, stop=stop)
    assert stop.is_set()
    assert in_parallel([], workers=2, stop=threading.Event()) == []
