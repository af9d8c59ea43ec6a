"""Prometheus counters of the service. Clients cannot create labels, so the number of time series is bounded."""

import os
import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien.version import __version__

CONTENT_TYPE: str = CONTENT_TYPE_PLAIN_0_0_4

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable for the folder in which workers count. prometheus_client reads it when imported."""

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class ServiceMetrics:
    """Prometheus counters of one running service, labelled with name and SHA-256 of the model."""

    def __init__(self, model: str = "", sha256: str = "") -> None:
        self.registry: CollectorRegistry = CollectorRegistry()
        registry = self.registry
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        meaning = "Always 1; its labels are mien's version, the model and the SHA-256 of its file."
        labels = ["version", "model", "sha256"]
        build = Gauge("mien_build_info", meaning, labels, registry=registry, multiprocess_mode="livemax")
        build.labels(__version__, model, sha256).set(1)
        self.requests: Counter = Counter("mien_requests", "Answered requests.", ["route", "status"], registry=registry)
        meaning = "Seconds from the headers to the answer."
        self.seconds = Histogram("mien_request_seconds", meaning, ["route"], registry=registry, buckets=_SECONDS)
        self.refused: Counter = Counter("mien_refused", "Refused requests by error code.", ["code"], registry=registry)
        meaning = "Requests for predictions that are being received or processed."
        self.under_way = Gauge("mien_requests_under_way", meaning, registry=registry, multiprocess_mode="livesum")
        self.streams: Counter = Counter("mien_streams", "Streams begun.", registry=registry)
        self.faces: Counter = Counter("mien_faces", "Faces classified, without those of streams.", registry=registry)

    def page(self) -> bytes:
        """Return all counters in Prometheus's text format, summed over workers."""
        if FOLDER_VARIABLE not in os.environ:
            return generate_latest(self.registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


class CountRequests:
    """ASGI middleware that counts and times requests by route, and counts errors by code."""

    def __init__(self, app: ASGIApp, metrics: ServiceMetrics) -> None:
        self.app: ASGIApp = app
        self.metrics: ServiceMetrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 499  # nginx's status code for a client that closed the connection

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, note_status)
        except Exception:
            # For such an exception, the framework sends the answer outside this middleware.
            status, scope["mien.error"] = 500, "internal"
            raise
        finally:
            # As label, use the route's template, never the path that the client sent.
            route = getattr(scope.get("route"), "path", None) or "other"
            self.metrics.requests.labels(route, str(status)).inc()
            self.metrics.seconds.labels(route).observe(time.perf_counter() - began)
            if "mien.error" in scope:
                self.metrics.refused.labels(scope["mien.error"]).inc()
