"""Several models that draw behind one server: requests choose by name, and each has its own sizes and adapters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from inkwash.cli.app import run as cli
from inkwash.engine.defaults import ModelDefaults
from inkwash.serve.server import mount_ui
from inkwash.serve.settings import ServeSettings
from tests.server.conftest import Live, running
from tests.server.fakes import FakeBackend


class Second(FakeBackend):
    """Another model than the usual fake."""

    def __init__(self) -> None:
        super().__init__()
        defaults = ModelDefaults(steps=7, guidance=3.0)
        self.info = replace(
            self.info,
            name="second",
            natural_size=(512, 512),
            defaults=defaults,
            adapters=("ink",),
            canonical_quotes=True,
        )


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    settings = ServeSettings(state=tmp_path_factory.mktemp("models"))
    with running(settings, FakeBackend, also=[Second], prepare=lambda app, _: mount_ui(app)) as live:
        yield live


def drawn(live: Live, number: int) -> list[str]:
    backend = live.service.backends[number]
    assert isinstance(backend, FakeBackend)
    return [request.prompt for request in backend.drawn]


def test_a_request_chooses_its_model_by_name(live: Live) -> None:
    def draw(**fields: object) -> dict[str, object]:
        answer = live.http.post("/v1/images/generations", json={"seed": 1, **fields})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    first, second = draw(prompt="usual"), draw(prompt="by name", model="second")
    by_path, by_adapter = draw(prompt="by path", model="owner/SECOND"), draw(prompt="by adapter", model="ink")
    other = draw(prompt="unknown", model="dall-e-3")
    assert [each["used"]["model"] for each in (first, second, by_path, by_adapter, other)] == [
        "nano",
        "second",
        "second",
        "second",
        "nano",
    ]
    assert [first["size"], second["size"]] == ["256x256", "512x512"] and second["used"]["steps"] == 7
    assert second["warnings"] == [] and "not served here" in str(other["warnings"])
    assert drawn(live, 0)[1:] == ["usual", "unknown"] and drawn(live, 1)[1:] == ["by name", "by path", "by adapter"]
    assert drawn(live, 0)[0] == drawn(live, 1)[0], "each has drawn the self-test picture"


def test_jobs_keep_their_model(live: Live) -> None:
    job = live.http.post("/v1/images/generations?background=true", json={"prompt": "later", "model": "second"}).json()
    live.wait(lambda: live.http.get(f"/v1/jobs/{job['id']}").json()["status"] == "completed")
    assert drawn(live, 1)[-1] == "later"


def test_all_models_are_listed_and_counted(live: Live) -> None:
    listed = {each["id"]: each for each in live.http.get("/v1/models").json()["data"]}
    assert list(listed) == ["nano", "second", "ink"] and listed["ink"]["parent"] == "second"
    assert listed["second"]["natural_size"] == "512x512" and listed["second"]["default_steps"] == 7
    assert live.http.get("/v1/models/second").json()["default_guidance"] == 3.0
    stats = live.service.stats()
    assert stats is not None and stats.finished == len(drawn(live, 0)) + len(drawn(live, 1))


def test_the_page_is_told_about_each(live: Live) -> None:
    facts = {name: live.http.get("/ui/about", params={"model": name}).json() for name in ("nano", "second", "gone")}
    assert [facts[name]["name"] for name in facts] == ["nano", "second", "nano"]
    assert facts["second"]["models"] == ["nano", "second"] and facts["second"]["adapters"] == ["ink"]
    assert facts["second"]["shapes"]["square"] == [512, 512] and facts["nano"]["shapes"]["square"] == [256, 256]
    asked = {"prompt": "A sign that says «OPEN»", "model": "second"}
    assert live.http.post("/ui/notes", json=asked).json()["notes"] == [], "it reads these quotation marks"
    assert live.http.post("/ui/notes", json={**asked, "model": "nano"}).json()["notes"] != []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--also", "nano"], "twice"),
        (["--also", "nano", "--ray"], "not with --ray"),
        (["--also", "no-such-model"], "no-such-model"),
        (["--also", "nano-v"], "nano-v"),
    ],
)
def test_models_that_cannot_be_added_are_refused(
    options: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["serve", "nano", "--port", "0", *options]) == 2
    assert says in capsys.readouterr().err
