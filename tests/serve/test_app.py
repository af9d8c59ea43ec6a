"""The answers of the service. Oracle: the same model in Python."""

import hashlib
import io
import json
import re
from pathlib import Path
from urllib.parse import urljoin

import numpy as np
import pytest
from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

import mien
from mien.base.model_file import read_manifest
from mien.base.run_folder import find_model
from mien.data.synthetic import synthetic_faces
from mien.serve.app import create_app
from mien.serve.limits import Limits
from mien.serve.schemas import CODES, ApiError, add_error_handlers
from support import encoded


def test_predict_equals_python_on_a_crop(service, face):
    expected, answer = mien.load().predict_crops(face)[0].to_dict(), service.predict(face).json()
    (found,) = answer["faces"]
    assert found.pop("probabilities") == pytest.approx(expected.pop("probabilities"), abs=1e-6)
    assert (found.pop("confidence"), found) == (pytest.approx(expected.pop("confidence"), abs=1e-6), expected)
    assert (answer["image"], answer["faces_found"]) == ({"width": 48, "height": 48}, 1)
    assert "detector" not in answer
    assert answer["milliseconds"] > 0
    digest = hashlib.sha256(find_model("default").read_bytes()).hexdigest()
    assert answer["model"] == {"name": "default", "sha256": digest}
    seven = service.predict(face).json()["faces"][0]["probabilities"]
    kept = sum(seven[name] for name in ("angry", "fear", "sad", "happy", "surprise"))
    positive = (seven["happy"] + seven["surprise"]) / kept
    (merged,) = service.predict(face, "crops=true&classes=binary").json()["faces"]
    assert merged["probabilities"] == pytest.approx({"negative": 1 - positive, "positive": positive}, abs=1e-6)


def test_predict_equals_python_on_a_photo(service, astronaut):
    """Three faces: the photo twice beside itself, once smaller."""
    wide = np.zeros((512, 1400, 3), np.uint8)
    wide[:, :512], wide[:, 512:1024] = astronaut, astronaut
    wide[:256, 1024:1280] = astronaut[::2, ::2]
    expected = mien.load().predict(encoded(wide))
    assert len(expected) == 3
    answer = service.predict(encoded(wide), "").json()
    assert answer["detector"] == "YuNet"
    assert [face["box"] for face in answer["faces"]] == [prediction.box.to_dict() for prediction in expected]
    for found, prediction in zip(answer["faces"], expected, strict=True):
        assert found["probabilities"] == pytest.approx(prediction.probabilities, abs=1e-6)
    largest = service.predict(encoded(wide), "max_faces=1").json()
    assert ([face["box"] for face in largest["faces"]], largest["faces_found"]) == ([answer["faces"][0]["box"]], 3)
    large = service.predict(encoded(wide), f"min_size={expected[1].box.width}").json()
    assert (len(large["faces"]), large["faces_found"]) == (2, 2)
    assert service.predict(encoded(wide), "min_score=1").json()["faces"] == []


def test_predict_hints_at_photos_as_crops_and_crops_as_photos(service, astronaut):
    """With the code of the notice that `mien predict` gives."""
    head, grey = astronaut[30:200, 140:310], np.full((300, 300, 3), 128, np.uint8)
    for image, query, code in (
        (astronaut[:400], "crops=true", "photo-as-crop"),
        (astronaut, "", None),
        (head, "crops=true", None),
        (grey, "crops=true", None),
        (grey, "", None),
        (grey[:48, :48], "", "crops-as-photos"),
        (grey[:200], "", None),
    ):
        answer = service.predict(encoded(image), query).json()
        assert ("hint" in answer, answer.get("hint_code")) == (code is not None, code), (image.shape, query, answer)


def test_draw_marks_the_face_in_the_photo(service, astronaut):
    """Oracle: the photo, and where its face is: the lines of the box are there and nowhere below it."""
    files = {"file": encoded(astronaut)}
    answer = service.ask("POST", "/v1/draw?max_faces=1", files=files)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    changed = np.abs(np.asarray(Image.open(io.BytesIO(answer.content))).astype(int) - astronaut).max(axis=2) > 90
    box = service.predict(encoded(astronaut), "").json()["faces"][0]["box"]
    assert changed[box["top"] : box["top"] + box["height"], box["left"] - 3 : box["left"] + 6].any(axis=1).mean() > 0.8
    assert not changed[box["top"] + box["height"] + 60 :].any()
    assert service.refusal(service.ask("POST", "/v1/draw?crops=true", files=files), 422) == "bad-parameter"


