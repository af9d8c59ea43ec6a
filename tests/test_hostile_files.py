"""Files made to do harm, or written by others: one line with a code, whatever they hold. Each was a traceback once."""

import json
import resource
import tracemalloc
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import mien
from mien.base.errors import DataError, MienError, RecipeError, RunError, StudyError
from mien.base.images import open_image
from mien.base.recipe import load_recipe
from mien.base.run_folder import find_run
from mien.data.clean import read_clean
from mien.data.read import load_dataset
from mien.evaluation.estimates import evaluate_predictions
from mien.evaluation.predictions import read_predictions, write_predictions
from mien.inference.onnx_classifier import OnnxClassifier
from mien.inference.output_files import Columns, ResumableOutput
from mien.pipeline.evaluation_files import write_evaluation
from mien.reporting.sections import ReportContext
from mien.runs.spec import load_study
from support import encoded, make_predictions, raises

HOSTILE_TOML = ["n = 0x1" + "0" * 5000, "n = 1" + "0" * 5000, "n = " + "[" * 100_000]


@pytest.mark.parametrize("text", HOSTILE_TOML)
@pytest.mark.parametrize(
    ("load", "error"), [(load_recipe, RecipeError), (load_study, StudyError), (read_clean, DataError)]
)
def test_toml_of_huge_numbers_and_deep_brackets(tmp_path, text, load, error):
    file = tmp_path / "a.toml"
    file.write_text(text)
    with pytest.raises(error):
        load(str(file))


def parquet(file, labels, metadata):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    images = [encoded(Image.new("L", (48, 48), grey)) for grey in range(len(labels))]
    table = pa.table({"image": images, "label": labels})
    pq.write_table(table.replace_schema_metadata({b"huggingface": metadata.encode()}), file)
    return file


@pytest.mark.parametrize("names", [5, None, "happy", {"a": 1}, True])
def test_parquet_whose_declared_names_are_no_list_counts_as_without(tmp_path, names):
    text = json.dumps({"info": {"features": {"label": {"names": names}}}})
    assert load_dataset(parquet(tmp_path / "a.parquet", [0, 1], text)).classes == ("angry", "disgust")


def test_parquet_with_a_text_label_that_it_does_not_declare_has_one_class_more(tmp_path):
    text = json.dumps({"info": {"features": {"label": {"names": ["a", "b"]}}}})
    assert load_dataset(parquet(tmp_path / "fine.parquet", ["a", "b"], text)).classes == ("a", "b")
    assert load_dataset(parquet(tmp_path / "a.parquet", ["a", "happy"], text)).classes == ("happy", "a")


def test_a_small_predictions_file_that_unpacks_to_more_than_the_limit(tmp_path, monkeypatch):
    """Oracle: the memory that Python and NumPy took, which is less than one of its arrays."""
    monkeypatch.setattr("mien.evaluation.predictions._MAX_BYTES", 50_000_000)
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("labels", "sample_ids", "probabilities", "classes", "split", "data_fingerprint"):
            with archive.open(f"{name}.npy", "w") as stream:
                header = {"descr": "<f8", "fortran_order": False, "shape": (1_250_000,)}
                np.lib.format.write_array_header_1_0(stream, header)
                for _ in range(10):
                    stream.write(bytes(1_000_000))
    assert (tmp_path / "a.npz").stat().st_size < 2_000_000
    tracemalloc.start()
    with raises(DataError, "predictions"):
        read_predictions(tmp_path / "a.npz")
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert taken < 5_000_000


