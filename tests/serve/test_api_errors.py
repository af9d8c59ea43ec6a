"""The shape of errors."""

import json
import re
from pathlib import Path

import pytest
from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient

from mien.serve.schemas import CODES, ApiError, add_error_handlers


def test_errors_have_one_shape_and_hyphenated_codes():
    """Oracle: MienError's words joined by hyphens, and HTTP's ranges of status."""
    for code, (status, _) in CODES.items():
        error, scope = ApiError("Sentence.", code=code), {}
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", code)
        assert 400 <= status < 600
        response = error.response(scope)
        assert json.loads(response.body) == {"error": {"code": code, "message": "Sentence."}}
        assert (response.status_code, scope) == (status, {"mien.error": code})


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


def test_documentation_lists_every_error_and_status():
    """Oracle: the table of docs/serve.md."""
    page = (Path(__file__).parents[2] / "docs" / "serve.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d{3}) \| `([a-z-]+)` \|", page, re.MULTILINE)
    assert sorted((code, int(status)) for status, code in rows) == sorted(
        (code, status) for code, (status, _) in CODES.items()
    )
