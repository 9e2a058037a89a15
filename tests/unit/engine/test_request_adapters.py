"""Adapters chosen by requests: each picture is drawn with its own, whatever was asked for before, beside and after."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from inkwash.core.errors import InkwashError, RequestError
from inkwash.engine.open import LoadOptions, open_pipeline
from inkwash.engine.pipeline import GlmImagePipeline
from inkwash.engine.request import DrawRequest
from inkwash.engine.scheduler import Engine
from inkwash.models.lora import folder_of_adapters
from tests.unit.engine.test_adapters import HEAD, PROJ, pair, weight_of, write

WAIT = 240.0
Choice = tuple[tuple[str, float], ...] | None


@pytest.fixture(scope="module")
def folder(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two adapters of the tiny checkpoint, one of another model, and a file that is none."""
    plain = GlmImagePipeline.from_pretrained(tiny_folder, device_map="cpu")
    place = tmp_path_factory.mktemp("adapters")
    write(place / "words" / "vision_language_encoder", pair(HEAD, weight_of(plain.parts.ar, HEAD), 1))
    write(place / "colours" / "transformer", pair(PROJ, weight_of(plain.parts.decoder, PROJ), 2))
    write(place / "foreign" / "transformer", pair("no.such.matrix", torch.zeros(4, 4), 3))
    (place / "readme.txt").write_text("hello")
    return place


@pytest.fixture(scope="module")
def pipe(tiny_folder: Path, folder: Path) -> GlmImagePipeline:
    found = folder_of_adapters(folder)
    assert list(found) == ["colours", "foreign", "words"]
    options = LoadOptions(model=str(tiny_folder), device="cpu", dtype="float32", offered=tuple(found.values()))
    return open_pipeline(options)


def ask(adapters: Choice, seed: int = 3) -> DrawRequest:
    return DrawRequest(
        prompt="two red circles", height=64, width=64, num_inference_steps=2, seed=seed, adapters=adapters
    )


def test_one_of_another_model_is_left_out(tiny_folder: Path, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        made = open_pipeline(LoadOptions(model=str(tiny_folder), device="cpu", offered=(folder / "foreign",)))
    assert made.adapter_names == [] and "for another model" in caplog.text


@pytest.mark.slow
def test_each_request_has_its_own(pipe: GlmImagePipeline) -> None:
    """Submitted at once, with others between them; then the weights are the checkpoint's again."""
    assert pipe.adapter_names == ["colours", "words"] and pipe.adapter_weights == {}
    before = weight_of(pipe.parts.decoder, PROJ).clone(), weight_of(pipe.parts.ar, HEAD).clone()
    choices: list[Choice] = [
        None,
        (("words", 1.0),),
        (("colours", 0.5),),
        None,
        (("words", 1.0), ("colours", -1.0)),
        (),
    ]
    alone = []
    for choice in choices:
        pipe.set_adapters([name for name, _ in choice or ()], [weight for _, weight in choice or ()])
        alone.append(np.asarray(pipe.draw(ask(None)).images[0]))
    pipe.set_adapters([])
    assert len({picture.tobytes() for picture in alone}) == 4, "each choice draws another picture"
    with Engine(pipe, decode_workers=2) as engine:
        handles = [engine.submit(ask(choice)) for choice in choices * 2]
        pictures: list[Image.Image] = [handle.result(WAIT).images[0] for handle in handles]
        assert engine.submit(ask(None)).result(WAIT).images[0].size == (64, 64)
    for picture, expected in zip(pictures, alone * 2, strict=True):
        assert np.array_equal(np.asarray(picture), expected)
    assert pipe.adapter_weights == {}
    assert torch.equal(weight_of(pipe.parts.decoder, PROJ), before[0])
    assert torch.equal(weight_of(pipe.parts.ar, HEAD), before[1])


def test_those_that_act_on_all_come_back(pipe: GlmImagePipeline) -> None:
    pipe.set_adapters(["colours"], [2.0])
    try:
        usual = np.asarray(pipe.draw(ask(None)).images[0])
        with Engine(pipe, decode_workers=1) as engine:
            other = engine.submit(ask(()))
            again = engine.submit(ask(None))
            assert not np.array_equal(np.asarray(other.result(WAIT).images[0]), usual)
            assert np.array_equal(np.asarray(again.result(WAIT).images[0]), usual)
    finally:
        pipe.set_adapters([])


def test_what_cannot_be_is_one_sentence_and_harms_no_other(
    pipe: GlmImagePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RequestError, match="must be a number from -10 to 10"):
        ask((("words", 11.0),))
    plain = np.asarray(pipe.draw(ask(None)).images[0])
    with Engine(pipe, decode_workers=1) as engine:
        with pytest.raises(RequestError, match="no adapter 'letters': loaded are colours, words"):
            engine.submit(ask((("letters", 1.0),)))
        merge = pipe._adapters._merge

        def no_memory(place: tuple[str, str], deltas: object) -> None:
            if deltas and place[0] == "transformer":
                raise MemoryError
            merge(place, deltas)  # type: ignore[arg-type]

        monkeypatch.setattr(pipe._adapters, "_merge", no_memory)
        failed = engine.submit(ask((("words", 1.0), ("colours", 1.0))))
        after = engine.submit(ask(None))
        with pytest.raises(InkwashError, match="memory"):
            failed.result(WAIT)
        assert np.array_equal(np.asarray(after.result(WAIT).images[0]), plain), "no half of a choice stays"


def test_a_folder_without_adapters_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InkwashError, match="holds no adapters"):
        folder_of_adapters(tmp_path)
    with pytest.raises(InkwashError, match="There is no folder"):
        folder_of_adapters(tmp_path / "none")
