"""The bearer token: where it comes from, and which addresses need it."""

import pytest

from mien.errors import ServeError
from mien.serve.auth import VARIABLE, find_token
from support import raises

GIVEN = [None, "", "Bearer", "Bearer x", "Bearer {}x", "bearer x{}", "Bearer {0} {0}", "Basic {}", "{}", "Bearer ä"]


@pytest.mark.parametrize(
    ("method", "address"), [("POST", "/v1/predict"), ("POST", "/v1/batch"), ("GET", "/v1/model"), ("GET", "/metrics")]
)
@pytest.mark.parametrize("given", GIVEN)
def test_without_the_token_every_guarded_address_answers_401(guarded, token, method, address, given):
    headers = {} if given is None else {"authorization": given.format(token).encode("latin-1")}
    response = guarded.ask(method, address, headers=headers)
    assert guarded.refusal(response, 401) == "unauthorised"
    assert response.headers["www-authenticate"] == "Bearer"


def test_a_refused_client_with_a_small_body_keeps_its_connection(guarded, face):
    """The body is read before the answer, so that nothing is left of it on the connection."""
    answer = guarded.predict(face)
    assert (answer.status_code, "connection" in answer.headers) == (401, False)


def test_with_the_token_it_predicts(guarded, token, face):
    headers = {"authorization": f"Bearer {token}"}
    assert guarded.predict(face, headers=headers).status_code == 200
    assert guarded.ask("GET", "/metrics", headers=headers).status_code == 200


def test_health_and_documentation_need_no_token(guarded):
    for address in ("/healthz", "/readyz", "/docs", "/openapi.json", "/"):
        assert guarded.ask("GET", address).status_code == 200
    assert "HTTPBearer" in guarded.ask("GET", "/openapi.json").text


def test_the_token_is_neither_logged_nor_documented(guarded, token):
    assert token not in guarded.said.read_text() + guarded.ask("GET", "/openapi.json").text


def test_a_token_file_has_priority_over_the_variable(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert find_token(None) is None
    monkeypatch.setenv(VARIABLE, "from-variable")
    assert find_token(None) == "from-variable"
    (tmp_path / "token").write_text("from-file\n")
    assert find_token(tmp_path / "token") == "from-file"


@pytest.mark.parametrize("content", [b"", b"\n", b"two words", "ä".encode(), b"\xff\xfe"])
def test_malformed_tokens_are_refused(tmp_path, monkeypatch, content):
    (tmp_path / "token").write_bytes(content)
    with raises(ServeError, "token-unreadable" if content == b"\xff\xfe" else "token-invalid") as caught:
        find_token(tmp_path / "token")
    assert str(tmp_path / "token") in str(caught.value)
    with raises(ServeError, "token-unreadable"):
        find_token(tmp_path / "none")
    monkeypatch.setenv(VARIABLE, "")
    with raises(ServeError, "token-invalid") as caught:
        find_token(None)
    assert VARIABLE in str(caught.value)
