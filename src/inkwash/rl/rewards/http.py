"""Rewards of a server, such as HPSv3 or a judge on another machine: pictures out, one number for each back.

POST {"prompts": [...], "images": [PNG as base64, ...], "meta": [{"key": ...}, ...]} -> {"scores": [...]}. Every call
has a time limit; after two more tries, or an answer that is none, the pictures count as not judged (NaN) and leave
their groups. `low` and `high` bring the server's scale to 0..1.
"""

from __future__ import annotations

import base64
import json
import logging
import math
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from inkwash.media.images import encode_image
from inkwash.rl.rewards.base import RewardInput

MOST_BYTES = 2**24  # of an answer
LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class HttpReward:
    """One endpoint; `batch` pictures go in one call, `threads` calls at once."""

    url: str
    label: str = "http"
    low: float = 0.0
    high: float = 1.0
    timeout_s: float = 60.0
    tries: int = 3
    batch: int = 8
    threads: int = 4
    pause_s: float = 1.0

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise ValueError(f"the address of a reward must begin with http:// or https://, got {self.url!r}.")
        if not self.high > self.low:
            raise ValueError(f"the scale of a reward must rise, got low {self.low} and high {self.high}.")
        if self.timeout_s <= 0 or self.tries < 1 or self.batch < 1 or self.threads < 1:
            raise ValueError("timeout_s must be above 0; tries, batch and threads at least 1.")

    @property
    def name(self) -> str:
        return f"{self.label}[{self.url},{self.low:g}..{self.high:g}]"

    @property
    def reads(self) -> bool:
        return False

    def __call__(self, items: Sequence[RewardInput]) -> list[float]:
        parts = [items[at : at + self.batch] for at in range(0, len(items), self.batch)]
        with ThreadPoolExecutor(self.threads) as pool:
            return [score for scores in pool.map(self._scores, parts) for score in scores]

    def _scores(self, items: Sequence[RewardInput]) -> list[float]:
        body = json.dumps(
            {
                "prompts": [item.ask.prompt for item in items],
                "images": [base64.b64encode(encode_image(item.image, "PNG")).decode() for item in items],
                "meta": [{"key": item.ask.key} for item in items],
            }
        ).encode()
        for attempt in range(self.tries):
            try:
                return [self._scaled(score) for score in self._request(body, len(items))]
            except (OSError, ValueError) as error:  # URLError and timeouts are OSErrors
                LOG.warning(
                    "The reward %s gave no answer (%s), try %d of %d.", self.label, error, attempt + 1, self.tries
                )
                if attempt + 1 < self.tries:
                    time.sleep(self.pause_s * 2**attempt)
        return [math.nan] * len(items)

    def _request(self, body: bytes, count: int) -> list[float]:
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=self.timeout_s) as answer:
            content = json.loads(answer.read(MOST_BYTES))
        scores = content.get("scores") if isinstance(content, dict) else None
        if not isinstance(scores, list) or len(scores) != count:
            raise ValueError(f"expected {count} scores")
        return [float(score) if isinstance(score, int | float) else math.nan for score in scores]

    def _scaled(self, score: float) -> float:
        scaled = (score - self.low) / (self.high - self.low)
        return scaled if math.isnan(scaled) else min(1.0, max(0.0, scaled))  # max() would make 0 of NaN
