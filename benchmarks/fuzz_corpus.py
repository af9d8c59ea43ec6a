"""What ``benchmarks/fuzz.py`` mutates: files of every format that mien reads, and files that were once findings."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from mien.artifact import open_model
from mien.data.clean import KINDS, Change, Clean, read_clean, write_clean
from mien.data.read import load_dataset
from mien.data.synthetic import synthetic_faces
from mien.data.votes import read_ferplus
from mien.evaluation.predictions import Predictions, read_predictions, write_predictions
from mien.evaluation.results import Estimate
from mien.evaluation.robustness import RobustnessResult
from mien.evaluation.robustness_file import RobustnessReport, read_robustness, write_robustness
from mien.images import open_image
from mien.inference.find_model import find_run
from mien.inference.onnx_classifier import run_model
from mien.inference.resumable_output import ResumableOutput
from mien.recipe_file import load_recipe
from mien.run_folder import RunFolder
from mien.runs.space import load_space
from mien.runs.spec import load_study
from mien.runs.store import RunRecord, read_completed
from mien.training import checkpoint
from mien.video.video_file import VideoFile

JOURNAL = {"crops": True}
VOTES = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
SOURCE = Path(sys.modules["mien"].__file__ or "").parent
Seed = tuple[str, bytes, Callable[[Path], object]]


def run_model_file(path: Path) -> None:
    """Open a model and run it on noise, as predict would."""
    session, manifest = open_model(path)
    side = manifest.input.crop_px
    run_model(session, ["logits"], np.ones((3, 1, side, side), np.float32), path)


def read_faces(path: Path) -> None:
    """Read a data set without the cache."""
    load_dataset(path, cache=False)


def images() -> dict[str, bytes]:
    """One small image in each of several formats."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8))
    found = {}
    for kind in ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM"):
        stream = io.BytesIO()
        noise.save(stream, kind)
        found[kind.lower()] = stream.getvalue()
    return found


def corpus(folder: Path) -> list[Seed]:
    """Valid files of every format: name, content and what reads them."""
    for name in ("a.png", "b.png"):  # that the CSV of paths names
        (folder / name).write_bytes(images()["png"])
    faces = synthetic_faces(14, seed=0)
    pixels = [" ".join(map(str, face.ravel())) for face in np.asarray(faces.images)]
    rows = [f"{n % 7},{text},{'Training' if n < 10 else 'PublicTest'}" for n, text in enumerate(pixels)]
    probabilities = np.full((14, 7), 1 / 7)
    write_predictions(
        folder / "p.npz", Predictions(np.arange(14), faces.labels, probabilities, faces.classes, "validation", "")
    )
    _parquet(folder / "f.parquet")
    change = Change(row=1, split="train", label="happy", kind=next(iter(KINDS)), reason="x", source="a")
    write_clean(folder / "c.toml", Clean("sha256:0", (change,)))
    accuracy, estimate = np.full((2, 5), 0.5), Estimate(0.9, 0.8, 1.0)
    result = RobustnessResult(("blur", "jpeg"), accuracy, estimate, estimate, 40, 0, "sha256:1", "sha256:2")
    write_robustness(folder, RobustnessReport("m", "d", "validation", result))
    seeds: list[Seed] = [
        *_training_files(folder),
        ("a.csv", "\n".join(["emotion,pixels,Usage", *rows]).encode(), read_faces),
        ("b.csv", b"path,label,split\na.png,happy,train\nb.png,sad,test\n", read_faces),
        ("b.csv", b"path,label,votes_happy,votes_sad,person\na.png,happy,3,1,x\nb.png,sad,0,2,y\n", read_faces),
        ("c.parquet", (folder / "f.parquet").read_bytes(), read_faces),
        ("d.npz", (folder / "p.npz").read_bytes(), read_predictions),
        ("robustness.json", (folder / "robustness.json").read_bytes(), read_robustness),
        ("clean.toml", (folder / "c.toml").read_bytes(), read_clean),
        ("model.onnx", find_run("fast").model.read_bytes(), run_model_file),
        ("environment.json", b'{"threads": 1, "torch": "2"}', lambda path: RunFolder(path.parent).read_environment()),
        ("history.csv", b"epoch,seconds\n1,2.5\n2,3.5\n", lambda path: RunFolder(path.parent).read_history()),
    ]
    for plural, load in (("recipes", load_recipe), ("studies", load_study), ("spaces", load_space)):
        for file in sorted((SOURCE / plural).glob("*.toml"))[:4]:
            seeds.append((f"{plural}-{file.name}", file.read_bytes(), lambda path, load=load: load(str(path))))
    for name, content, read in seeds:  # all valid: what is refused before its mutation is no test of a reader
        (folder / name).write_bytes(content)
        read(folder / name)
    seeds += [("v.mp4", video("libx264", "mp4"), watch), ("v.avi", video("mpeg4", "avi"), watch), *found_once(rows[0])]
    seeds += [(f"i.{kind}", content, lambda path: open_image(path).load()) for kind, content in images().items()]
    seeds += [
        (f"{kind}-bytes", content, lambda path: open_image(path.read_bytes())) for kind, content in images().items()
    ]
    return seeds


