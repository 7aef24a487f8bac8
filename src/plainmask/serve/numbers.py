"""What a server counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
BATCHES = (1, 2, 3, 4, 6, 8, 12, 16, 32)


class Numbers:
    """All metrics of one server; `plainmask_encoder_passes_total` against
    `plainmask_head_runs_total` is what sharing the encoder saves."""

    def __init__(self, encoder: str):
        self.registry = CollectorRegistry()
        self.encoder = encoder
        self.waiting = Gauge("plainmask_waiting", "Pictures in the queue", registry=self.registry)
        self.requests = self._counter("requests", "Requests by answer", "route", "status")
        self._passes = self._counter("encoder_passes", "Batches through the encoder", "encoder")
        self._runs = self._counter(
            "head_runs", "Pictures that a head has seen", "head", "task", "encoder"
        )
        self._cache = self._counter("feature_cache", "Pictures looked up", "outcome")
        self._batch = Histogram(
            "plainmask_batch_pictures",
            "Pictures in a pass of the encoder",
            buckets=BATCHES,
            registry=self.registry,
        )
        self._seconds = Histogram(
            "plainmask_seconds",
            "Seconds by what took them",
            ["what", "head", "task"],
            buckets=SECONDS,
            registry=self.registry,
        )

    def passed(self, pictures: int, seconds: float | None = None) -> None:
        """A batch went through the encoder; how long that took, where it was seen."""
        self._passes.labels(self.encoder).inc()
        self._batch.observe(pictures)
        if seconds is not None:
            self.took("encoder", seconds)

    def decoded(self, head: str, task: str, pictures: int, decoder: float, results: float) -> None:
        """A head has seen pictures, and results were made of it."""
        self._runs.labels(head, task, self.encoder).inc(pictures)
        self.took("decoder", decoder, head, task)
        self.took("results", results, head, task)

    def followed(self, head: str, task: str, frames: int, seconds: float) -> None:
        """A head has seen the next frames of videos, from the encoder to the results."""
        self._runs.labels(head, task, self.encoder).inc(frames)
        self.took("frames", seconds, head, task)

    def looked_up(self, *, hits: int, misses: int) -> None:
        """Pictures were looked up in the cache."""
        self._cache.labels("hit").inc(hits)
        self._cache.labels("miss").inc(misses)

    def took(self, what: str, seconds: float, head: str = "", task: str = "") -> None:
        """A step took so long: decode, queue, encoder, and of a head decoder and results, or
        frames, which are all three."""
        self._seconds.labels(what, head, task).observe(seconds)

    def text(self) -> bytes:
        """As Prometheus reads it."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"plainmask_{name}", text, labels, registry=self.registry)