@pytest.mark.parametrize("limit", [200, 2000, 20_000])
def test_an_evaluation_on_a_full_disk_leaves_nothing(tmp_path, limit):
    """Oracle: the folder. A file-size limit makes the very write fail that a full disk would."""
    predictions = make_predictions((np.arange(400) % 7), [f"class {n}" for n in range(7)])
    context = ReportContext(predictions, evaluate_predictions(predictions, resamples=10))
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, former[1]))
    try:
        with raises(RunError, "file-unwritable"):
            write_evaluation(tmp_path / "out", context, "t", {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
    assert not (tmp_path / "out").exists()
    write_evaluation(tmp_path / "out", context, "t", {})
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert names >= {"metrics.json", "predictions_validation.npz", "report.html"}


@pytest.mark.parametrize("content", [
    '"path,label,split\n"a\n.png",happy,train\nb.png,sad,test\n',
    "emotion,pixels,Usage\n" + "\n".join(f"{at},{' '.join(['7'] * 2304)},Training" for at in ("9" * 5000, "1")),
], ids=["a line break in a cell", "a label of 5000 digits"])  # fmt: skip
def test_a_long_or_broken_cell_does_not_break_the_message(tmp_path, content):
    """Found by a campaign of mutated files."""
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(DataError) as caught:
        load_dataset(tmp_path / "a.csv", cache=False)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 1000


LINES = (b'{"error": "x"}', b'{"source": "a"', b'{"source": 5, "error": "x"}', b"[]", b"1", b"[" * 100_000)


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[:9].decode())
def test_a_journal_with_a_line_that_predict_did_not_write_is_damaged(tmp_path, line):
    with ResumableOutput(tmp_path / "a.jsonl", {"crops": True}, Columns(("a", "b"), crops=True)) as journal:
        journal.add({"source": "a", "top": "a"})
    journal.part.write_bytes(journal.part.read_bytes() + line + b"\n")
    with raises(RunError, "journal"):
        ResumableOutput(tmp_path / "a.jsonl", {"crops": True}, Columns(("a", "b"), crops=True))


def test_a_damaged_length_in_a_png_asks_for_no_gigabytes(tmp_path):
    """Found by a campaign of mutated files. Oracle: Python's own count of what was allocated."""
    content = encoded(Image.new("L", (24, 24)))
    at = content.index(b"IDAT") - 4
    (tmp_path / "a.png").write_bytes(content[:at] + b"\x7f\xff\xff\xff" + content[at + 4 :])
    tracemalloc.start()
    try:
        with suppress(DataError):
            open_image(tmp_path / "a.png")
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()


IMAGES = [f"a.{suffix}" for suffix in ("png", "jpeg", "webp", "bmp", "gif", "tiff", "ppm")]
TOKENS = [b"[" * 5000, b"9" * 5000, b"0x" + b"f" * 6000, b"nan", b"1e999", b"-1", b"\xff\xfe", b"\0", b'"', b"\r\n"]
CHANGE = st.tuples(st.floats(0, 1), st.integers(0, 64), st.binary(max_size=64) | st.sampled_from(TOKENS))


@pytest.fixture(scope="module")
def valid_files(tmp_path_factory):
    """A folder with a valid file of each format, and what reads it."""
    folder = tmp_path_factory.mktemp("valid")
    rows = [f"{at % 7},{' '.join(['7 8'] * 1152)},{'Training' if at < 10 else 'PublicTest'}" for at in range(14)]
    (folder / "a.csv").write_text("\n".join(["emotion,pixels,Usage", *rows]))
    write_predictions(folder / "a.npz", make_predictions(np.arange(14) % 7, [f"class {n}" for n in range(7)]))
    (folder / "a.onnx").write_bytes(find_run("fast").model.read_bytes())
    (folder / "a.toml").write_bytes((Path(mien.__file__).parent / "recipes" / "short.toml").read_bytes())
    for name in IMAGES:
        Image.effect_noise((24, 24), 50).convert("RGB").save(folder / name)
    readers = {
        "a.csv": lambda path: load_dataset(path, cache=False), "a.npz": read_predictions, "a.onnx": OnnxClassifier,
    }  # fmt: skip
    return folder, {"a.toml": lambda path: load_recipe(str(path)), **readers, **dict.fromkeys(IMAGES, open_image)}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["a.csv", "a.npz", "a.onnx", "a.toml", *IMAGES])
@settings(max_examples=1000, deadline=30_000)
@given(changes=st.lists(CHANGE, min_size=1, max_size=8))
def test_a_mutated_file_is_read_or_refused_in_one_line(valid_files, name, changes):
    folder, readers = valid_files
    content = bytearray((folder / name).read_bytes())
    for place, length, new in changes:
        at = int(place * len(content))
        content[at : at + length] = new
    mutated = folder / f"mutated{Path(name).suffix}"
    mutated.write_bytes(content)
    with suppress(MienError):
        readers[name](mutated)
