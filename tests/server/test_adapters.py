"""Adapters by request: chosen in every spelling, listed as models, told in the answer and the file, refused by name."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inkwash.media.images import read_metadata
from inkwash.serve.settings import ServeSettings
from tests.server.conftest import Live, backend_of, running
from tests.server.fakes import FakeBackend
from tests.server.test_leniency import RED


class Adapted(FakeBackend):
    """A fake with two adapters."""

    def __init__(self) -> None:
        super().__init__()
        self.info = replace(self.info, adapters=("ink", "pastel"))


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with running(ServeSettings(state=tmp_path_factory.mktemp("adapted")), Adapted) as live:
        yield live


def draw(live: Live, **fields: Any) -> Any:
    return live.http.post("/v1/images/generations", json={"prompt": "a", "size": "64x64", "steps": 1, **fields})


@pytest.mark.parametrize(
    ("fields", "chosen"),
    [
        ({}, None),
        ({"lora": None}, None),
        ({"lora": []}, ()),
        ({"lora": "ink"}, (("ink", 1.0),)),
        ({"lora": "ink:0.5, pastel"}, (("ink", 0.5), ("pastel", 1.0))),
        ({"lora": ["ink:-2"]}, (("ink", -2.0),)),
        ({"lora": [{"name": "pastel", "scale": 0.25}]}, (("pastel", 0.25),)),
        ({"lora": {"name": "pastel", "weight": 2}}, (("pastel", 2.0),)),
        ({"loras": ["ink"]}, (("ink", 1.0),)),
        ({"model": "pastel"}, (("pastel", 1.0),)),
        ({"model": "pastel", "lora": "ink"}, (("ink", 1.0),)),
    ],
)
def test_every_spelling(adapted: Live, fields: dict[str, Any], chosen: Any, tmp_path: Path) -> None:
    answer = draw(adapted, **fields)
    assert answer.status_code == 200, answer.text
    assert backend_of(adapted).drawn[-1].adapters == chosen
    said = None if chosen is None else [f"{name}:{scale:g}" for name, scale in chosen]
    assert answer.json()["used"].get("lora") == said and answer.json()["warnings"] == []
    file = tmp_path / "a.png"
    file.write_bytes(base64.b64decode(answer.json()["data"][0]["b64_json"]))
    assert read_metadata(file).get("lora") == said


def test_a_form_and_a_restored_choice(adapted: Live) -> None:
    form = {"prompt": "a", "lora": "ink:0.5"}
    assert adapted.http.post("/v1/images/edits", data=form, files={"image": RED}).status_code == 200
    assert backend_of(adapted).drawn[-1].adapters == (("ink", 0.5),)


@pytest.mark.parametrize(
    ("lora", "said"),
    [
        ("letters", "no adapter 'letters' on this server: there are ink, pastel"),
        (["ink", "ink:2"], "names an adapter twice"),
        (["ink:11"], "less than or equal to 10"),
        ([{"name": "ink", "size": 1}], "lora.0.size"),
        (["ink"] * 9, "at most 8"),
        ([""], "lora"),
        (7, "lora"),
    ],
)
def test_what_cannot_be_chosen_is_named(adapted: Live, lora: Any, said: str) -> None:
    answer = draw(adapted, lora=lora)
    assert answer.status_code == 400 and said in answer.json()["error"]["message"], answer.text
    assert answer.json()["error"]["param"].startswith("lora")


def test_a_server_without_adapters_says_how_to_start_one(fake: Live) -> None:
    answer = draw(fake, lora="owner/name")
    assert answer.status_code == 400 and "--lora-folder" in answer.json()["error"]["message"]


def test_they_are_listed_as_models_with_their_parent(adapted: Live) -> None:
    listed = {model.id: model.model_extra or {} for model in adapted.openai.models.list()}
    assert list(listed) == ["nano", "ink", "pastel"] and listed["ink"]["parent"] == "nano"
    assert adapted.openai.models.retrieve("pastel").id == "pastel"
