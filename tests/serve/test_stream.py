"""The stream of frames. Oracle: :class:`mien.Tracker` on the same frames; RFC 6455's numbers of closings."""

import contextlib

import numpy as np
import pytest
from starlette.websockets import WebSocketDisconnect

import mien
from mien.base.images import open_image
from mien.faces.find import YuNet
from mien.serve.limits import Limits
from support import encoded

ADDRESS = "ws://127.0.0.1/v1/stream"


@pytest.fixture(scope="module")
def jpegs(astronaut):
    """Her face, moving to the right."""
    return [encoded(np.roll(astronaut[:256], 6 * number, axis=1), "JPEG", quality=90) for number in range(4)]


def test_stream_answers_frames_with_tracked_faces(service, jpegs):
    tracker = mien.Tracker("default", classes="binary", detect_every_seconds=0)
    with service.client.websocket_connect(f"{ADDRESS}?classes=binary") as socket:
        for number, jpeg in enumerate(jpegs):
            socket.send_bytes(jpeg)
            answer = socket.receive_json()
            (face,) = answer["faces"]
            assert (answer["frame"], answer["skipped"], face["track"]) == (number, 0, 1)
            assert answer["image"] == {"width": 512, "height": 256}
            (expected,) = tracker.update(open_image(jpeg), number)
            assert face.keys() == expected.to_dict().keys()
            # Extrapolated by the clock, from steps of 6 px.
            assert abs(face["box"]["left"] - expected.prediction.box.left) <= 20
            assert (set(face["probabilities"]), face["top"]) == ({"negative", "positive"}, "positive")


