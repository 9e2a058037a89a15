"""Prometheus metrics of one server: what was asked, what was drawn, how long each stage took, what was turned away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from inkwash.engine.scheduler import EngineStats

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640)
_GAUGES = {
    "queued": "Requests waiting in the engine.",
    "running": "Requests that the engine works on.",
    "tokens_per_s": "Semantic tokens a second of the AR stage.",
    "step_s": "Seconds of one denoising step.",
    "estimated_wait_s": "Estimated seconds until a new request would be finished.",
}
_REFERENCES = {
    "hits": "Reference pictures whose tokens, latent and decoder keys were known.",
    "misses": "Reference pictures that had to be read.",
    "bytes": "Memory of what is known about reference pictures.",
}
_TOTALS = {
    "tokens": "Semantic tokens sampled since the start.",
    "steps": "Denoising steps taken since the start.",
}


class EngineCollector(Collector):
    """The engine's own figures, asked for at every scrape."""

    def __init__(self, stats: Callable[[], EngineStats | None], ready: Callable[[], bool]) -> None:
        self.stats, self.ready = stats, ready

    def collect(self) -> Iterator[Metric]:
        """Gauges of the moment."""
        yield GaugeMetricFamily("inkwash_ready", "1 after the self-test picture.", value=float(self.ready()))
        stats = self.stats()
        if stats is None:
            return
        for name, words in {**_GAUGES, **_TOTALS}.items():
            yield GaugeMetricFamily(f"inkwash_engine_{name}", words, value=float(getattr(stats, name)))
        for name, words in _REFERENCES.items():
            value = float(getattr(stats.references, name))
            yield GaugeMetricFamily(f"inkwash_reference_cache_{name}", words, value=value)


class Metrics:
    """Counters and histograms; each server has its own registry."""

    def __init__(self, stats: Callable[[], EngineStats | None], ready: Callable[[], bool]) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "inkwash_http_requests", "Answers by route, method and status.", ("route", "method", "status"),
            registry=self.registry,
        )  # fmt: skip
        self.request_seconds = Histogram(
            "inkwash_http_request_seconds", "Seconds until the last byte.", ("route",), buckets=_SECONDS,
            registry=self.registry,
        )  # fmt: skip
        self.stage_seconds = Histogram(
            "inkwash_stage_seconds", "Seconds of each stage of a request.", ("stage",), buckets=_SECONDS,
            registry=self.registry,
        )  # fmt: skip
        self.pictures = Counter("inkwash_pictures", "Pictures drawn.", registry=self.registry)
        self.cancelled = Counter("inkwash_cancelled", "Requests stopped by their client.", registry=self.registry)
        self.rejected = Counter("inkwash_rejected", "Requests turned away.", ("code",), registry=self.registry)
        self.failed = Counter("inkwash_failed", "Requests that failed on our side.", ("code",), registry=self.registry)
        self.registry.register(EngineCollector(stats, ready))
        ProcessCollector(registry=self.registry)

    def drawn(self, timings: dict[str, float], pictures: int) -> None:
        """Count a finished request."""
        self.pictures.inc(pictures)
        for stage, seconds in timings.items():
            self.stage_seconds.labels(stage).observe(seconds)

    def turned_away(self, status: int, code: str | None) -> None:
        """Count an unsuccessful answer of a drawing route by what it was."""
        if status == 499:
            self.cancelled.inc()
        elif status >= 500 or status == 408:
            self.failed.labels(code or "unknown").inc()
        else:
            self.rejected.labels(code or "unknown").inc()

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)
