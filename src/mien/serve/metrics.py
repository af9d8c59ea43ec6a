"""What the service counts, for Prometheus. No label comes from a client, so their number is bounded."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The counters of one app."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self.requests = Counter("mien_requests", "Answered requests.", ["route", "status"], registry=registry)
        self.seconds = Histogram(
            "mien_request_seconds", "From headers to answer.", ["route"], registry=registry, buckets=_SECONDS
        )
        self.refused = Counter(
            "mien_refused", "Refused requests, by the code of the error.", ["code"], registry=registry
        )
        self.under_way = Gauge("mien_requests_under_way", "Pictures being read, as requests.", registry=registry)
        self.held_bytes = Gauge("mien_held_bytes", "Bytes of requests, come in or coming in.", registry=registry)
        self.faces = Counter("mien_faces", "Faces read.", registry=registry)
        self.batch_faces = Histogram(
            "mien_batch_faces",
            "Faces in one run of the network.",
            registry=registry,
            buckets=(1, 2, 4, 8, 16, 32, 64),
        )

    def page(self) -> bytes:
        """All of it as Prometheus reads it."""
        return generate_latest(self.registry)


class CountRequests:
    """ASGI middleware that counts and times every request by its route."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 499  # as nginx calls a client that went away

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, note_status)
        finally:
            # The template of a route, never the address that a client made up.
            route = getattr(scope.get("route"), "path", None) or "other"
            self.metrics.requests.labels(route, str(status)).inc()
            self.metrics.seconds.labels(route).observe(time.perf_counter() - began)
            if "mien.refused" in scope:
                self.metrics.refused.labels(scope["mien.refused"]).inc()
