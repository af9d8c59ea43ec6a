"""Who may use the service: with the token, under its own names, from its own pages."""

import pytest

from mien.base.errors import ServeError
from mien.serve.access import VARIABLE, find_token
from mien.serve.app import create_app
from support import raises, refused

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


def test_with_the_token_it_predicts(guarded, token, face):
    headers = {"authorization": f"Bearer {token}"}
    assert guarded.predict(face, headers=headers).status_code == 200
    assert guarded.ask("GET", "/metrics", headers=headers).status_code == 200


def test_health_and_documentation_need_no_token(guarded):
    for address in ("/healthz", "/openapi.json", "/", "/docs"):
        assert guarded.ask("GET", address).status_code == 200
    assert "HTTPBearer" in guarded.ask("GET", "/openapi.json").text


def test_a_token_file_has_priority_over_the_variable(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert find_token(None) is None
    monkeypatch.setenv(VARIABLE, "from-the-variable")
    assert find_token(None) == "from-the-variable"
    (tmp_path / "token").write_text("from-the-token-file\n")
    assert find_token(tmp_path / "token") == "from-the-token-file"


def test_a_short_token_is_refused(monkeypatch):
    monkeypatch.setenv(VARIABLE, 15 * "x")
    with raises(ServeError, "token-short", "15", "16"):
        find_token(None)
    monkeypatch.setenv(VARIABLE, 16 * "x")
    assert find_token(None) == 16 * "x"


@pytest.mark.parametrize("content", [b"", b"\n", b"two words", "ä".encode(), b"\xff\xfe"])
def test_malformed_tokens_are_refused(tmp_path, monkeypatch, content):
    (tmp_path / "token").write_bytes(content)
    code = "token-unreadable" if content == b"\xff\xfe" else "token-invalid"
    with raises(ServeError, code, tmp_path / "token"):
        find_token(tmp_path / "token")
    with raises(ServeError, "token-unreadable"):
        find_token(tmp_path / "none")
    monkeypatch.setenv(VARIABLE, "")
    with raises(ServeError, "token-invalid", VARIABLE):
        find_token(None)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "a b", "[::1"])
def test_a_name_of_another_site_is_refused(service, host):
    """DNS rebinding: the name leads here, and the browser takes the answer for that site's own."""
    for address in ("/v1/model", "/metrics", "/", "/healthz"):
        assert service.refusal(service.ask("GET", address, headers={"host": host}), 403) == "foreign-host"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:1", "localhost", "LOCALHOST:8000", "[::1]:8000", "10.0.0.7"])
def test_addresses_and_names_of_this_machine_are_answered(service, host):
    assert service.ask("GET", "/v1/model", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost", "x", "http://["]
)
def test_a_page_of_another_site_cannot_post(service, face, origin):
    """Without CORS it cannot read the answer, but the work was done for it."""
    done = service.metric("mien_faces_total")
    assert service.refusal(service.predict(face, headers={"origin": origin}), 403) == "foreign-origin"
    assert service.metric("mien_faces_total") == done


def test_a_host_that_the_user_names_is_answered_and_may_post(start, face):
    service = start(hosts=["Faces.example"])
    named = {"host": "faces.example:8000", "origin": "https://faces.example"}
    assert service.predict(face, headers=named).status_code == 200
    assert service.refusal(service.ask("GET", "/healthz", headers={"host": "faces.example.org"}), 403) == "foreign-host"


def test_a_page_of_a_host_that_the_user_names_may_read_the_answer(start, face):
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


@pytest.mark.parametrize("name", ["faces.example:8000", "https://faces.example", "*.example", "[::1]"])
def test_command_and_python_refuse_what_is_no_host_name(mien, name):
    refused(mien("serve", "--port", 0, "--allow-host", name), "host-name", repr(name))
    with raises(ServeError, "host-name", repr(name)):
        create_app(hosts=[name])


def test_create_app_refuses_a_text_for_a_list_of_hosts():
    """Read as a sequence it would allow the hosts f, a, c..."""
    with raises(ServeError, "host-name", "['faces']"):
        create_app(hosts="faces")


@pytest.mark.parametrize(
    ("token", "code"), [("short", "token-short"), ("ä" * 20, "token-invalid"), ("", "token-invalid")]
)
def test_create_app_refuses_a_token_that_the_command_refuses(token, code):
    with raises(ServeError, code):
        create_app(token=token)
