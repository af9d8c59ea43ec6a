"""The bearer token: where it comes from, and what it keeps closed."""

import pytest

from mien.errors import ServeError
from mien.serve.access import VARIABLE, find_token

GIVEN = [None, "", "Bearer", "Bearer x", "Bearer {}x", "bearer x{}", "Bearer {0} {0}", "Basic {}", "{}", "Bearer ä"]


@pytest.mark.parametrize(
    ("method", "address"), [("POST", "/v1/predict"), ("POST", "/v1/batch"), ("GET", "/v1/model"), ("GET", "/metrics")]
)
@pytest.mark.parametrize("given", GIVEN)
def test_without_the_token_nothing_is_told(guarded, token, method, address, given):
    headers = {} if given is None else {"authorization": given.format(token).encode("latin-1")}
    response = guarded.ask(method, address, headers=headers)
    assert guarded.refusal(response, 401) == "unauthorised"
    assert response.headers["www-authenticate"] == "Bearer"


def test_with_the_token_it_reads(guarded, token, face):
    headers = {"authorization": f"Bearer {token}"}
    assert guarded.predict(face, headers=headers).status_code == 200
    assert guarded.ask("GET", "/metrics", headers=headers).status_code == 200


def test_whether_it_lives_and_how_it_is_asked_is_open(guarded):
    for address in ("/healthz", "/readyz", "/docs", "/openapi.json", "/"):
        assert guarded.ask("GET", address).status_code == 200
    assert "HTTPBearer" in guarded.ask("GET", "/openapi.json").text


def test_the_token_is_never_said(guarded, token):
    assert token not in guarded.said.read_text() + guarded.ask("GET", "/openapi.json").text


def test_a_file_goes_before_the_variable(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert find_token(None) is None
    monkeypatch.setenv(VARIABLE, "from-variable")
    assert find_token(None) == "from-variable"
    (tmp_path / "token").write_text("from-file\n")
    assert find_token(tmp_path / "token") == "from-file"


@pytest.mark.parametrize("content", [b"", b"\n", b"two words", "ä".encode(), b"\xff\xfe"])
def test_what_is_no_token_is_refused(tmp_path, monkeypatch, content):
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(ServeError, match="token"):
        find_token(tmp_path / "token")
    with pytest.raises(ServeError, match="No such file"):
        find_token(tmp_path / "none")
    monkeypatch.setenv(VARIABLE, "")
    with pytest.raises(ServeError, match=VARIABLE):
        find_token(None)
