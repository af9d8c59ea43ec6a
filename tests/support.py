"""What tests import: errors are matched by class and code, never by their sentence."""

from __future__ import annotations

import importlib.util
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from mien.api.report import report
from mien.base import images
from mien.base.errors import MienError, MienWarning, Notice
from mien.data.dataset import Dataset
from mien.evaluation.predictions import Predictions
from mien.evaluation.robustness import corrupt_in_parts
from mien.faces.face import Face, Margin
from mien.inference.prediction import prediction_fields
from mien.page.page import WrittenPage

FERPLUS_HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
FIELDS = prediction_fields(None, perceived=False, further=())  # their names: tests/stability.json


@contextmanager
def raises(error: type[MienError], code: str, *values: object) -> Iterator[pytest.ExceptionInfo[Any]]:
    """Expect an error of one class and code that names these values; ``caught.value`` holds it."""
    with pytest.raises(error) as caught:
        yield caught
    assert caught.value.code == code, f"{caught.value.code}: {caught.value}"
    for value in values:
        assert str(value) in str(caught.value), caught.value


def refused(answer: Any, code: str, *values: object) -> None:
    """Expect that the command line refused: exit code 2, nothing on stdout, one last line with this code and values."""
    assert (answer.code, answer.out) == (2, ""), answer
    lines = answer.err.splitlines()
    assert [line for line in lines if line.startswith("mien: ")] == lines[-1:], answer.err
    assert lines[-1].endswith(f" [{code}]"), lines[-1]
    for value in values:
        assert str(value) in lines[-1], lines[-1]


def ran(answer: Any) -> Any:
    """Expect that a command succeeded, and return its answer."""
    assert answer.code == 0, answer.err
    return answer


def noted(answer: Any, code: str, *values: object) -> None:
    """Expect one notice of this code on stderr, a line that begins with ``note: `` and names these values."""
    lines = [line for line in answer.err.splitlines() if line.startswith("note: ") and line.endswith(f" [{code}]")]
    assert len(lines) == 1, (code, answer.err)
    for value in values:
        assert str(value) in lines[0], lines[0]


def note_codes(text: str) -> list[str]:
    """The codes of all notices in what a command printed, in order."""
    return [line.rpartition(" [")[2][:-1] for line in text.splitlines() if line.startswith("note: ")]


def page_codes(page: str) -> list[str]:
    """The codes of all notices on a page of HTML, in order."""
    return re.findall(r'data-code="([a-z0-9-]+)"', page)


def block_codes(section: Any) -> list[str]:
    """The codes of all paragraphs of a section of a page that are notices."""
    return [block.words.code for block in section.blocks if isinstance(getattr(block, "words", None), Notice)]


@contextmanager
def warned(code: str, *values: object) -> Iterator[None]:
    """Expect one warning of this code that names these values."""
    with pytest.warns(MienWarning) as caught:
        yield
    (found,) = (each.message for each in caught if isinstance(each.message, MienWarning))
    assert found.code == code
    for value in values:
        assert str(value) in str(found), found


def make_predictions(
    labels: Any, classes: Any, rows: Any = None, split: str = "validation", fingerprint: str = "", seed: int = 0,
    skill: float = 1.5,
) -> Predictions:  # fmt: skip
    """Predictions of some skill for labels under classes: it is added to the logits of noise."""
    logits = np.random.default_rng(seed).normal(size=(len(labels), len(classes)))
    logits[np.arange(len(labels)), labels] += skill
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    rows = np.arange(len(labels)) if rows is None else rows
    return Predictions(rows, np.asarray(labels), probabilities, tuple(classes), split, fingerprint)


def write_fer2013(folder: Path, faces: Dataset) -> None:
    """Drawn faces in the shape of Kaggle's fer2013.csv, and their votes in that of FER+'s fer2013new.csv."""
    usages = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}
    rows, votes = ["emotion,pixels,Usage"], [FERPLUS_HEADER]
    for index, image in enumerate(np.asarray(faces.images)):
        usage = usages[str(faces.split[index])]
        rows.append(f"{faces.labels[index]},{' '.join(map(str, image.ravel()))},{usage}")
        votes.append(f"{usage},fer{index:07}.png," + ",".join(map(str, faces.votes[index])))
    (folder / "fer2013.csv").write_text("\n".join(rows) + "\n")
    (folder / "fer2013new.csv").write_text("\n".join(votes) + "\n")


def write_report(
    out: Path, predictions: Predictions, *, faces: Dataset | None = None, metadata=None, explain=True, model=None
) -> WrittenPage:
    """The report of predictions."""
    return report(predictions, faces, out=out, model=model, metadata=metadata, explain=explain)


def corrupt(images: npt.NDArray[np.uint8], name: str, strength: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Corrupted faces, uint8, of the same shape."""
    return np.concatenate(list(corrupt_in_parts(images, name, strength, seed)))


def random_case(
    seed: int, rows: int = 300, classes: int = 4, decimals: int | None = None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Labels (N,), each class at least once, and probabilities (N, C) that favour them; with ``decimals`` many ties."""
    generator = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), generator.integers(0, classes, rows - classes)])
    logits = generator.normal(size=(rows, classes))
    logits[np.arange(rows), labels] += 1
    probabilities = np.exp(logits if decimals is None else logits.round(decimals))
    return labels, probabilities / probabilities.sum(axis=1, keepdims=True)


def sampled_case(
    seed: int, rows: int = 500, classes: int = 4, sharpness: float = 2.0
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Labels (N,) drawn from the true probabilities, and these (N, C) made ``sharpness`` times too sure."""
    from scipy.special import softmax  # the core's tests run without it

    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(rows, classes)) * 1.5
    labels = (softmax(logits, axis=1).cumsum(axis=1) > generator.random((rows, 1))).argmax(axis=1)
    return labels, softmax(sharpness * logits, axis=1)


class Fixed:
    """A detector that always returns the same faces, given as such or as boxes."""

    name = "fixed"
    margin, score_range = Margin(1.2, 0.05), (0.0, 1.0)

    def __init__(self, *faces):
        self.faces = [each if isinstance(each, Face) else Face(each, 1.0, {}) for each in faces]

    def detect(self, rgb):
        return self.faces


def write_images(folder: Path, names: Any) -> Path:
    """Write grey noise under these names below a folder; of a dict, its images. Returns the folder."""
    grey = np.random.default_rng(0).integers(0, 256, (len(names), 48, 48), dtype=np.uint8)
    for name, image in names.items() if isinstance(names, dict) else zip(names, grey, strict=True):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)
    return folder


def encoded(image, kind="PNG", **options):
    """An image, of Pillow or as an array, as the bytes of a file."""
    opened = image if isinstance(image, Image.Image) else Image.fromarray(np.asarray(image))
    return images.encoded(opened, kind, **options)


def png_of_size(width, height):
    """The head of a PNG that claims to be so large, without its pixels."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"")


def load_script(path):
    """A Python file that is in no package, as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class HtmlPage(HTMLParser):
    """Words, tags and attributes of a page; complains of a tag that is not closed in order."""

    VOID = frozenset({"meta", "br", "hr", "link", "img", "input"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words += " " + " ".join(data.split())
