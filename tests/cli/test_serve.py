"""``mien serve`` as a command: what it refuses before it starts. What it answers is in tests/serve."""

import importlib
import sys

import pytest

from mien.base.errors import MissingExtraError
from support import note_codes, raises, refused


@pytest.mark.parametrize(
    ("arguments", "code", "value"),
    [
        (("--model", "nothing.onnx"), "model-missing", "nothing.onnx"),
        (("--host", "192.0.2.1"), "port-unavailable", "192.0.2.1"),
        (("--threads", "0"), "usage", "threads"),
    ],
)
def test_serve_rejects_bad_options(mien, arguments, code, value):
    refused(mien("serve", *arguments), code, value)


def test_serve_names_the_missing_extra(mien, monkeypatch):
    for name in [each for each in sys.modules if each.startswith("mien.serve.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    refused(mien("serve"), "missing-extra", "fastapi", "pip install 'mien[serve]'")
    with raises(MissingExtraError, "missing-extra", "fastapi"):
        importlib.import_module("mien.serve.app")


@pytest.mark.parametrize(("arguments", "warned"), [((), False), (("--host", "0.0.0.0"), True)])
def test_serve_notes_an_open_service(mien, monkeypatch, arguments, warned):
    started = []
    monkeypatch.setattr("mien.serve.server.run", lambda app, listener, limits: started.append(listener.close()))
    monkeypatch.delenv("MIEN_TOKEN", raising=False)
    answer = mien("serve", "--port", 0, *arguments)
    assert (answer.code, len(started)) == (0, 1)
    assert ("service-open" in note_codes(answer.err)) == warned
    monkeypatch.setenv("MIEN_TOKEN", "a-token-of-this-test")
    assert "warning" not in mien("serve", "--port", 0, *arguments).err
