"""Drawing that is read back: several attempts at one picture, and the one that shows its words best is kept.

    verified = draw_verified(pipe, request, reader.reading, verify=Verify(tries=4))
    verified.image, verified.best.score, verified.best.lines

The plan (AR generator) and the noise (decoder) are drawn again apart from each other, cheap retries first: the same
plan with new noise, then a new plan. Attempt 0 is the picture that the seed draws without verification, and every
attempt has seeds of its own that follow from that seed, so the same command keeps the same picture. The reader is a
callable that the caller brings; `best_attempt` knows neither networks nor readers and is what a service wraps around
its own queue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from inkwash.core import limits
from inkwash.core.errors import RequestError
from inkwash.core.seeds import derived_seed, draw_seed, following_seed
from inkwash.engine.readback import Comparison, WantedTexts, compare, edit_target, quoted_texts

if TYPE_CHECKING:
    from PIL import Image

    from inkwash.engine.output import Plan
    from inkwash.engine.pipeline import GlmImagePipeline
    from inkwash.engine.request import CancelToken, DrawRequest, ProgressCallback

MAX_ATTEMPTS = 64
NOISES_PER_PLAN = 2


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The lines read from a picture in reading order, and how sure the reader is of them (0 to 1)."""

    lines: tuple[str, ...]
    confidence: float = 1.0


ReadPicture = Callable[["Image.Image"], Reading]


