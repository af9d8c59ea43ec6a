"""The counters count what was asked; no client adds a label."""

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

import mien
from support import encoded


def samples(service):
    page = service.ask("GET", "/metrics")
    assert page.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = (each for family in text_string_to_metric_families(page.text) for each in family.samples)
    return {(each.name, tuple(sorted(each.labels.items()))): each.value for each in found}


def test_metrics_count_requests_faces_and_refusals(service, face):
    before = samples(service)
    no_face = encoded(np.zeros((64, 64), np.uint8))
    for _ in range(3):
        service.predict(face)
    service.predict(b"no image")
    service.predict(no_face, "crops=false")
    service.predict(face, "crops=perhaps")
    service.ask("GET", "/made/up/address")
    service.ask("PATCH", "/v1/predict")
    after = samples(service)

    def grown(name, **labels):
        key = (name, tuple(sorted(labels.items())))
        return after[key] - before.get(key, 0)

    assert grown("mien_requests_total", route="/v1/predict", status="200") == 4
    assert grown("mien_requests_total", route="/v1/predict", status="415") == 1
    assert grown("mien_requests_total", route="/v1/predict", status="422") == 1
    assert grown("mien_requests_total", route="other", status="404") == 1
    assert grown("mien_refused_total", code="image-format") == 1
    assert grown("mien_refused_total", code="bad-parameter") == 1
    assert grown("mien_refused_total", code="not-found") == 1
    assert grown("mien_faces_total") == 3
    assert grown("mien_request_seconds_count", route="/v1/predict") >= 5
    assert not any("made" in value or value == "PATCH" for _, labels in after for _, value in labels)
    assert after["mien_requests_under_way", ()] == 0
    (labels,) = (dict(labels) for name, labels in after if name == "mien_build_info")
    model = service.ask("GET", "/v1/model").json()
    assert labels == {"version": mien.__version__, "model": model["name"], "sha256": model["sha256"]}
    assert after["process_resident_memory_bytes", ()] > 1e6
