"""Drawing that is read back: the order of attempts, when it stops, what is kept, and that the seed decides it all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from inkwash.core.errors import Cancelled, RequestError
from inkwash.engine.pipeline import GlmImagePipeline
from inkwash.engine.request import CancelToken, DrawRequest
from inkwash.engine.verify import (
    Attempt,
    Reading,
    Verify,
    attempt_seed,
    attempts,
    best_attempt,
    check_verifiable,
    draw_verified,
)


class Script:
    """Draws the number of the attempt and reads what was written down for it."""

    def __init__(self, *readings: str | Reading) -> None:
        self.readings = readings
        self.drawn: list[Attempt] = []

    def draw(self, attempt: Attempt) -> int:
        self.drawn.append(attempt)
        return attempt.number

    def read(self, picture: int) -> Reading:
        reading = self.readings[picture]
        return reading if isinstance(reading, Reading) else Reading(lines=(reading,))


def kept(script: Script, verify: Verify, wanted: Sequence[str] = ("HELLO",)) -> tuple[int, int]:
    verified = best_attempt(wanted, 7, script.draw, script.read, verify)
    assert verified.image == verified.best.attempt.number and verified.attempts == len(script.drawn)
    return verified.image, verified.attempts


def test_the_first_right_picture_ends_the_search() -> None:
    assert kept(Script("HALLO", "HELLO", "HELLO"), Verify(tries=3)) == (1, 2)


def test_without_a_right_one_the_best_is_kept() -> None:
    assert kept(Script("HXXXO", "HALLO", "HALLO", "XX"), Verify(tries=4)) == (1, 4)


def test_best_of_draws_them_all_and_takes_the_most_legible() -> None:
    sure = Reading(lines=("HELLO",), confidence=0.9)
    unsure = Reading(lines=("HELLO",), confidence=0.6)
    assert kept(Script(unsure, "HALLO", sure, sure), Verify(tries=1, best_of=4)) == (2, 4)


def test_best_of_goes_on_trying_when_tries_allow_more() -> None:
    assert kept(Script("X", "X", "X", "HELLO", "HELLO"), Verify(tries=5, best_of=2)) == (3, 4)


def test_cheap_retries_come_first_and_the_first_attempt_is_the_plain_picture() -> None:
    planned = list(attempts(7, Verify(tries=5)))
    assert [(each.plan, each.noise) for each in planned] == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]
    assert planned[0].plan_seed == planned[0].noise_seed == 7
    assert planned[1].plan_seed == 7 and planned[1].noise_seed != 7
    assert planned[2].plan_seed == planned[2].noise_seed == planned[3].plan_seed
    assert len({each.noise_seed for each in planned}) == 5
    assert planned == list(attempts(7, Verify(tries=5)))
    assert attempt_seed(7, 1, 0) != attempt_seed(8, 0, 1) and all(0 <= each.noise_seed < 2**63 for each in planned)


def test_the_report_has_reading_score_and_every_attempt() -> None:
    script = Script("HALLO", "HELLO")
    said = best_attempt(("HELLO",), 7, script.draw, script.read, Verify(tries=4)).to_dict()
    assert said["wanted"] == ["HELLO"] and said["read"] == ["HELLO"] and said["score"] == 1.0
    assert said["scores"] == [0.8, 1.0] and (said["attempt"], said["attempts"]) == (1, 2)
    assert said["plan_seed"] == 7 and said["noise_seed"] == attempt_seed(7, 0, 1)


@pytest.mark.parametrize("settings", [{"tries": 0}, {"best_of": 65}, {"noises_per_plan": 0}])
def test_settings_are_checked(settings: dict[str, int]) -> None:
    with pytest.raises(RequestError, match=next(iter(settings))):
        Verify(**settings)


def test_a_prompt_without_quotes_has_nothing_to_verify() -> None:
    assert check_verifiable('a "b"') == ("b",)
    with pytest.raises(RequestError, match="quotes no text"):
        check_verifiable("a poster")


def request(seed: int | None = 5, count: int = 1, layout: str = "new") -> DrawRequest:
    return DrawRequest(
        prompt='A sign that says "HI"',
        height=64,
        width=64,
        num_inference_steps=2,
        num_images=count,
        layout=layout,  # type: ignore[arg-type]
        seed=seed,
    )


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image)


def test_the_pipeline_keeps_the_plan_and_changes_the_noise(pipe: GlmImagePipeline) -> None:
    """Attempt 0 is the picture of the seed; attempt 1 redraws its plan; attempt 2 is the picture of another seed."""
    seen: list[Image.Image] = []

    def read(image: Image.Image) -> Reading:
        seen.append(image)
        return Reading(lines=())

    [verified] = draw_verified(pipe, request(), read, verify=Verify(tries=3))
    plain = pipe.draw(request())
    redrawn = pipe(
        prompt=request().prompt,
        height=64,
        width=64,
        num_inference_steps=2,
        plan=plain.plan,
        generator=_generator(attempt_seed(5, 0, 1)),
    )
    third = pipe.draw(request(seed=attempt_seed(5, 1, 0)))
    for drawn, expected in zip(seen, (plain, redrawn, third), strict=True):
        assert np.array_equal(pixels(drawn), pixels(expected.images[0]))
    assert not np.array_equal(pixels(seen[0]), pixels(seen[1]))
    assert verified.attempts == 3 and np.array_equal(pixels(verified.image), pixels(seen[0]))


def test_pictures_of_a_request_are_verified_apart(pipe: GlmImagePipeline) -> None:
    told: list[tuple[int, int]] = []
    readings = iter([(), ("hi",), ("H", "I")])

    def read(image: Image.Image) -> Reading:
        return Reading(lines=next(readings))

    first, second = draw_verified(
        pipe,
        request(count=2),
        read,
        verify=Verify(tries=2),
        attempted=lambda done, most: told.append((done, most)),
    )
    assert (first.attempts, second.attempts) == (2, 1)
    assert second.best.attempt.plan_seed == 6
    assert told == [(0, 2), (1, 2), (2, 2), (0, 2), (2, 2)]


def test_an_edit_is_measured_against_the_picture_it_starts_from(pipe: GlmImagePipeline) -> None:
    source = Image.new("RGB", (64, 64), "red")
    readings = iter([("HELLO", "you"), ("HELLO", "HI", "you"), ("HI", "you")])
    asked = replace(request(), prompt='Replace "HELLO" with "HI"', images=(source,))
    [verified] = draw_verified(pipe, asked, lambda image: Reading(lines=next(readings)), verify=Verify(tries=3))
    assert verified.right and verified.attempts == 2 and verified.wanted == ("HI",)
    assert verified.verdicts[0].score == pytest.approx(2 / 7)


def test_the_quality_asked_for_is_drawn_with(pipe: GlmImagePipeline) -> None:
    asked = replace(request(), num_inference_steps=8, quality="low")
    [verified] = draw_verified(pipe, asked, lambda image: Reading(lines=("HI",)))
    assert np.array_equal(pixels(verified.image), pixels(pipe.draw(asked).images[0]))
    exact = pipe.draw(replace(asked, quality="exact")).images[0]
    assert not np.array_equal(pixels(verified.image), pixels(exact))


def test_one_plan_for_all_and_a_thrown_switch_are_refused(pipe: GlmImagePipeline) -> None:
    with pytest.raises(RequestError, match="layout is 'same'"):
        draw_verified(pipe, request(count=2, layout="same"), lambda image: Reading(lines=()))
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        draw_verified(pipe, request(), lambda image: Reading(lines=()), cancel=cancel)


def test_without_a_seed_one_is_drawn_and_told(pipe: GlmImagePipeline) -> None:
    [verified] = draw_verified(pipe, request(seed=None), lambda image: Reading(lines=("HI",)))
    seed = verified.best.attempt.noise_seed
    assert np.array_equal(pixels(verified.image), pixels(pipe.draw(request(seed=seed)).images[0]))


def _generator(seed: int) -> object:
    from inkwash.core.seeds import make_generator

    return make_generator(seed)
