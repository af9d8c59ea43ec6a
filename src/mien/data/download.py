"""Download FER2013 from Kaggle, and say in plain words what to do where that does not work."""

from __future__ import annotations

from pathlib import Path

from mien.base.errors import DataError, nearest, needs_extra

DATASETS = {"fer2013": "msambare/fer2013", "fer2013-csv": "deadskull7/fer2013"}
"""Kaggle's handles, class folders and the CSV, by the name that ``mien data download`` takes."""


def download(name: str) -> Path:
    """Download a data set with kagglehub into its cache, or find it there. Returns the folder, ready to be read.

    Raises:
        DataError: an unknown name; no network, no account, terms not accepted, a full disk: the message says how to
            get the data with a browser.
        MissingExtraError: kagglehub is not installed.
    """
    if name not in DATASETS:
        raise DataError(
            f"There is no data set '{name}' to download." + nearest(name, DATASETS), code="download-unknown"
        )
    with needs_extra("train", "Downloading"):
        import kagglehub
        from kagglehub import exceptions
    try:
        return Path(kagglehub.dataset_download(DATASETS[name]))
    except (
        OSError,  # requests' errors are OSErrors: no network, a refusal by Kaggle; and so is a full disk
        ValueError,
        exceptions.BackendError,
        exceptions.CredentialError,
        exceptions.DataCorruptionError,
        exceptions.NotFoundError,
        exceptions.UnauthenticatedError,
    ) as error:
        raise DataError(
            f"Kaggle did not give the data set {DATASETS[name]}: {_reason(error)}. By hand: open "
            f"https://www.kaggle.com/datasets/{DATASETS[name]} in a browser, log in, press Download, unzip the file, "
            f"then run `mien data info FOLDER` on what came out. To let mien download: create an API token on "
            f"https://www.kaggle.com/settings, put it into the environment variable KAGGLE_API_TOKEN, and run the "
            f"command again.",
            code="download-failed",
        ) from error


def _reason(error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in {401, 403}:
        return "it wants an account, or the data set's terms have not been accepted"
    if status is not None:
        return f"the server answered {status}"
    if "Connection" in type(error).__name__ or "Timeout" in type(error).__name__:
        return "there is no connection to it"
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
