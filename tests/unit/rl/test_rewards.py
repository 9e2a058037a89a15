"""Rewards on pictures whose worth is known: the rendered scene, a blank canvas, another scene's picture."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import math
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from inkwash.core.errors import ConfigError, InkwashError
from inkwash.engine.plan_choice import PlanReader
from inkwash.engine.readback import compare
from inkwash.eval.ocr import Line
from inkwash.models.glm_image.weights import load_pipeline_parts
from inkwash.models.registry import resolve
from inkwash.rl.grpo_decoder import true_plans
from inkwash.rl.judging import alarms, bootstrap, look_numbers, reporting_readers
from inkwash.rl.prompts import Ask, PromptSource
from inkwash.rl.rewards import scorer as scorer_module
from inkwash.rl.rewards.base import PlanInput, RewardInput
from inkwash.rl.rewards.facts import FactsReward
from inkwash.rl.rewards.fidelity import FidelityReward, energy_gap, fidelity_of
from inkwash.rl.rewards.http import HttpReward
from inkwash.rl.rewards.look import LookReward, look_parts
from inkwash.rl.rewards.plan import ReadPlanReward
from inkwash.rl.rewards.scorer import Readings, Scorer, reward_reader
from inkwash.rl.rewards.text import TextReward
from inkwash.rl.rollout import Rollout, sampling_of
from inkwash.scenes.render import render
from inkwash.train.decoder import FrozenParts
from tests.unit.train.conftest import tiny_tokenizer

ASKS: list[Ask] = PromptSource(seed=5, count=6, level="second", canvases=((256, 256),), most_texts=2)(0)["asks"]
TEXT, FACTS, LOOK = TextReward(reader="truth"), FactsReward(), LookReward()


def read_truth(ask: Ask, score: float = 0.9) -> tuple[Line, ...]:
    """What a perfect reader would say of the rendered scene."""
    return tuple(
        Line(text=item.text, score=score, box=tuple(map(float, item.box)))  # type: ignore[arg-type]
        for item in ask.scene.texts
    )


def truth(ask: Ask) -> RewardInput:
    return RewardInput(ask=ask, image=render(ask.scene), lines=read_truth(ask))


def blank(ask: Ask) -> RewardInput:
    return RewardInput(ask=ask, image=Image.new("RGB", (256, 256), (140, 60, 60)))


@pytest.mark.parametrize("number", range(6))
def test_rewards_know_the_truth_from_nothing_and_from_another(number: int) -> None:
    ask, other = ASKS[number], truth(ASKS[(number + 1) % 6])
    wrong = replace(other, ask=ask)
    assert TEXT([truth(ask), blank(ask)]) == [1.0, 0.0]
    assert TEXT([wrong])[0] <= 0.4
    assert FACTS([truth(ask)])[0] >= 0.95
    good, empty = LOOK([truth(ask)])[0], LOOK([blank(ask)])[0]
    assert good > empty + 0.3


def test_a_blank_canvas_has_few_facts() -> None:
    assert sum(FACTS([blank(ask) for ask in ASKS])) < 0.5 * len(ASKS)


def test_half_letters_and_stray_ink_halve_the_text() -> None:
    ask = ASKS[2]
    unsure = Line(text="xqzw" * 4, score=0.3, box=(0.0, 0.0, 9.0, 9.0))
    assert TEXT([replace(truth(ask), lines=(*read_truth(ask), unsure))]) == [0.5]
    tiny = replace(unsure, text="i")
    assert TEXT([replace(truth(ask), lines=(*read_truth(ask), tiny))]) == [1.0]
    spotted = render(ask.scene)
    for x in range(0, 256, 32):
        spotted.paste((250, 215, 50) if ask.scene.background != "yellow" else (20, 20, 20), (x + 4, 228, x + 28, 252))
    assert TEXT([replace(truth(ask), image=spotted, target=render(ask.scene))]) == [0.5]
    assert TEXT([replace(truth(ask), image=spotted)]) == [1.0]  # without a target the layout is free


def test_repeating_a_text_gains_nothing() -> None:
    ask = ASKS[0]
    twice = replace(truth(ask), lines=read_truth(ask) * 2)
    assert TEXT([twice])[0] < 0.75


def test_look_has_reasons() -> None:
    ask = ASKS[1]
    item = truth(ask)
    parts = look_parts(item)
    assert set(parts) == {"palette", "clean", "contrast", "margin", "even"} and min(parts.values()) >= 0.0
    faded = Image.blend(item.image, Image.new("RGB", item.image.size, (128, 128, 128)), 0.85)
    assert look_parts(replace(item, image=faded))["contrast"] < 0.7 * parts["contrast"]
    noisy = Image.fromarray(np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8))
    assert look_parts(replace(item, image=noisy))["palette"] < parts["palette"]
    edge = (Line(text="a", score=0.9, box=(1.0, 100.0, 60.0, 130.0)),)
    assert look_parts(replace(item, lines=edge))["margin"] < 0.1


def fidelity() -> FidelityReward:
    from inkwash.models.glm_image.processor import PictureConfig

    torch.manual_seed(0)
    pictures = PictureConfig(
        patch_size=16, merge_size=1, shortest_edge=1, longest_edge=10**6, image_mean=(0.5,) * 3, image_std=(0.5,) * 3
    )
    return FidelityReward(vision=tiny_tokenizer()[0].eval(), pictures=pictures)


def test_fidelity_falls_with_blur_and_its_scale_is_measured_once(tmp_path: Path) -> None:
    ask, reward = ASKS[2], fidelity()
    target = render(ask.scene)
    items = [
        RewardInput(ask=ask, image=image, target=target)
        for image in (target, target.filter(ImageFilter.GaussianBlur(1)), target.filter(ImageFilter.GaussianBlur(4)))
    ]
    assert energy_gap(items[0]) == 0.0 < energy_gap(items[1]) < energy_gap(items[2])
    calls = []

    def make() -> list[RewardInput]:
        calls.append(1)
        return items

    scaled = fidelity_of(reward, tmp_path / "scale.json", make)
    again = fidelity_of(reward, tmp_path / "scale.json", make)
    assert scaled.scale == again.scale and len(calls) == 1 and "scale=" in scaled.name
    scores = scaled(items)
    assert scores[0] == 1.0 and scores[0] > scores[1] > scores[2] >= 0.0


class Server(BaseHTTPRequestHandler):
    """Scores by the mean grey of each picture; misbehaves as told."""

    faults: ClassVar[list[str]] = []
    seen: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append(body)
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "slow":
            time.sleep(1.5)
        images = [Image.open(io.BytesIO(base64.b64decode(one))).convert("L") for one in body["images"]]
        scores: Any = [float(np.asarray(image).mean()) for image in images]
        if fault == "short":
            scores = scores[:-1]
        if fault == "words":
            scores[0] = "good"
        content = b"no json" if fault == "broken" else json.dumps({"scores": scores}).encode()
        self.send_response(500 if fault == "error" else 200)
        self.end_headers()
        with contextlib.suppress(OSError):  # the client may have given up
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    Server.faults, Server.seen = [], []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/score"
    server.shutdown()
    server.server_close()
    thread.join()


def grays(*values: int) -> list[RewardInput]:
    return [RewardInput(ask=ASKS[0], image=Image.new("RGB", (32, 32), (v, v, v))) for v in values]


def test_a_server_scores_in_batches_and_on_its_own_scale(address: str) -> None:
    reward = HttpReward(url=address, low=0.0, high=255.0, batch=2, threads=1)
    assert reward(grays(0, 51, 255)) == pytest.approx([0.0, 0.2, 1.0])
    assert [len(body["images"]) for body in Server.seen] == [2, 1]
    assert Server.seen[0]["prompts"][0] == ASKS[0].prompt and Server.seen[0]["meta"][0] == {"key": ASKS[0].key}


def test_a_server_that_fails_is_asked_again_and_then_given_up(address: str) -> None:
    reward = HttpReward(url=address, high=255.0, pause_s=0.01)
    Server.faults = ["error", "broken"]
    assert reward(grays(51)) == pytest.approx([0.2])
    Server.faults = ["short", "short", "short"]
    assert all(math.isnan(score) for score in reward(grays(51, 51)))
    Server.faults = ["words"]
    first, second = reward(grays(51, 51))
    assert math.isnan(first) and second == pytest.approx(0.2)
    Server.faults = ["slow", "slow", "slow"]
    assert math.isnan(replace(reward, timeout_s=0.2)(grays(51))[0])


@pytest.mark.parametrize(
    "wrong", [{"url": "file:///etc/passwd"}, {"url": "http://x", "high": 0.0}, {"url": "http://x", "tries": 0}]
)
def test_a_server_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must|at least"):
        HttpReward(**wrong)


def test_a_scorer_gives_a_column_for_each_reward() -> None:
    scorer = Scorer(rewards={"facts": FACTS, "look": LOOK}, weights={"facts": 2.0})
    found = scorer.score([truth(ASKS[0]), blank(ASKS[0])])
    assert found.shape == (2, 2) and scorer.weight_list == [2.0, 1.0] and found[0, 0] > found[1, 0]


def test_columns_of_plans_stand_last() -> None:
    class Codes:
        name = "codes"

        def __call__(self, items: Sequence[PlanInput]) -> list[float]:
            return [float(item.tokens.float().mean()) for item in items]

    scorer = Scorer(rewards={"look": LOOK}, plans={"codes": Codes()}, weights={"codes": 3.0})
    plans = [PlanInput(ask=ASKS[0], tokens=torch.full((2, 2), value)) for value in (0, 7)]
    assert scorer.names == ["look", "codes"] and scorer.weight_list == [1.0, 3.0]
    assert scorer.score_plans(plans).tolist() == [[0.0], [7.0]]
    assert scorer.score([truth(ASKS[0])]).shape == (1, 1)
    assert Scorer(plans={"codes": Codes()}).score_plans([]).shape == (0, 1)


def test_plans_of_rendered_cards_are_known_from_nothing_and_from_others() -> None:
    parts = load_pipeline_parts(resolve("nano"))
    assert parts.code_labels is not None
    reward = ReadPlanReward(reader=PlanReader(parts.code_labels), limits=parts.drawing.limits)
    asks: list[Ask] = PromptSource(seed=6, count=6, canvases=((384, 384),))(0)["asks"]
    frozen = FrozenParts(
        vae=parts.vae, vision=parts.ar.model.visual, vq=parts.ar.model.vqmodel, scheduler=parts.scheduler
    )
    tokens = true_plans(frozen, torch.device("cpu"), [ask.scene for ask in asks])
    true = reward([PlanInput(ask=ask, tokens=plan) for ask, plan in zip(asks, tokens, strict=True)])
    others = reward([PlanInput(ask=ask, tokens=plan) for ask, plan in zip(asks, tokens.roll(1, 0), strict=True)])
    empty = reward([PlanInput(ask=ask, tokens=torch.zeros_like(plan)) for ask, plan in zip(asks, tokens, strict=True)])
    # Codes of rare letters stand for others too: of 295 true plans the mean is 0.88.
    assert np.mean(true) > 0.9 and np.mean(others) < 0.4 and max(empty) < 0.1


def test_true_edits_are_known_from_what_was_not_edited_and_from_new_pictures() -> None:
    parts = load_pipeline_parts(resolve("nano"))
    assert parts.code_labels is not None
    reward = ReadPlanReward(reader=PlanReader(parts.code_labels), limits=parts.drawing.limits)
    rollout = Rollout(parts=parts, sampling=sampling_of(parts))
    asks: list[Ask] = PromptSource(seed=7, count=6, edits=1.0, canvases=((384, 384),))(0)["asks"]
    before = [rollout.true_plan(ask.sources[0]) for ask in asks]
    true = [rollout.true_plan(ask.scene) for ask in asks]

    def scores(plans: Sequence[Tensor]) -> list[float]:
        pairs = zip(asks, plans, before, true, strict=True)
        return reward([PlanInput(ask=ask, tokens=plan, references=(ids,), true=aim) for ask, plan, ids, aim in pairs])

    right, copied, others = scores(true), scores(before), scores([*true[1:], true[0]])
    assert np.mean(right) > 0.85 and max(others) < 0.5
    assert np.mean([a - b for a, b in zip(right, copied, strict=True)]) > 0.1


@pytest.mark.slow
def test_a_reader_process_that_dies_is_replaced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rapidocr")
    readings = Readings(reward_reader("v6"), workers=1)
    images = [render(ASKS[0].scene)]
    wanted = readings.read(images)
    assert compare(ASKS[0].texts, [line.text for line in wanted[0] if line.score >= 0.5]).score > 0.9
    (process,) = readings._open()._processes.values()
    process.kill()
    assert readings.read(images) == wanted
    monkeypatch.setattr(scorer_module, "_begin", int)  # a worker that cannot begin is dead at once
    readings.close()
    with pytest.raises(InkwashError, match="died twice"):
        readings.read(images)


def test_the_rewarding_reader_never_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rapidocr")
    monkeypatch.setattr("inkwash.rl.judging.shutil.which", lambda _: None)
    assert [reader.name.partition("-")[0] for reader in reporting_readers("ppocrv4-mobile[x]")] == ["ppocrv6"]
    with pytest.raises(ConfigError, match="no reader is left to report"):
        reporting_readers("ppocrv6-small[x]")


def test_guards_say_what_has_slid() -> None:
    before = {"gold": 0.8, "rewarding": 0.82, "facts": 0.9, "edges": 0.1, "colours": 1.5, "ink": 0.2, "brightness": 0.5}
    assert alarms(before, before) == []
    hacked = {**before, "rewarding": 0.95, "facts": 0.8, "edges": 0.05, "distinct_plans": 0.5}
    said = alarms(before | {"distinct_plans": 1.0}, hacked)
    assert len(said) == 4 and "0.130 better" in said[0] and "edges" in said[2] and "alike" in said[3]
    picture = look_numbers(render(ASKS[0].scene))
    empty = look_numbers(Image.new("RGB", (64, 64), (220, 40, 40)))
    assert empty["edges"] == empty["colours"] == empty["ink"] == 0.0 < min(picture["edges"], picture["ink"])
    low, high = bootstrap([0.1, 0.2, 0.15, 0.12, 0.18])
    assert 0.1 < low < 0.15 < high < 0.2
