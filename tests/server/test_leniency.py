"""What clients and browsers send beside the letter of the API: taken as it is meant, or refused with a reason."""

from __future__ import annotations

import base64
import io
from typing import Any

import httpx2
import pytest
from PIL import Image

from inkwash.serve.schemas import PICTURES
from tests.server.conftest import Live, backend_of
from tests.server.test_edits import data_url, png
from tests.server.test_generations import picture

RED = png(Image.new("RGB", (64, 64), (255, 0, 0)))


def draw(live: Live, **fields: Any) -> httpx2.Response:
    return live.http.post("/v1/images/generations", json={"prompt": "a", "size": "64x64", **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 2.0, "seed": 42.0, "steps": 3.0},
        {"width": "96", "height": "64", "size": None},
        {"width": 96.0, "height": 64.0, "size": ""},
        {"quality": "", "style": "", "user": "", "background": "", "response_format": ""},
        {"output_format": "jpg"},
        {"output_format": "PNG", "quality": "HIGH"},
        {"seed": -1},
        {"num_images_per_prompt": 1, "num_inference_steps": 2, "true_cfg_scale": 3},
    ],
)
def test_forms_of_the_same_value(fake: Live, fields: dict[str, Any]) -> None:
    answer = draw(fake, **fields)
    assert answer.status_code == 200, answer.text
    said, request = answer.json(), backend_of(fake).drawn[-1]
    assert not any("not known" in warning for warning in said["warnings"])
    if "n" in fields:
        assert (request.num_images, request.seed, request.num_inference_steps) == (2, 42, 3)
    if "width" in fields:
        assert said["size"] == "96x64"
    if fields.get("output_format") == "jpg":
        image = Image.open(io.BytesIO(base64.b64decode(said["data"][0]["b64_json"])))
        assert said["output_format"] == "jpeg" and image.format == "JPEG"
    if "true_cfg_scale" in fields:
        assert (request.guidance_scale, request.num_inference_steps) == (3, 2)


def test_a_seed_of_minus_one_is_drawn_each_time(fake: Live) -> None:
    seeds = {draw(fake, seed=-1).json()["used"]["seed"] for _ in range(4)}
    assert len(seeds) > 1 and min(seeds) >= 0
    form = fake.http.post("/v1/images/edits", data={"prompt": "a", "seed": "-1"}, files={"image": RED})
    assert form.status_code == 200 and form.json()["used"]["seed"] >= 0


@pytest.mark.parametrize(
    "fields", [{"n": 1.5}, {"seed": -2}, {"n": "2"}, {"width": "many", "height": "64", "steps": "9"}]
)
def test_what_means_nothing_is_still_refused(fake: Live, fields: dict[str, Any]) -> None:
    assert draw(fake, **fields).status_code == 400


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_not_dropped(fake: Live, name: str) -> None:
    for value in (data_url(RED), [data_url(RED)], {"image_url": data_url(RED)}):
        answer = draw(fake, **{name: value})
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == name and "/v1/images/edits" in answer.json()["error"]["message"]
    empty: tuple[Any, ...] = (None, "", [])
    for nothing in empty:
        assert draw(fake, **{name: nothing}).status_code == 200


@pytest.mark.parametrize(
    "value",
    [
        data_url(RED),
        [data_url(RED)],
        {"url": data_url(RED)},
        [{"type": "image_url", "image_url": {"url": data_url(RED)}}],
        base64.b64encode(RED).decode(),
        "data:IMAGE/PNG,abc",
        "https://example.org/a.PNG?width=9",
    ],
    ids=str,
)
def test_a_picture_under_any_other_name_is_not_dropped_either(fake: Live, value: Any) -> None:
    for name in ("control_image", "IMAGE", "a name of tomorrow"):
        answer = draw(fake, **{name: value})
        assert answer.status_code == 400 and answer.json()["error"]["param"] == name
        assert "/v1/images/edits" in answer.json()["error"]["message"]


@pytest.mark.parametrize("value", [5, "a text", "A" * 200, "https://example.org/", "data:text/plain,a", {"a": [{}]}])
def test_an_unknown_field_without_a_picture_is_said_only(fake: Live, value: Any) -> None:
    answer = draw(fake, label=value)
    assert answer.status_code == 200 and answer.json()["warnings"] == ["label: this field is unknown and was ignored."]


def test_a_browsers_form_with_fields_left_empty(fake: Live) -> None:
    empty = ("", b"", "application/octet-stream")
    files = [("image", ("a.png", RED, "image/png")), ("image[]", empty), ("mask", empty), ("markup", empty)]
    data = {"prompt": "a", "n": "", "quality": "", "seed": "", "size": "", "width": "64", "height": "64"}
    answer = fake.http.post("/v1/images/edits", data=data, files=files)
    assert answer.status_code == 200, answer.text
    assert answer.json()["size"] == "64x64" and len(backend_of(fake).drawn[-1].images) == 1
    none = fake.http.post("/v1/images/edits", data=data, files=[("image", empty)])
    assert none.status_code == 400 and none.json()["error"]["param"] == "image"


def test_pictures_as_plain_base64(fake: Live) -> None:
    plain = base64.b64encode(RED).decode()
    for fields in ({"image": plain}, {"images": [plain]}, {"images": [{"b64_json": plain}]}, {"image": plain + "\n"}):
        answer = fake.http.post("/v1/images/edits", json={"prompt": "a", "size": "64x64", **fields})
        assert answer.status_code == 200, answer.text
        assert backend_of(fake).drawn[-1].images[0].getpixel((0, 0)) == (255, 0, 0)
    form = fake.http.post("/v1/images/edits", data={"prompt": "a", "image": plain})
    assert form.status_code == 200, form.text
    for bad in (plain[:-9] + "?" * 9, plain[:200] + "=" + plain[201:], "A" * 101):
        assert fake.http.post("/v1/images/edits", json={"prompt": "a", "image": bad}).status_code == 400


@pytest.mark.parametrize("model", ["dall-e-2", "dall-e-3", "DALL-E-3 "])
def test_clients_of_retired_models_get_addresses(fake: Live, model: str) -> None:
    answer = draw(fake, model=model).json()
    assert "b64_json" not in answer["data"][0]
    assert fake.http.get(answer["data"][0]["url"]).status_code == 200
    assert picture(draw(fake, model=model, response_format="b64_json").json()["data"][0]).size == (64, 64)
    stream = draw(fake, model=model, stream=True)
    assert stream.status_code == 200 and "b64_json" in stream.text


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/v1/images/variations", "/v1/images/edits"),
        ("/openai/deployments/x/images/generations?api-version=1", "/v1/images/generations"),
        ("/openai/deployments/x/chat/completions", "/v1/chat/completions"),
        ("/images/edits", "/v1/images/edits"),
        ("/v1/none", "nothing at POST"),
    ],
)
def test_other_paths_say_where_to_go(fake: Live, path: str, word: str) -> None:
    answer = fake.http.post(path, json={})
    assert answer.status_code == 404 and word in answer.json()["error"]["message"]


@pytest.mark.parametrize(("path", "method"), [("/v1/images/generations", "POST"), ("/health", "GET")])
def test_options_names_the_methods(fake: Live, path: str, method: str) -> None:
    answer = fake.http.options(path)
    assert answer.status_code == 204 and {method, "OPTIONS"} <= set(answer.headers["allow"].split(", "))
    assert fake.http.options("/v1/none").status_code == 404
