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
        self._runs = self._counter("head_runs", "Pictures that a head has seen", "head", "encoder")
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
            ["what", "head"],
            buckets=SECONDS,
            registry=self.registry,
        )

    def passed(self, pictures: int, seconds: float) -> None:
        """A batch went through the encoder."""
        self._passes.labels(self.encoder).inc()
        self._batch.observe(pictures)
        self.took("encoder", seconds)

    def decoded(self, head: str, pictures: int, decoder: float, results: float) -> None:
        """A head has seen pictures, and results were made of it."""
        self._runs.labels(head, self.encoder).inc(pictures)
        self.took("decoder", decoder, head)
        self.took("results", results, head)

    def looked_up(self, *, hits: int, misses: int) -> None:
        """Pictures were looked up in the cache."""
        self._cache.labels("hit").inc(hits)
        self._cache.labels("miss").inc(misses)

    def took(self, what: str, seconds: float, head: str = "") -> None:
        """A step took so long: decode, queue, encoder, and of a head decoder and results."""
        self._seconds.labels(what, head).observe(seconds)

    def text(self) -> bytes:
        """As Prometheus reads it."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"plainmask_{name}", text, labels, registry=self.registry)
