"""Streams: OpenAI's events in order, partial pictures of the final size, progress on request, errors as events."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import openai
import pytest

from inkwash.serve.settings import ServeSettings
from tests.server.conftest import Live, backend_of, running
from tests.server.fakes import FakeBackend
from tests.server.test_edits import SMALL, changed, gradient, hole, png
from tests.server.test_generations import picture


def events(live: Live, **fields: Any) -> list[dict[str, Any]]:
    """All events of a stream, as the wire has them."""
    body = {"prompt": "a", "stream": True, "size": "100x80", **fields}
    with live.http.stream("POST", "/v1/images/generations", json=body) as answer:
        assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/event-stream")
        text = answer.read().decode()
    found = []
    for block in text.strip().split("\n\n"):
        name, data = block.split("\n", 1)
        said = json.loads(data.removeprefix("data: "))
        assert name == f"event: {said['type']}"
        found.append(said)
    return found


@pytest.mark.parametrize("partials", [0, 1, 2, 3])
def test_the_official_client_reads_partial_and_completed_pictures(fake: Live, partials: int) -> None:
    stream = fake.openai.images.generate(
        prompt="a", stream=True, partial_images=partials, size="100x80", extra_body={"seed": 3, "steps": 5}
    )
    got = list(stream)
    assert [each.type for each in got] == ["image_generation.partial_image"] * partials + ["image_generation.completed"]
    for index, each in enumerate(got[:-1]):
        assert each.type == "image_generation.partial_image" and each.partial_image_index == index
        assert picture(each).size == (100, 80) and each.size == "100x80"
    last = got[-1]
    assert last.type == "image_generation.completed" and last.usage.total_tokens > 0
    whole = fake.http.post(
        "/v1/images/generations", json={"prompt": "a", "size": "100x80", "seed": 3, "steps": 5}
    ).json()
    assert picture(last).tobytes() == picture(whole["data"][0]).tobytes()


def test_edits_have_their_own_event_names(fake: Live) -> None:
    stream = fake.openai.images.edit(image=SMALL, prompt="a", stream=True, partial_images=1)
    assert [each.type for each in stream] == ["image_edit.partial_image", "image_edit.completed"]


def test_partial_pictures_of_a_masked_edit_have_its_size_and_its_untouched_pixels(fake: Live) -> None:
    original = gradient(90, 131)
    mask = png(hole(90, 131, (10, 10, 40, 40)))
    stream = fake.openai.images.edit(image=png(original), mask=mask, prompt="a", stream=True, partial_images=2)
    for each in stream:
        shown = picture(each)
        assert each.size == "90x131" and shown.size == (90, 131)
        assert all(10 <= x < 40 and 10 <= y < 40 for x, y in changed(original, shown))


def test_progress_is_an_extension(fake: Live) -> None:
    plain = events(fake, steps=4)
    assert [each["type"] for each in plain] == ["image_generation.completed"]
    told = events(fake, steps=4, progress=True)
    assert told[0]["type"] == "image_generation.queued" and told[0]["eta_s"] >= 0
    progress = [each for each in told if each["type"] == "image_generation.progress"]
    assert [(each["stage"], each["done"], each["total"]) for each in progress] == [
        ("denoise", k, 4) for k in range(1, 5)
    ]
    assert told[-1]["timings"] and told[-1]["plan"] and told[-1]["used"]["steps"] == 4


def test_every_picture_of_a_stream_has_its_event(fake: Live) -> None:
    got = events(fake, n=3, seed=5)
    assert [(each["image_index"], each["seed"]) for each in got] == [(0, 5), (1, 6), (2, 7)]
    assert "plans" not in got[0] and len(got[-1]["plans"]) == 3
    assert sum(each["usage"]["output_tokens"] for each in got) == 3 * 80


def test_an_error_before_the_stream_is_a_status_and_one_inside_is_an_event(fake: Live) -> None:
    with pytest.raises(openai.BadRequestError):
        fake.openai.images.generate(prompt="", stream=True)
    with pytest.raises(openai.APIError, match="Out of memory"):
        list(fake.openai.images.generate(prompt="out of memory", stream=True))
    last = events(fake, prompt="out of memory")[-1]
    assert last["type"] == "error" and last["error"]["code"] == "out_of_memory"


def test_a_deadline_ends_a_stream_and_an_answer(settings: Callable[..., ServeSettings]) -> None:
    with running(settings(), lambda: FakeBackend(step_s=0.02)) as live:
        last = events(live, deadline_s=0.1, steps=200)[-1]
        assert last["error"]["code"] == "deadline_exceeded"
        answer = live.http.post("/v1/images/generations", json={"prompt": "a", "deadline_s": 0.1, "steps": 200})
        assert answer.status_code == 408 and answer.json()["error"]["param"] == "deadline_s"
        with pytest.raises(openai.APITimeoutError):
            live.openai.with_options(timeout=0.2).images.generate(prompt="a", extra_body={"steps": 200})
        live.wait(lambda: backend_of(live).cancelled == 1)
    with running(settings(deadline_s=0.1), lambda: FakeBackend(step_s=0.001)) as live:
        answer = live.http.post("/v1/images/generations", json={"prompt": "a", "deadline_s": 60, "steps": 200})
        assert answer.status_code == 408, "the server's own deadline is the shorter one"


def test_a_real_stream_shows_the_preview_first(nano: Live) -> None:
    body = {"partial_images": 2, "progress": True, "steps": 3, "size": "64x64", "seed": 2}
    got = events(nano, **body)
    kinds = [each["type"].rpartition(".")[2] for each in got]
    assert kinds[0] == "queued" and kinds[-1] == "completed"
    stages = [(each["stage"], each["done"], each["total"]) for each in got if each["type"].endswith("progress")]
    assert ("denoise", 3, 3) in stages and any(stage == "prior" and done == total for stage, done, total in stages)
    assert stages == sorted(stages, key=lambda each: (each[0] != "prior", each[1])), "progress never goes back"
    partials = [each for each in got if each["type"].endswith("partial_image")]
    assert [each["partial_image_index"] for each in partials] == list(range(len(partials)))
    assert all(picture(each).size == (64, 64) for each in partials)


def test_the_wire_is_as_it_was(fake: Live) -> None:
    """Golden: a line with the event's name, a line of JSON as it is, a blank line, and nothing else."""
    body = {"prompt": 'a “é”\u2028\n"HI"', "stream": True, "size": "64x64", "steps": 1, "progress": True, "seed": 3}
    answer = fake.http.post("/v1/images/generations", json=body)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (answer.headers["cache-control"], answer.headers["x-accel-buffering"]) == ("no-cache", "no")
    said = [json.loads(line[6:]) for line in answer.text.split("\n") if line.startswith("data: ")]
    whole = "".join(f"event: {each['type']}\ndata: {json.dumps(each, ensure_ascii=False)}\n\n" for each in said)
    assert answer.text == whole
    assert [each["type"].rpartition(".")[2] for each in said] == ["queued", "progress", "completed"]
    assert list(said[-1]) == [
        *("type", "created_at", "b64_json", "background", "output_format", "quality", "size", "image_index", "seed"),
        *("id", "usage", "used", "warnings", "timings", "plan"),
    ]
    refused = fake.http.post("/v1/images/edits", data={"prompt": "a", "stream": "true"}, files={"image": b"x"})
    assert refused.status_code == 400 and refused.headers["content-type"] == "application/json"
