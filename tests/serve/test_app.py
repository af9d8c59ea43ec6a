"""The answers of the service. Oracle: the same model in Python."""

import asyncio
import io

import httpx
import numpy as np
import pytest
from PIL import Image

import mien
from mien.data.synthetic import synthetic_faces
from mien.faces.haar import HaarDetector
from mien.inference.find_model import find_model
from mien.serve.app import create_app


def png(pixels):
    stream = io.BytesIO()
    Image.fromarray(np.asarray(pixels)).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def astronaut():
    return np.asarray(pytest.importorskip("skimage.data").astronaut())


def test_a_crop_is_predicted_as_in_python(service, face):
    expected = mien.load().predict_crops(face)[0].to_dict()
    answer = service.predict(face).json()
    (read,) = answer["faces"]
    assert read.pop("probabilities") == pytest.approx(expected.pop("probabilities"), abs=1e-6)
    assert read.pop("confidence") == pytest.approx(expected.pop("confidence"), abs=1e-6)
    assert read == expected
    assert answer["image"] == {"width": 48, "height": 48}
    assert answer["faces_found"] == 1
    assert "detector" not in answer
    assert 0 < answer["milliseconds"] < 60_000


def test_a_photo_is_predicted_as_in_python(service, astronaut, monkeypatch):
    """Three faces: the photo twice beside itself, once smaller."""
    wide = np.zeros((512, 1400, 3), np.uint8)
    wide[:, :512], wide[:, 512:1024] = astronaut, astronaut
    wide[:256, 1024:1280] = astronaut[::2, ::2]
    monkeypatch.setenv("MIEN_DETECTOR", "haar")
    expected = mien.load().predict(png(wide))
    assert len(expected) == 3
    answer = service.predict(png(wide), "").json()
    assert answer["detector"] == HaarDetector.name
    assert [face["box"] for face in answer["faces"]] == [reading.box.to_dict() for reading in expected]
    for found, reading in zip(answer["faces"], expected, strict=True):
        assert found["probabilities"] == pytest.approx(reading.probabilities, abs=1e-6)
    largest = service.predict(png(wide), "max_faces=1").json()
    assert [face["box"] for face in largest["faces"]] == [answer["faces"][0]["box"]]
    assert largest["faces_found"] == 3
    large = service.predict(png(wide), f"min_size={expected[1].box.width}").json()
    assert (len(large["faces"]), large["faces_found"]) == (2, 2)
    assert service.predict(png(wide), "min_score=1000").json()["faces"] == []


def test_an_image_without_a_face_is_no_error(service):
    answer = service.predict(png(np.full((100, 200, 3), 128, np.uint8)), "").json()
    assert answer["faces"] == []
    assert answer["faces_found"] == 0
    assert answer["image"] == {"width": 200, "height": 100}


def test_photos_sent_as_crops_and_crops_sent_as_photos_are_hinted_at(service, astronaut):
    """With the code of the notice that `mien predict` gives."""
    head, grey = astronaut[30:200, 140:310], np.full((300, 300, 3), 128, np.uint8)
    for image, query, code in (
        (astronaut, "crops=true", "photo-as-crop"),
        (astronaut, "", None),
        (head, "crops=true", None),
        (grey, "crops=true", None),
        (grey, "", None),
        (grey[:48, :48], "", "crops-as-photos"),
        (grey[:200], "", None),
    ):
        answer = service.predict(png(image), query).json()
        assert ("hint" in answer, answer.get("hint_code")) == (code is not None, code), (image.shape, query, answer)


def test_only_the_first_crops_of_a_batch_are_searched_for_a_photo_s_face(service, astronaut):
    """The search costs far more than the prediction."""
    files = [("file", ("a.png", png(astronaut)))] * 4
    results = service.ask("POST", "/v1/batch?crops=true", files=files).json()["results"]
    assert ["hint" in result for result in results] == [True, True, True, False]


def test_photos_are_put_upright_first(service, astronaut):
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: shown after a quarter turn to the right
    Image.fromarray(np.rot90(astronaut)).crop((0, 0, 512, 400)).save(stream, "PNG", exif=exif)
    answer = service.predict(stream.getvalue(), "").json()
    assert answer["image"] == {"width": 400, "height": 512}
    assert len(answer["faces"]) == 1