def _parquet(file: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {"image": list(images().values()), "label": ["happy", "sad", "fear", "angry", "sad", "sad", "sad"]}
    )
    pq.write_table(table, file)


def _training_files(folder: Path) -> list[Seed]:
    """What training, studies and ``predict --out`` leave and read again."""
    facts = {"recipe_digest": "a", "data_fingerprint": "b", "classes": ["happy", "sad"], "history": [{"loss": 0.1}]}
    checkpoint.save(folder / "last.safetensors", {"a.b": torch.ones(3), "c": torch.tensor(2)}, facts)
    with ResumableOutput(folder / "j.jsonl", JOURNAL, ("happy", "sad")) as journal:
        journal.add({"source": "a.png", "top": "happy"})
        journal.add({"source": "b.png", "error": "damaged"})
    record = RunRecord(
        key="k", variant="v", seed=0, recipe_digest="a", data_fingerprint="b", started_from="", train_faces=1, epochs=1,
        best_epoch=1, seconds=1.0, threads=1, parameters=1, failed="", machine={"device": "cpu"},
    )  # fmt: skip
    (folder / "runs").mkdir()
    votes = f"{VOTES}\nTraining,a.png,3,1,0,0,0,0,0,0,0,0\nPublicTest,,0,9,0,0,0,0,0,0,0,1\n"
    return [
        ("last.safetensors", (folder / "last.safetensors").read_bytes(), resume),
        ("j.jsonl.part", (folder / "j.jsonl.part").read_bytes(), reopen_journal),
        ("runs/run.json", record.model_dump_json().encode(), lambda path: read_completed(path.parent.parent)),
        ("votes.csv", votes.encode(), read_ferplus),
    ]


def resume(path: Path) -> None:
    """Load a checkpoint and put its weights into a network."""
    tensors, _ = checkpoint.load(path)
    checkpoint.load_matching(nn.ParameterDict({"b": torch.zeros(3)}), checkpoint.unpack("a", tensors), path)


def reopen_journal(path: Path) -> None:
    """Go on with ``predict --out``."""
    with ResumableOutput(path.with_suffix(""), JOURNAL, ("happy", "sad")) as journal:
        list(journal.results(["a.png", "b.png"]))


def watch(path: Path) -> None:
    """Decode a video."""
    with VideoFile(path) as video:
        for _ in video.frames():
            pass


def video(codec: str, kind: str) -> bytes:
    """Six small frames."""
    import av

    stream = io.BytesIO()
    with av.open(stream, "w", format=kind) as container:
        track = container.add_stream(codec, rate=5)
        track.width = track.height = 32
        track.pix_fmt = "yuv420p"
        for grey in range(6):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 40 * grey, np.uint8), format="rgb24")
            container.mux(track.encode(frame))
        container.mux(track.encode())
    return stream.getvalue()


def found_once(row: str) -> list[Seed]:
    """Files that were findings: they are mutated too."""
    digits, deep = "9" * 5000, "[" * 100_000
    pixels = row.split(",")[1]
    texts: list[tuple[str, str, Callable[[Path], object]]] = [
        ("f.csv", f"emotion,pixels,Usage\n{digits},{pixels},Training\n", read_faces),
        ("g.csv", 'path,label,split\n"a\n.png",happy,train\nb.png,sad,test\n', read_faces),
        ("votes.csv", f"{VOTES}\nTraining,a.png,{digits},0,0,0,0,0,0,0,0,0\n", read_ferplus),
        ("r.toml", f"epochs = {digits}", lambda path: load_recipe(str(path))),
        ("s.toml", f"seeds = {deep}", lambda path: load_study(str(path))),
        ("w.toml", f"trials = {digits}", lambda path: load_space(str(path))),
        ("clean.toml", f"n = {deep}", read_clean),
        ("robustness.json", deep, read_robustness),
        ("environment.json", deep, lambda path: RunFolder(path.parent).read_environment()),
        ("j.jsonl.part", json.dumps({"begun_with": JOURNAL}) + '\n{"error": "x"}\n', reopen_journal),
    ]
    return [(name, text.encode(), read) for name, text, read in texts]
