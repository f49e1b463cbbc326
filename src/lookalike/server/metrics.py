"""Prometheus metrics of one app: requests, stages, ingest and the index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from lookalike.domain.hits import SearchResult
    from lookalike.engine.reports import Status

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The counters of one app, in a registry of its own so that apps do not share state."""

    content_type: Final = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "lookalike_http_requests",
            "Requests by route and status.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._latency = self._histogram(
            "lookalike_http_request_seconds", "Time to answer.", "route"
        )
        self._stages = self._histogram(
            "lookalike_search_stage_seconds", "Time of each stage of a search.", "stage"
        )
        self._degraded = self._counter(
            "lookalike_search_degraded",
            "Searches that answered without one of their paths.",
            "path",
        )
        self._empty = self._counter(
            "lookalike_search", "Searches by whether they found.", "outcome"
        )
        self._ingested = self._counter("lookalike_ingest", "Pictures given, by outcome.", "outcome")
        self._index = Gauge(
            "lookalike_index", "Sizes of the index.", ("what",), registry=self._registry
        )

    def _histogram(self, name: str, text: str, label: str) -> Histogram:
        return Histogram(name, text, (label,), buckets=_SECONDS, registry=self._registry)

    def _counter(self, name: str, text: str, label: str) -> Counter:
        return Counter(name, text, (label,), registry=self._registry)

    def observe_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._requests.labels(method, route, str(status)).inc()
        self._latency.labels(route).observe(seconds)

    def observe_search(self, result: SearchResult) -> None:
        """Take a search's stages and whether it was whole."""
        for stage, ms in result.timings_ms.items():
            self._stages.labels(stage).observe(ms / 1000)
        for path in result.degraded:
            self._degraded.labels(path.split(":")[0].split(" ")[0]).inc()
        self._empty.labels("found" if result.hits else "empty").inc()

    def observe_ingest(self, outcome: str) -> None:
        """Count one given picture: `added`, `known`, or the reason of its refusal."""
        self._ingested.labels(outcome).inc()

    def render(self, status: Status) -> bytes:
        """Return everything in Prometheus's text form, with the index as it is now."""
        sizes = {
            "images": status.images,
            "sources": status.sources,
            "regions": status.regions,
            "copy_groups": status.copy_groups,
            "removed": status.removed,
            "bytes": status.bytes,
            "seq": status.seq,
        }
        for what, size in sizes.items():
            self._index.labels(what).set(size)
        return generate_latest(self._registry)