def test_classes_merge_and_a_threshold_decides(service, face):
    seven = service.predict(face).json()["faces"][0]["probabilities"]
    kept = sum(seven[name] for name in ("angry", "fear", "sad", "happy", "surprise"))
    positive = (seven["happy"] + seven["surprise"]) / kept
    (merged,) = service.predict(face, "crops=true&classes=binary").json()["faces"]
    assert merged["probabilities"] == pytest.approx({"negative": 1 - positive, "positive": positive}, abs=1e-6)
    for threshold, top in ((positive - 0.01, "positive"), (positive + 0.01, "negative")):
        (decided,) = service.predict(face, f"crops=true&classes=binary&threshold={threshold}").json()["faces"]
        assert decided["top"] == top
    own = service.predict(face, "crops=true&classes=good%3Dhappy%2Csour%3Dangry%2Bsad").json()["faces"][0]
    assert set(own["probabilities"]) == {"good", "sour"}


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("crop=true", "'crop'"),
        ("crops=true&top=3", "'top'"),
        ("crops=perhaps", "'crops'"),
        ("classes=sevn", "'seven'"),
        ("classes=a%3Dhappy%2Cb%3Dnobody", "'nobody'"),
        ("threshold=0.5", "10"),
        ("classes=binary&threshold=2", "at most 1"),
        ("classes=binary&threshold=nan", "'threshold'"),
        ("max_faces=0", "1 or more"),
        ("min_size=0", "'min_size'"),
        ("min_score=-1", "'min_score'"),
        ("crops=true&max_faces=1", "'max_faces'"),
        ("max_faces=many", "'max_faces'"),
    ],
)
def test_an_impossible_query_is_refused(service, face, query, named):
    response = service.predict(face, query)
    assert service.refusal(response, 422) == "bad-parameter"
    assert named in response.json()["error"]["message"]


def test_a_batch_answers_in_order_with_errors_in_their_place(service):
    images = [png(face) for face in synthetic_faces(30, seed=3).images]
    cut = images[4][:-60]
    files = [*images[:4], b"no image", cut, b"", *images[4:]]
    answer = service.ask(
        "POST", "/v1/batch?crops=true", files=[("file", (f"{i}", each)) for i, each in enumerate(files)]
    )
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [each["error"]["code"] for each in results[4:7]] == ["image-format", "image-damaged", "image-format"]
    read = results[:4] + results[7:]
    expected = mien.load().predict_crops([np.asarray(Image.open(io.BytesIO(each))) for each in images])
    for result, reading in zip(read, expected, strict=True):
        assert result["faces"][0]["probabilities"] == pytest.approx(reading.probabilities, abs=1e-6)
    assert [each["faces"][0]["source"] for each in read] == [f"image {n}" for n in (1, 2, 3, 4, *range(8, 34))]


def test_the_model_has_its_manifest_and_digest(service):
    import hashlib

    from mien.artifact import read_manifest
    from mien.inference.find_model import find_model

    file = find_model("default")
    answer = service.ask("GET", "/v1/model").json()
    assert answer["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert answer["manifest"] == read_manifest(file).model_dump(mode="json")
    assert answer["detector"] == "Haar cascade"


def test_forms_of_a_model_are_told_apart(service):
    """The int8 form has the name by which `--model` takes it."""
    app = create_app(find_model("fast-int8"), HaarDetector(), threads=1)

    async def name():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
            return (await client.get("/v1/model")).json()["name"]

    assert asyncio.run(name()) == "fast-int8"
    assert service.ask("GET", "/v1/model").json()["name"] == "default"


def test_it_is_alive_and_ready(service):
    assert service.ask("GET", "/healthz").json() == {"status": "ok"}
    assert service.ask("GET", "/readyz").json() == {"status": "ready"}


def test_other_addresses_and_methods_are_refused_in_the_same_shape(service):
    assert service.refusal(service.ask("GET", "/v1/nothing"), 404) == "not-found"
    response = service.ask("GET", "/v1/predict")
    assert service.refusal(response, 405) == "method-not-allowed"
    assert response.headers["allow"] == "POST"


def test_the_examples_in_the_document_are_what_the_service_answers(service, face):
    paths = service.ask("GET", "/openapi.json").json()["paths"]

    def example(address, name):
        return paths[address]["post"]["responses"]["200"]["content"]["application/json"]["examples"][name]["value"]

    def timeless(answer):
        return {key: value for key, value in answer.items() if key != "milliseconds"}

    assert timeless(service.predict(face, "").json()) == timeless(example("/v1/predict", "image"))
    assert timeless(service.predict(face).json()) == timeless(example("/v1/predict", "crop"))
    files = [("file", ("a", face)), ("file", ("b", b"no image"))]
    batch = service.ask("POST", "/v1/batch?crops=true", files=files).json()
    assert timeless(batch) == timeless(example("/v1/batch", "batch"))
    parameters = {each["name"]: each for each in paths["/v1/predict"]["post"]["parameters"]}
    asked = {name: parameters[name]["schema"]["examples"][0] for name in ("classes", "threshold")}
    assert service.predict(face, str(httpx.QueryParams(asked))).status_code == 200


def test_a_defect_is_answered_and_counted_as_one(monkeypatch):
    app = create_app(find_model("default"), HaarDetector(), threads=1)
    monkeypatch.setattr("mien.serve.upload.Uploads.files", lambda *others, **named: 1 / 0)

    async def main():
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            failed = await client.post("/v1/predict", files={"file": b"1"})
            return failed, (await client.get("/metrics")).text

    failed, metrics = asyncio.run(main())
    assert (failed.status_code, failed.json()["error"]["code"]) == (500, "internal")
    assert failed.headers["cache-control"] == "no-store"
    assert "content-security-policy" in failed.headers
    assert 'mien_requests_total{route="/v1/predict",status="500"} 1.0' in metrics
    assert 'mien_refused_total{code="internal"} 1.0' in metrics
