from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from mien.base.errors import DataError, MissingExtraError
from mien.data.download import download
from support import raises


class UnauthenticatedError(Exception):
    pass


@pytest.fixture
def kagglehub(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A stand-in: set ``dataset_download``. Importing the real one takes a second."""
    module, exceptions = ModuleType("kagglehub"), ModuleType("kagglehub.exceptions")
    for name in ("BackendError", "CredentialError", "DataCorruptionError", "NotFoundError"):
        setattr(exceptions, name, type(name, (Exception,), {}))
    exceptions.UnauthenticatedError = UnauthenticatedError  # type: ignore[attr-defined]
    module.exceptions = exceptions  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "kagglehub", module)
    monkeypatch.setitem(sys.modules, "kagglehub.exceptions", exceptions)
    return module


@pytest.mark.parametrize(("name", "handle"), [("fer2013", "msambare/fer2013"), ("fer2013-csv", "deadskull7/fer2013")])
def test_a_name_becomes_its_kaggle_handle(kagglehub, tmp_path: Path, name: str, handle: str) -> None:
    asked = []
    kagglehub.dataset_download = lambda each: asked.append(each) or str(tmp_path)
    assert download(name) == tmp_path
    assert asked == [handle]


def refused(status: int) -> OSError:
    error = OSError("a page of text\n\nmore of it")
    error.response = SimpleNamespace(status_code=status)  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (refused(403), "it wants an account, or the data set's terms have not been accepted"),
        (refused(401), "it wants an account"),
        (refused(500), "the server answered 500"),
        (type("ConnectionError", (OSError,), {})("pool"), "there is no connection to it"),
        (type("ReadTimeout", (OSError,), {})("pool"), "there is no connection to it"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (UnauthenticatedError("User is not authenticated"), "User is not authenticated"),
    ],
)
def test_whatever_goes_wrong_the_way_by_hand_is_told_in_one_line(kagglehub, error: Exception, reason: str) -> None:
    def fail(handle: str) -> str:
        raise error

    kagglehub.dataset_download = fail
    with pytest.raises(DataError) as caught:
        download("fer2013")
    message = str(caught.value)
    assert reason in message
    assert "https://www.kaggle.com/datasets/msambare/fer2013" in message
    assert "unzip" in message
    assert "mien data info FOLDER" in message
    assert "KAGGLE_API_TOKEN" in message
    assert "\n" not in message


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with raises(DataError, "download-unknown", "'fer-2013'", "'fer2013'"):
        download("fer-2013")


def test_without_kagglehub_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with raises(MissingExtraError, "missing-extra", "kagglehub", "mien[train]"):
        download("fer2013")


def test_the_installed_kagglehub_has_what_is_used_of_it() -> None:
    exceptions = pytest.importorskip("kagglehub.exceptions")
    for name in ("BackendError", "CredentialError", "DataCorruptionError", "NotFoundError", "UnauthenticatedError"):
        assert issubclass(getattr(exceptions, name), Exception)
    assert issubclass(exceptions.KaggleApiHTTPError, OSError)