@dataclass(frozen=True, kw_only=True)
class Verify:
    """How often a picture is tried.

    tries: at most so many attempts; the first that shows every text, and nothing else, ends the search.
    best_of: so many attempts are drawn in any case; of several that show every text the most legible one is kept.
    noises_per_plan: attempts at one plan before the next plan is sampled.
    """

    tries: int = 4
    best_of: int = 1
    noises_per_plan: int = NOISES_PER_PLAN

    def __post_init__(self) -> None:
        limits.check_whole("tries", self.tries, 1, MAX_ATTEMPTS)
        limits.check_whole("best_of", self.best_of, 1, MAX_ATTEMPTS)
        limits.check_whole("noises_per_plan", self.noises_per_plan, 1, MAX_ATTEMPTS)

    @property
    def most(self) -> int:
        """Attempts when none of them is right."""
        return max(self.tries, self.best_of)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One way to draw the picture: noise `noise` of plan `plan`, each with the seed that repeats it."""

    number: int
    plan: int
    noise: int
    plan_seed: int
    noise_seed: int


@dataclass(frozen=True, kw_only=True)
class AttemptResult:
    """What one attempt turned out to be."""

    attempt: Attempt
    lines: tuple[str, ...]
    confidence: float
    comparison: Comparison

    @property
    def score(self) -> float:
        return self.comparison.score

    def to_dict(self) -> dict[str, Any]:
        """For metadata and JSON answers."""
        attempt = self.attempt
        return {
            "attempt": attempt.number,
            "plan_seed": attempt.plan_seed,
            "noise_seed": attempt.noise_seed,
            "score": round(self.score, 4),
            "confidence": round(self.confidence, 4),
            "read": list(self.lines),
        }


@dataclass(frozen=True, kw_only=True)
class Verified:
    """The kept picture, its verdict and those of all attempts; its plan where `draw_verified` drew it."""

    image: Any
    best: AttemptResult
    verdicts: tuple[AttemptResult, ...]
    wanted: tuple[str, ...]
    plan: Plan | None = None

    @property
    def attempts(self) -> int:
        """How many pictures were drawn."""
        return len(self.verdicts)

    @property
    def right(self) -> bool:
        """Whether the kept picture shows every text, and nothing else."""
        return self.best.comparison.perfect

    def to_dict(self) -> dict[str, Any]:
        """What metadata and JSON answers say: the kept attempt, what was asked for, and the score of every attempt."""
        return {
            **self.best.to_dict(),
            "wanted": list(self.wanted),
            "right": self.right,
            "attempts": self.attempts,
            "scores": [round(verdict.score, 4) for verdict in self.verdicts],
        }


def attempts(seed: int, verify: Verify) -> Iterator[Attempt]:
    """Every attempt at the picture of a seed, in order."""
    for number in range(verify.most):
        plan, noise = divmod(number, verify.noises_per_plan)
        yield Attempt(
            number=number,
            plan=plan,
            noise=noise,
            plan_seed=attempt_seed(seed, plan, 0),
            noise_seed=attempt_seed(seed, plan, noise),
        )


def attempt_seed(seed: int, plan: int, noise: int) -> int:
    """The seed itself for the first attempt, else a digest, so that the attempts of near seeds never meet."""
    if plan == noise == 0:
        return seed
    return derived_seed(seed, plan, noise)


def check_verifiable(prompt: str) -> tuple[str, ...]:
    """The texts that will be looked for; RequestError when the prompt quotes none."""
    wanted = tuple(quoted_texts(prompt))
    if not wanted:
        raise RequestError(
            "The prompt quotes no text, so there is nothing to read back: put the words to draw in quotation marks, "
            "or draw without verification.",
            param="verify",
        )
    return wanted


def edit_targets(prompt: str, before: Reading) -> WantedTexts:
    """The same for an edit of a picture that was read; RequestError when the instruction quotes no text."""
    check_verifiable(prompt)
    return edit_target(prompt, before.lines)


def best_attempt(
    wanted: Sequence[str] | WantedTexts,
    seed: int,
    draw: Callable[[Attempt], Any],
    read: Callable[[Any], Reading],
    verify: Verify,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Verified:
    """Draw, read, compare; stop when it is right and `best_of` are drawn; keep the best, of equals the earlier one.

    `draw` makes the picture of an attempt. Attempts of one plan follow one another, so it may keep the plan.
    """
    tell = progress or (lambda done, most: None)
    target = wanted if isinstance(wanted, WantedTexts) else WantedTexts(texts=tuple(wanted))
    image: Any = None
    best: AttemptResult | None = None
    verdicts: list[AttemptResult] = []
    for attempt in attempts(seed, verify):
        tell(attempt.number, verify.most)
        drawn = draw(attempt)
        verdict = judge(attempt, target, read(drawn))
        verdicts.append(verdict)
        if best is None or _rank(verdict) > _rank(best):
            image, best = drawn, verdict
        if len(verdicts) >= verify.best_of and best.comparison.perfect:
            break
    tell(verify.most, verify.most)
    assert best is not None  # there is at least one attempt
    return Verified(image=image, best=best, verdicts=tuple(verdicts), wanted=target.texts)


def judge(attempt: Attempt, wanted: Sequence[str] | WantedTexts, reading: Reading) -> AttemptResult:
    """The verdict on one attempt."""
    target = wanted if isinstance(wanted, WantedTexts) else WantedTexts(texts=tuple(wanted))
    return AttemptResult(
        attempt=attempt,
        lines=reading.lines,
        confidence=reading.confidence,
        comparison=compare(target.texts, reading.lines, spare=target.spare),
    )


def _rank(verdict: AttemptResult) -> tuple[float, float]:
    return verdict.score, verdict.confidence


def draw_verified(
    pipe: GlmImagePipeline,
    request: DrawRequest,
    read: ReadPicture,
    *,
    verify: Verify | None = None,
    progress: ProgressCallback | None = None,
    cancel: CancelToken | None = None,
    attempted: Callable[[int, int], None] | None = None,
) -> list[Verified]:
    """The verified pictures of one request; picture k of n has seed `seed + k` and attempts of its own.

    `attempted` is told the attempt at hand and the most there can be. A request without a seed gets a drawn one.
    """
    verify = verify or Verify()
    check_verifiable(request.prompt)
    if request.layout == "same" and request.num_images > 1:
        raise RequestError(
            "The layout is 'same', but verification samples plans for each picture: leave one of the two out.",
            param="layout",
        )
    first = request.seed if request.seed is not None else draw_seed()
    if request.images:
        wanted = edit_targets(request.prompt, read(request.images[0]))
    else:
        wanted = WantedTexts(texts=tuple(quoted_texts(request.prompt)))
    found: list[Verified] = []
    for seed in (following_seed(first, k) for k in range(request.num_images)):
        drawer = _Drawer(pipe, replace(request, num_images=1, seed=seed), progress, cancel)
        kept = best_attempt(wanted, seed, drawer, read, verify, progress=attempted)
        found.append(replace(kept, plan=drawer.plans[kept.best.attempt.plan]))
    return found


class _Drawer:
    """Draws attempts of one picture, each with the plan that an earlier one of the same number sampled."""

    def __init__(
        self,
        pipe: GlmImagePipeline,
        request: DrawRequest,
        progress: ProgressCallback | None,
        cancel: CancelToken | None,
    ) -> None:
        self.pipe, self.request, self.progress, self.cancel = pipe, request, progress, cancel
        self.plans: dict[int, Plan] = {}

    def __call__(self, attempt: Attempt) -> Image.Image:
        plan = self.plans.get(attempt.plan)
        assert plan is not None or attempt.noise == 0, "the first noise of a plan comes before the others"
        output = self.pipe.draw(
            replace(self.request, seed=attempt.noise_seed), plan=plan, progress=self.progress, cancel=self.cancel
        )
        self.plans[attempt.plan] = output.plan
        image: Image.Image = output.images[0]
        return image
