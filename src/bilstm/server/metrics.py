"""What the server counts, for Prometheus. Knows names of counters; counts nothing by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD")
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # they would double what is read
        own = self.registry = CollectorRegistry()
        by_model: dict[str, Any] = {"labelnames": ["model"], "registry": own}
        self.requests = Counter("bilstm_requests", "Requests answered.", ["route", "method", "status"], registry=own)
        about = "Seconds from a request to its answer."
        self.seconds = Histogram("bilstm_request_seconds", about, ["route"], buckets=SECONDS, registry=own)
        self.in_progress = Gauge("bilstm_requests_in_progress", "Requests that are worked on.", registry=own)
        self.queue = Gauge("bilstm_queue_length", "Requests that wait for a model.", **by_model)
        self.rows = Counter("bilstm_predictions", "Rows predicted.", **by_model)
        self.batch_rows = Histogram("bilstm_batch_rows", "Rows of a batch.", buckets=ROWS, **by_model)
        self.batch_seconds = Histogram(
            "bilstm_batch_seconds", "Seconds that a batch took.", buckets=SECONDS, **by_model
        )
        self.load_seconds = Gauge("bilstm_model_load_seconds", "Seconds to load a model.", **by_model)
        about = "Model files that could not be loaded anew."
        self.reload_failures = Counter("bilstm_reload_failures", about, **by_model)

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """One request has its answer; methods that HTTP does not know are counted as one."""
        self.requests.labels(route, method if method in METHODS else "other", str(status)).inc()
        self.seconds.labels(route).observe(seconds)

    def batches_of(self, model: str) -> Callable[[int, float], None]:
        """Counts the batches of that model: called with the rows of each and the seconds that it took."""
        rows, sizes = self.rows.labels(model), self.batch_rows.labels(model)
        seconds = self.batch_seconds.labels(model)
        self.reload_failures.labels(model)

        def count(number: int, taken: float) -> None:
            rows.inc(number)
            sizes.observe(number)
            seconds.observe(taken)

        return count

    def text(self) -> bytes:
        return generate_latest(self.registry)
