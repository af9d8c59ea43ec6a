"""The limits that hold unless users set others. Oracle: what docs/serve.md says."""

from pathlib import Path

import pytest

from mien.serve.limits import Limits

PAGE = " ".join((Path(__file__).parents[2] / "docs" / "serve.md").read_text(encoding="utf-8").split())


@pytest.mark.parametrize(
    ("limit", "value", "words"),
    [
        ("max_bytes", 20_000_000, "20 MB a request"),
        ("max_files", 64, "one file, or 64 in a batch"),
        ("body_seconds", 30, "the body must arrive within 30 s"),
        ("max_pixels", 25_000_000, "25 million an image"),
        ("max_jpeg_scans", 100, "100 scans a JPEG"),
        ("max_faces", 100, "100 faces an image"),
        ("max_requests", 64, "64 requests at a time"),
        ("max_streams", 4, "four streams at a time"),
        ("stream_frames_a_second", 60, "60 frames a second"),
        ("stream_idle_seconds", 30, "no frame came for 30 s"),
        ("work_seconds", 30, "an answer within 30 s of the body"),
        ("images_at_once", 2, "Two images of a batch are processed at a time"),
        ("max_connections", 512, "more than 512 connections"),
        ("head_bytes", 16 * 1024, "headers of over 16 kB"),
        ("idle_seconds", 5, "idle for 5 s"),
    ],
)
def test_the_limits_are_those_of_the_document(limit, value, words):
    assert words in PAGE
    assert getattr(Limits(), limit) == value
