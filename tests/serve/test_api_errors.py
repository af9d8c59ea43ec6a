"""The shape of errors."""

import json
import re
from pathlib import Path

from mien.serve.api_errors import CODES, ApiError


def test_every_error_has_the_shape_and_the_codes_of_all_errors_of_mien():
    """Oracle: MienError's words joined by hyphens, and HTTP's ranges of status."""
    for code, (status, _) in CODES.items():
        error, scope = ApiError("Sentence.", code=code), {}
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", code)
        assert 400 <= error.status == status < 600
        response = error.response(scope)
        assert json.loads(response.body) == {"error": {"code": code, "message": "Sentence."}}
        assert (response.status_code, scope) == (status, {"mien.error": code})


def test_every_error_and_its_status_is_documented():
    """Oracle: the table of docs/serve.md."""
    page = (Path(__file__).parents[2] / "docs" / "serve.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d{3}) \| `([a-z-]+)` \|", page, re.MULTILINE)
    assert sorted((code, int(status)) for status, code in rows) == sorted(
        (code, status) for code, (status, _) in CODES.items()
    )
