"""Who may ask the service: over HTTP, with the headers that a browser would send."""

import signal
import time

import pytest

from support import refused

PLACE = "/v1/predict?crops=true"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "a b", "[::1"])
def test_a_name_of_another_site_is_refused(service, host):
    """DNS rebinding: the name leads here, and the browser takes the answer for that site's own."""
    for address in ("/v1/model", "/metrics", "/", "/healthz"):
        answer = service.ask("GET", address, headers={"host": host})
        assert service.refusal(answer, 403) == "foreign-host"


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


def test_the_own_page_may_post(service, face):
    assert service.predict(face, headers={"origin": service.url}).status_code == 200


def test_a_host_that_the_user_names_is_answered_and_may_post(start, face):
    service = start("--allow-host", "Faces.example")
    named = {"host": "faces.example:8000", "origin": "https://faces.example"}
    assert service.predict(face, headers=named).status_code == 200
    assert service.refusal(service.ask("GET", "/readyz", headers={"host": "faces.example.org"}), 403) == "foreign-host"


def test_a_page_of_a_host_that_the_user_names_may_read_the_answer(start, face):
    service = start("--allow-host", "App.example")
    for origin in ("https://app.example", "http://app.example:3000"):
        answer = service.predict(face, headers={"origin": origin})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, origin)
    asked = {"origin": "https://app.example", "access-control-request-method": "POST"}
    answer = service.ask("OPTIONS", PLACE, headers=asked | {"access-control-request-headers": "authorization"})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "https://app.example")
    for origin in ("https://app.example.org", "https://appxexample", "https://evil.example"):
        answer = service.predict(face, headers={"origin": origin})
        assert service.refusal(answer, 403) == "foreign-origin"
        assert "access-control-allow-origin" not in answer.headers
    assert "access-control-allow-origin" not in service.predict(face).headers


def test_after_sigterm_it_is_not_ready_first_and_still_serves(start, face):
    service = start("--drain-seconds", 8)
    assert service.ask("GET", "/readyz").status_code == 200
    service.process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    while service.ask("GET", "/readyz").status_code == 200:
        assert time.monotonic() - began < 7
    assert service.ask("GET", "/healthz").status_code == 200
    assert service.predict(face).status_code == 200
    assert service.process.wait(timeout=60) == 0


def test_a_second_sigterm_waits_no_longer(start):
    service = start("--drain-seconds", 3600)
    assert service.ask("GET", "/readyz").status_code == 200  # it handles signals once it answers
    service.process.send_signal(signal.SIGTERM)
    while service.ask("GET", "/readyz").status_code == 200:
        pass
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(timeout=60) == 0


@pytest.mark.parametrize("name", ["faces.example:8000", "https://faces.example", "*.example", "[::1]"])
def test_what_no_host_can_equal_is_refused(mien, name):
    refused(mien("serve", "--port", 0, "--allow-host", name), "host-name", repr(name))