@pytest.mark.parametrize(
    ("query", "named"),
    [("crop=true", "'crop'"), ("crops=true&top=3", "'top'"), ("crops=perhaps", "'crops'"),
     ("classes=sevn", "'seven'"), ("classes=a%3Dhappy%2Cb%3Dnobody", "'nobody'"), ("max_faces=0", "equal to 1"),
     ("min_size=0", "'min_size'"), ("min_score=-1", "'min_score'"), ("crops=true&max_faces=1", "'max_faces'"),
     ("draw=true", "'draw'"), ("max_faces=many", "'max_faces'")],
)  # fmt: skip
def test_predict_rejects_bad_parameters(service, face, query, named):
    response = service.predict(face, query)
    assert service.refusal(response, 422) == "bad-parameter"
    assert named in response.json()["error"]["message"]


def test_batch_answers_in_order_with_errors_in_place(service):
    pixels = synthetic_faces(30, seed=3).images
    images = [encoded(each) for each in pixels]
    files = [*images[:4], b"no image", images[4][:-60], b"", *images[4:]]
    parts = [("file", (str(at), each)) for at, each in enumerate(files)]
    answer = service.ask("POST", "/v1/batch?crops=true", files=parts)
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [each["error"]["code"] for each in results[4:7]] == ["image-format", "image-damaged", "image-empty"]
    predicted, expected = results[:4] + results[7:], mien.load().predict_crops(list(pixels))
    for result, prediction in zip(predicted, expected, strict=True):
        assert result["faces"][0]["probabilities"] == pytest.approx(prediction.probabilities, abs=1e-6)
    assert [each["faces"][0]["source"] for each in predicted] == [f"image {n}" for n in (1, 2, 3, 4, *range(8, 34))]


