"""Models and data sets in repositories of the Hugging Face hub: ``hf://OWNER/NAME[@REVISION][/FILE]``.

What was fetched lies in huggingface_hub's own cache, which serves without a network too (``HF_HUB_OFFLINE=1``). A model
from there is a stranger's: open those you trust. Nothing is unpickled (docs/security.md).
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from glob import escape
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, unquote

from mien.base.errors import DataError, MienError, ModelError, needs_extra, sentence
from mien.base.progress import busy

Kind = Literal["model", "dataset"]

MODEL_FILES: tuple[str, ...] = (
    "*.onnx",
    "best.safetensors",
    "recipe.toml",
    "history.csv",
    "metrics.json",
    "robustness.json",
)
"""What a model's repository is asked for."""

# A path that became a pathlib.Path has one slash of the two, or backslashes.
_ADDRESS = re.compile(
    r"hf:/{1,2}(?:datasets/)?(?P<repository>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^/@]+))?(?:/(?P<file>[^@]+))?"
)


@dataclass(frozen=True)
class HubAddress:
    """A place on the hub.

    Attributes:
        repository: ``OWNER/NAME``.
        revision: a branch, tag or commit; None is the default branch.
        file: a path within the repository; None is all of it.
    """

    repository: str
    revision: str | None = None
    file: str | None = None

    def __str__(self) -> str:
        revision = "" if self.revision is None else f"@{quote(self.revision, safe='')}"
        return f"hf://{self.repository}{revision}{'' if self.file is None else f'/{self.file}'}"


def is_hub_address(name: str | os.PathLike[str]) -> bool:
    """Whether this names a place on the hub, and no file or folder here."""
    return os.fspath(name).replace("\\", "/").startswith("hf:/")


def parse_address(name: str | os.PathLike[str]) -> HubAddress:
    """The parts of ``hf://OWNER/NAME[@REVISION][/FILE]``; a slash in a revision is written ``%2F``.

    Raises:
        DataError: something else (``hub-address``).

    >>> parse_address("hf://mien/default@v1/model.int8.onnx")
    HubAddress(repository='mien/default', revision='v1', file='model.int8.onnx')
    """
    text = os.fspath(name).replace("\\", "/")
    found = _ADDRESS.fullmatch(text)
    if found is None or ".." in text:
        raise DataError(
            f"{re.sub('^hf:/+', 'hf://', text)} is not a valid address. Write hf://OWNER/NAME, "
            "hf://OWNER/NAME@REVISION or hf://OWNER/NAME/FILE.",
            code="hub-address",
        )
    revision = found["revision"]
    return HubAddress(found["repository"], None if revision is None else unquote(revision), found["file"])


def is_fetched(folder: Path) -> bool:
    """Whether a folder is one that :func:`fetch` returns for a repository: a cache, in which nothing is written."""
    return folder.parent.name == "snapshots" and folder.parent.parent.name.startswith(("models--", "datasets--"))


@cache
def fetch(address: HubAddress, kind: Kind) -> Path:
    """The file or folder of an address in the hub's cache, after a look whether there is a newer one.

    Of a model's repository :data:`MODEL_FILES` are fetched, of a data set's all but its card. A command that asks twice
    looks once.

    Raises:
        ModelError, DataError: of a model or data set: no such repository, revision or file (``hub-not-found``), one
            that needs an account's consent (``hub-denied``), or no connection and not in the cache (``hub-offline``).
        MissingExtraError: huggingface_hub is not installed.
    """
    with needs_extra("hub", "Reading from the Hugging Face hub"):
        import huggingface_hub
    place: dict[str, Any] = {"repo_type": kind, "revision": address.revision}
    with _plain_errors(str(address), kind), busy(f"fetching {address}"):
        # A single file too: hf_hub_download would try for half a minute where there is no connection.
        if address.file is not None:
            place["allow_patterns"] = [escape(address.file)]
        elif kind == "model":
            place["allow_patterns"] = list(MODEL_FILES)
        else:
            place["ignore_patterns"] = ["README.md", ".*"]
        folder = Path(str(huggingface_hub.snapshot_download(address.repository, **place)))
        found = folder if address.file is None else folder / address.file
        if address.file is not None and not found.exists():
            raise _error(kind)(f"{address}: the repository has no such file.", code="hub-not-found")
        return found


def fetched(name: str | os.PathLike[str], kind: Kind) -> Path:
    """A path as it is, or what :func:`fetch` returns for an address on the hub."""
    return fetch(parse_address(name), kind) if is_hub_address(name) else Path(name)


@contextmanager
def _plain_errors(address: str, kind: Kind) -> Iterator[None]:
    """Turn what huggingface_hub raises into one line."""
    from huggingface_hub import errors
    from huggingface_hub.utils.tqdm import disable_progress_bars

    # Each of its attempts without a connection would be a line of its own, and its bars would run into ours.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    disable_progress_bars()
    try:
        yield
    except MienError:
        raise
    except Exception as error:  # noqa: BLE001 - the hub's and its transport's errors share no base class below Exception
        status = getattr(getattr(error, "response", None), "status_code", None)
        if isinstance(error, errors.GatedRepoError):
            code = "hub-denied"
            words = f"its owner has to grant access. Ask for it on {_page(address, kind)}, then `hf auth login`"
        elif isinstance(error, errors.RepositoryNotFoundError) or status == 401:
            code = "hub-not-found"
            words = f"there is no such {kind} repository, or it is private. For a private one: `hf auth login`"
        elif isinstance(error, errors.RevisionNotFoundError):
            code, words = "hub-not-found", "the repository has no such revision"
        elif status is not None and status < 500:
            code, words = "hub-refused", f"the hub refused ({status})"
        else:
            code, words = "hub-offline", "there is no connection to the Hugging Face hub, and it is not in the cache"
        raise _error(kind)(f"{address}: {sentence(words)}", code=code) from None


def _error(kind: Kind) -> type[DataError | ModelError]:
    return DataError if kind == "dataset" else ModelError


def _page(address: str, kind: Kind) -> str:
    place = parse_address(address)
    return f"https://huggingface.co/{'datasets/' if kind == 'dataset' else ''}{place.repository}"
