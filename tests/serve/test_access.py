"""Who may use the service: with the token, under its own names, from its own pages."""

import pytest

from mien.base.errors import ServeError
from mien.serve.access import VARIABLE, find_token
from mien.serve.app import create_app
from mien.serve.limits import Limits
from support import raises

GIVEN = [None, "", "Bearer", "Bearer x", "Bearer {}x", "bearer x{}", "Bearer {0} {0}", "Basic {}", "{}", "Bearer ä"]


@pytest.mark.parametrize(
    ("method", "address"), [("POST", "/v1/predict"), ("POST", "/v1/batch"), ("GET", "/v1/model"), ("GET", "/metrics")]
)
@pytest.mark.parametrize("given", GIVEN)
def test_guarded_addresses_answer_401_without_the_token(guarded, token, method, address, given):
    headers = {} if given is None else {"authorization": given.format(token).encode("latin-1")}
    response = guarded.ask(method, address, headers=headers)
    assert (guarded.refusal(response, 401), response.headers["www-authenticate"]) == ("unauthorised", "Bearer")


def test_service_predicts_with_the_token(guarded, token, face):
    headers = {"authorization": f"Bearer {token}"}
    assert guarded.predict(face, headers=headers).status_code == 200
    assert guarded.ask("GET", "/metrics", headers=headers).status_code == 200
    for address in ("/healthz", "/openapi.json", "/", "/docs"):
        assert guarded.ask("GET", address).status_code == 200
    assert "HTTPBearer" in guarded.ask("GET", "/openapi.json").text


def test_find_token_prefers_the_file_to_the_variable(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert find_token(None) is None
    monkeypatch.setenv(VARIABLE, "from-the-variable")
    assert find_token(None) == "from-the-variable"
    (tmp_path / "token").write_text("from-the-token-file\n")
    assert find_token(tmp_path / "token") == "from-the-token-file"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "a b", "[::1"])
def test_service_rejects_other_host_names(service, host):
    """DNS rebinding: the name leads here, and the browser takes the answer for that site's own."""
    for address in ("/v1/model", "/metrics", "/", "/healthz"):
        assert service.refusal(service.ask("GET", address, headers={"host": host}), 403) == "foreign-host"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:1", "localhost", "LOCALHOST:8000", "[::1]:8000", "10.0.0.7"])
def test_service_answers_addresses_and_names_of_this_machine(service, host):
    assert service.ask("GET", "/v1/model", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost", "http://["]
)
def test_service_rejects_posts_from_other_sites(service, face, origin):
    """Without CORS it cannot read the answer, but the work was done for it."""
    done = service.metric("mien_faces_total")
    assert service.refusal(service.predict(face, headers={"origin": origin}), 403) == "foreign-origin"
    assert service.metric("mien_faces_total") == done


def test_pages_of_an_allowed_host_can_read_answers(start, face):
    service = start(hosts=["App.example"])
    for origin in ("https://app.example", "http://app.example:3000"):
        answer = service.predict(face, headers={"origin": origin})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, origin)
    asked = {"origin": "https://app.example", "access-control-request-method": "POST"}
    answer = service.ask("OPTIONS", "/v1/predict", headers=asked | {"access-control-request-headers": "authorization"})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "https://app.example")
    for origin in ("https://app.example.org", "https://appxexample", "https://evil.example"):
        answer = service.predict(face, headers={"origin": origin})
        assert service.refusal(answer, 403) == "foreign-origin"
        assert "access-control-allow-origin" not in answer.headers
    assert "access-control-allow-origin" not in service.predict(face).headers
    service, named = start(hosts=["Faces.example"]), {"host": "faces.example:8000", "origin": "https://faces.example"}
    assert service.predict(face, headers=named).status_code == 200
    assert service.refusal(service.ask("GET", "/healthz", headers={"host": "faces.example.org"}), 403) == "foreign-host"


@pytest.mark.parametrize(
    "content", [b"", b"\n", 9 * b"two words ", 16 * "ä".encode(), 16 * b"\xff\xfe", None, 15 * b"x"]
)
def test_tokens_are_rejected_alike_from_file_variable_and_python(tmp_path, monkeypatch, content):
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    with raises(ServeError, "token", tmp_path / "token"):
        find_token(tmp_path / "token")
    if content is not None and b"\xff" not in content:
        monkeypatch.setenv(VARIABLE, content.decode())
        with raises(ServeError, "token", VARIABLE):
            find_token(None)
        with raises(ServeError, "token"):
            create_app(token=content.decode())


@pytest.mark.parametrize(
    ("name", "value"),
    [("hosts", "faces"), ("hosts", 5), ("hosts", [5]), ("threads", 0), ("threads", "2"),
     ("root_path", 5), ("root_path", None),
     *(("hosts", [name]) for name in ("faces.example:8000", "https://faces.example", "*.example", "[::1]")),
     *(("root_path", prefix) for prefix in ("faces", "/faces/", "/", "https://a.org", "/a b"))],
)  # fmt: skip
def test_create_app_rejects_bad_arguments(name, value):
    """A text as hosts would allow the hosts f, a, c..."""
    with raises(ServeError, "options", repr(value)):
        create_app(**{name: value})


@pytest.mark.parametrize("limit", [{"max_bytes": "3"}, {"max_files": 0}, {"max_pixels": 1e12}, {"work_seconds": None}])
def test_limits_are_numbers_above_zero(limit):
    with raises(ServeError, "options", *limit):
        Limits(**limit)