def test_unknown_addresses_have_the_error_shape_and_the_model_its_manifest(service):
    assert service.refusal(service.ask("GET", "/v1/nothing"), 404) == "not-found"
    response = service.ask("GET", "/v1/predict")
    assert (service.refusal(response, 405), response.headers["allow"]) == ("method-not-allowed", "POST")
    file, answer = find_model("default"), service.ask("GET", "/v1/model").json()
    assert answer["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (answer["manifest"], answer["detector"]) == (read_manifest(file).model_dump(mode="json"), "YuNet")


def test_openapi_describes_images_and_operations(service):
    paths = service.ask("GET", "/openapi.json").json()["paths"]
    files = {
        path: methods["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]["file"]
        for path, methods in paths.items()
        if "post" in methods
    }
    assert files["/v1/predict"]["type"] == "string"
    assert (files["/v1/batch"]["type"], files["/v1/batch"]["maxItems"]) == ("array", Limits().max_files)
    assert paths["/v1/batch"]["post"]["requestBody"]["content"]["application/json"]["schema"]["required"] == ["images"]
    assert {path: method["operationId"] for path, methods in paths.items() for method in methods.values()} == {
        "/v1/predict": "predict",
        "/v1/draw": "draw",
        "/v1/batch": "predict_batch",
        "/v1/model": "describe_model",
        "/metrics": "read_metrics",
        "/healthz": "check_health",
    }
    for path, kind in (("/v1/predict", "application/json"), ("/v1/draw", "image/jpeg")):
        assert [*paths[path]["post"]["responses"]["200"]["content"]] == [kind], "a client decodes one kind"
    assert service.ask("HEAD", "/healthz").status_code == 200, "what monitors ask"


@pytest.mark.parametrize(("prefix", "asked"), [("", ""), ("/faces", ""), ("/faces", "/faces")])
def test_service_works_under_a_prefix(start, face, prefix, asked):
    """Whether the proxy takes the prefix off or not. Oracle: the addresses that a browser makes of the page's own."""
    service = start(root_path=prefix)
    assert service.ask("POST", f"{asked}/v1/predict?crops=true", files={"file": face}).status_code == 200
    assert service.ask("GET", f"{asked}/").status_code == 200
    if asked:
        # Not "http://…": the proxy may speak https.
        assert service.client.get(asked, follow_redirects=False).headers["location"] == f"{asked}/"
    document = service.ask("GET", f"{asked}/openapi.json").json()
    assert [each["url"] for each in document.get("servers", [])] == ([prefix] if prefix else [])
    page = service.ask("GET", f"{asked}/docs").text
    for address in re.findall('(?:src|href)="([^":]+)"', page):
        assert service.ask("GET", urljoin(f"{asked}/docs", address)).status_code == 200, address
    with service.client.websocket_connect(f"ws://127.0.0.1{asked}/v1/stream") as socket:
        socket.send_text("hello")
        assert socket.receive_json()["error"]["code"] == "not-a-frame"


def test_service_can_be_mounted(face):
    app = FastAPI()
    app.mount("/faces", create_app(threads=1))
    client = TestClient(app, "http://127.0.0.1")
    assert client.post("/faces/v1/predict?crops=true", files={"file": face}).json()["faces"]
    assert client.get("/faces/docs/swagger-ui.css").status_code == 200


def test_bug_is_answered_and_counted_as_internal(start, face, monkeypatch):
    service = start()
    monkeypatch.setattr("mien.serve.prediction_service.PredictionService.reader", lambda *others: 1 / 0)
    assert service.refusal(service.predict(face), 500) == "internal"
    assert service.metric('mien_requests_total{route="/v1/predict",status="500"}') == 1
    assert service.metric('mien_refused_total{code="internal"}') == 1


def samples(service):
    page = service.ask("GET", "/metrics")
    assert page.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = (each for family in text_string_to_metric_families(page.text) for each in family.samples)
    return {(each.name, tuple(sorted(each.labels.items()))): each.value for each in found}


def test_metrics_count_requests_faces_and_refusals(service, face):
    before, no_face = samples(service), encoded(np.zeros((64, 64), np.uint8))
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
    assert (grown("mien_refused_total", code="not-found"), grown("mien_faces_total")) == (1, 3)
    assert grown("mien_request_seconds_count", route="/v1/predict") >= 5
    assert not any("made" in value or value == "PATCH" for _, labels in after for _, value in labels)
    assert after["mien_requests_under_way", ()] == 0
    (labels,) = (dict(labels) for name, labels in after if name == "mien_build_info")
    model = service.ask("GET", "/v1/model").json()
    assert labels == {"version": mien.__version__, "model": model["name"], "sha256": model["sha256"]}
    assert after["process_resident_memory_bytes", ()] > 1e6


def test_errors_have_one_shape_and_hyphenated_codes():
    """Oracle: MienError's words joined by hyphens, and HTTP's ranges of status."""
    for code, (status, _) in CODES.items():
        error, scope = ApiError("Sentence.", code=code), {}
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", code)
        assert 400 <= status < 600
        response = error.response(scope)
        assert json.loads(response.body) == {"error": {"code": code, "message": "Sentence."}}
        assert (response.status_code, scope) == (status, {"mien.error": code})
    # Oracle: the table of docs/serve.md.
    page = (Path(__file__).parents[2] / "docs" / "serve.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d{3}) \| `([a-z-]+)` \|", page, re.MULTILINE)
    assert {(code, int(status)) for status, code in rows} == {(code, status) for code, (status, _) in CODES.items()}
    assert len(rows) == len(CODES)


@pytest.mark.parametrize(("status", "code"), [(401, "not-found"), (404, "not-found"), (405, "method-not-allowed")])
def test_framework_errors_have_documented_codes(status, code):
    """Starlette answers 401 of a file that it may not read."""
    app = FastAPI()
    add_error_handlers(app)

    @app.get("/")
    def fail():
        raise HTTPException(status, headers={"allow": "GET"})

    response = TestClient(app).get("/")
    assert response.json()["error"]["code"] == code
    assert (response.status_code, response.headers["allow"]) == (CODES[code][0], "GET")