@pytest.mark.parametrize(
    ("query", "frames", "limits", "code", "closed"),
    [("", lambda jpeg: ["hello"], {}, "not-a-frame", 1003), ("", lambda jpeg: [b"garbage"], {}, "image-format", 1007),
     ("", lambda jpeg: [b""], {}, "image-empty", 1007),
     ("", lambda jpeg: [jpeg[: len(jpeg) // 2]], {}, "image-damaged", 1007),
     ("", lambda jpeg: [jpeg], {"max_pixels": 1000}, "image-pixels", 1009),
     ("", lambda jpeg: [], {"stream_idle_seconds": 0.05}, "stream-idle", 1008),
     ("", lambda jpeg: [jpeg] * 3, {"stream_frames_a_second": 1}, "too-many-frames", 1008),
     ("", lambda jpeg: [], {"max_streams": 0}, "busy", 1013),
     *((query, lambda jpeg: [], {}, "bad-parameter", 1008)
       for query in ("crop=true", "classes=nonsense", "crops=true", "draw=true"))],
)  # fmt: skip
def test_stream_closes_with_the_code_of_its_error(start, jpegs, query, frames, limits, code, closed):
    service = start(limits=Limits(**limits))
    with service.client.websocket_connect(f"{ADDRESS}?{query}") as socket:
        for frame in frames(jpegs[0]):
            socket.send_text(frame) if isinstance(frame, str) else socket.send_bytes(frame)
        while "error" not in (answer := socket.receive_json()):
            pass
        assert answer["error"]["code"] == code
        with pytest.raises(WebSocketDisconnect) as ended:
            socket.receive_json()
        assert (ended.value.code, ended.value.reason) == (closed, code)


def test_ended_stream_frees_its_place(start, jpegs):
    """The metrics count the first one, and the second as refused."""
    service = start(limits=Limits(max_streams=1))
    with service.client.websocket_connect(ADDRESS) as socket:
        socket.send_bytes(jpegs[0])
        assert len(socket.receive_json()["faces"]) == 1
        with service.client.websocket_connect(ADDRESS) as second:
            assert second.receive_json()["error"]["code"] == "busy"
    assert (service.metric("mien_streams_total"), service.metric('mien_refused_total{code="busy"}')) == (1, 1)
    answer = {"error": "not asked yet"}
    while "error" in answer:
        with service.client.websocket_connect(ADDRESS) as socket:
            with contextlib.suppress(WebSocketDisconnect):
                socket.send_bytes(jpegs[0])
            answer = socket.receive_json()
    assert answer["frame"] == 0


def test_stream_limits_the_number_of_faces_and_rejects_other_sites(start, astronaut):
    service = start(limits=Limits(max_faces=1))
    with service.client.websocket_connect(f"{ADDRESS}?max_faces=2") as socket:
        socket.send_bytes(encoded(np.hstack([astronaut[:256]] * 2), "JPEG", quality=90))
        assert len(socket.receive_json()["faces"]) == 1
    headers = {"origin": "http://evil.example"}
    with pytest.raises(WebSocketDisconnect), service.client.websocket_connect(ADDRESS, headers=headers):
        pass


def test_client_without_the_token_takes_no_place(start, jpegs, token):
    service, header = start(limits=Limits(max_streams=1), token=token), {"authorization": f"Bearer {token}"}
    with service.client.websocket_connect(ADDRESS):
        with service.client.websocket_connect(ADDRESS) as second:
            assert second.receive_json()["error"]["code"] == "busy"
        with service.client.websocket_connect(ADDRESS, headers=header) as third:
            third.send_bytes(jpegs[0])
            assert third.receive_json()["frame"] == 0


def test_stream_skips_frames_that_come_too_fast(service, jpegs):
    with service.client.websocket_connect(ADDRESS) as socket:
        for jpeg in [*jpegs] * 5:
            socket.send_bytes(jpeg)
        answers = [socket.receive_json()]
        while answers[-1]["frame"] < 19:
            answers.append(socket.receive_json())
    assert sum(answer["skipped"] for answer in answers) + len(answers) == 20
    assert [answer["frame"] for answer in answers] == sorted({answer["frame"] for answer in answers})


def test_stream_requires_the_token(guarded, token, jpegs):
    with guarded.client.websocket_connect(ADDRESS) as socket:
        socket.send_json({"token": token})
        socket.send_bytes(jpegs[0])
        assert socket.receive_json()["frame"] == 0
    for first in ('{"token": "wrong"}', "[]", "{", "[" * 100_000):
        with guarded.client.websocket_connect(ADDRESS) as socket:
            socket.send_text(first)
            assert socket.receive_json()["error"]["code"] == "unauthorised"


@pytest.mark.parametrize(
    ("given", "is_taken"), [("bearer {}", True), ("BEARER  {}", True), ("{}", False), ("Basic {}", False)]
)
def test_stream_and_requests_accept_the_same_headers(guarded, token, jpegs, given, is_taken):
    """Oracle: RFC 9110, section 11.1: the name of a scheme has no case."""
    headers = {"authorization": given.format(token)}
    assert guarded.ask("GET", "/v1/model", headers=headers).status_code == (200 if is_taken else 401)
    with guarded.client.websocket_connect(ADDRESS, headers=headers) as socket:
        # Without the header, a stream waits for {"token": ...}.
        socket.send_bytes(jpegs[0]) if is_taken else socket.send_text("{}")
        answer = socket.receive_json()
    assert answer.get("frame") == 0 if is_taken else answer["error"]["code"] == "unauthorised"


def test_bug_in_a_stream_is_answered_counted_and_logged(start, jpegs, monkeypatch, caplog):
    """Oracle: the code and metric of test_app.py; RFC 6455's number of an unexpected condition."""
    service = start()
    monkeypatch.setattr(YuNet, "detect", lambda *others: 1 / 0)
    with service.client.websocket_connect(ADDRESS) as socket:
        socket.send_bytes(jpegs[0])
        assert socket.receive_json()["error"]["code"] == "internal"
        with pytest.raises(WebSocketDisconnect) as ended:
            socket.receive_json()
    assert (ended.value.code, ended.value.reason) == (1011, "internal")
    assert service.metric('mien_refused_total{code="internal"}') == 1
    assert "ZeroDivisionError" in caplog.text
