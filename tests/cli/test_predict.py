"""mien predict on photos and crops: every face found, read, drawn and kept."""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console
from rich.table import Table

from mien.cli.output import show_rows
from support import note_codes, noted, ran, refused


def test_predict_prints_each_face_and_counts(mien, photos, tiny_run):
    lines = ran(mien("predict", "--model", tiny_run.path, photos)).out.splitlines()
    assert [line.split()[1] for line in lines[1:-1]] == ["1", "2", "no", "1"]
    assert lines[-1] == "YuNet: 3 faces in 3 images, 1 without a face"
    without = mien("predict", "--model", tiny_run.path, photos / "b.jpg")
    assert (without.code, without.err) == (0, "")
    assert without.out.endswith("YuNet: no face in 1 image\n")


@pytest.mark.parametrize("name", ["left", "x" * 115, "x" * 116, "顔"])
def test_a_table_is_laid_out_as_rich_does_but_without_it_where_it_fits(capsys, monkeypatch, name):
    """Oracle: rich's own table, as wide as its cells need."""
    table = Table("a name", "b", box=None, pad_edge=False)
    table.add_row(name, "yes")
    Console(width=max(120, len(name) + 5)).print(table)
    wanted = capsys.readouterr().out
    if name.isascii() and len(name + "  yes") <= 120:
        monkeypatch.setitem(sys.modules, "rich.table", None)
    show_rows([{"a_name": name, "b": True}])
    assert capsys.readouterr().out == wanted


def test_predict_json_equals_predictions_in_python(mien, photos, tiny_run):
    """Oracle: Predictor.predict."""
    from mien import load

    said = json.loads(mien("predict", "--model", tiny_run.path, photos, "--json").out)
    assert [tuple(photo["image"].values()) for photo in said] == [(640, 300), (200, 150), (256, 256)]
    assert {photo["detector"] for photo in said} == {"YuNet"}
    for photo, predictions in zip(said, load(tiny_run.path).predict(sorted(photos.iterdir())), strict=True):
        assert photo["faces"] == [prediction.to_dict() for prediction in predictions]


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_predict_out_equals_the_printed_table(mien, photos, tiny_run, tmp_path, suffix, workers):
    out = tmp_path / f"out.{suffix}"
    told = mien("predict", "--model", tiny_run.path, photos, "--out", out, "--workers", workers)
    assert told.out == f"{out}: YuNet: 3 faces in 3 images, 1 without a face\n"
    printed = mien("predict", "--model", tiny_run.path, photos, *(["--csv"] if suffix != "jsonl" else ["--json"])).out
    if suffix == "jsonl":
        assert [json.loads(line) for line in out.read_text().splitlines()] == json.loads(printed)
    elif suffix == "csv":
        assert out.read_text() == printed
    else:
        table = pytest.importorskip("pyarrow.parquet").read_table(out)
        assert table.num_rows == len(printed.splitlines()) - 1 == 4
        assert table.column("face").to_pylist() == [1, 2, 0, 1]


def test_annotate_writes_each_image_beside_its_namesakes(mien, photos, tiny_run, tmp_path, monkeypatch):
    other = tmp_path.joinpath(*["longer than what messages shorten, " * 3] * 3)
    other.mkdir(parents=True)
    (other / "a.png").write_bytes((photos / "a.png").read_bytes())
    drawn = tmp_path / "drawn"
    answer = mien("predict", "--model", tiny_run.path, photos / "a.png", other / "a.png", "--annotate", drawn)
    assert (answer.code, answer.err) == (0, f"annotated images: {drawn}\n")
    written = sorted(path for path in drawn.rglob("*") if path.is_file())
    assert (len(written), {path.name for path in written}) == (2, {"a.png.jpg"})
    for path in written:
        with Image.open(photos / "a.png") as source, Image.open(path) as copy:
            assert copy.size == source.size
    assert "[no-photo]" in mien("predict", "--model", tiny_run.path, photos / "a.png", "--annotate", drawn).err


@pytest.mark.parametrize(
    ("name", "code"),
    [("text", "image-format"), ("empty", "image-empty"), ("cut", "image-damaged"), ("huge", "image-pixels")],
)
def test_predict_rejects_bad_images_or_skips_them(mien, photos, tiny_run, tmp_path, name, code):
    bad, whole = tmp_path / f"{name}.jpg", (photos / "c.jpg").read_bytes()
    bad.write_bytes({"text": b"no image", "empty": b"", "cut": whole[: len(whole) // 2], "huge": b""}[name])
    if name == "huge":
        Image.new("1", (30_000, 4_000)).save(bad, "PNG")
    refused(mien("predict", "--model", tiny_run.path, photos / "c.jpg", bad), code, bad.name)
    answer = mien("predict", "--model", tiny_run.path, photos / "c.jpg", bad, "--skip-bad")
    assert (answer.code, answer.err.count("\n")) == (0, 1)
    assert answer.out.endswith("YuNet: 1 face in 1 image; 1 skipped\n")


def test_predict_names_mien_video_for_videos(mien, tmp_path, faces):
    """By what it holds, not by its name."""
    clip = tmp_path / "clip.MP4"
    clip.write_bytes(b"\0\0\0 ftypisom")
    answer = mien("predict", clip)
    assert (answer.code, answer.out) == (2, "")
    assert f"mien video {clip}" in answer.err
    Image.fromarray(faces.images[0]).save(clip, "PNG")
    assert mien("predict", "--crops", clip).code == 0
    (tmp_path / "other.mp4").write_bytes(b"\0\0\0 ftypisom")
    answer = mien("predict", "--crops", "--skip-bad", clip, tmp_path / "other.mp4")
    assert (answer.code, "skipped: " in answer.err) == (0, True)


def test_predict_counts_unsupported_formats(mien, photos, tiny_run, tmp_path):
    (tmp_path / "inner").mkdir()
    for name in ("IMG_1.JXL", "inner/IMG_2.jxl", "inner/.hidden.jxl", "@eaDir/a.jxl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "inner")
    refused(mien("predict", "--model", tiny_run.path, tmp_path), "no-images", " 3;")
    (tmp_path / "c.jpg").write_bytes((photos / "c.jpg").read_bytes())
    noted(ran(mien("predict", "--model", tiny_run.path, tmp_path)), "files-skipped", " 3;")


def test_ray_writes_the_file_of_the_local_engine(mien, photos, tiny_run, tmp_path, monkeypatch):
    """Oracle: the file and the line of the local engine. A reader in this process stands in for Ray's workers."""
    from mien.cli import predict
    from mien.inference.output_files import predict_files

    def on_ray(make_reader, files, *, crops, skip_bad, workers):
        return reversed(list(predict_files(make_reader(), files, crops=crops, skip_bad=skip_bad)))

    monkeypatch.setattr(predict, "predict_on_ray", on_ray)
    photos = shutil.copytree(photos, tmp_path / "photos")
    (photos / "z.jpg").write_bytes(b"no image")
    local, ray = tmp_path / "local.jsonl", tmp_path / "ray.jsonl"
    words = ("predict", photos, "--model", tiny_run.path, "--skip-bad", "--out")
    expected, answer = mien(*words, local), mien(*words, ray, "--engine", "ray")
    assert (answer.code, ray.read_text()) == (0, local.read_text())
    assert answer.out.replace(str(ray), "") == expected.out.replace(str(local), "")


@pytest.mark.skipif(os.name == "nt", reason="Windows allows no such names")
def test_predict_escapes_control_characters_of_file_names(mien, tmp_path, face_folder, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a long path would be wrapped
    image, odd = next((face_folder / "test" / "happy").iterdir()), "a\x1b[31m\nb.png"
    (tmp_path / odd).write_bytes(image.read_bytes())
    answer = ran(mien("predict", "--crops", odd, "--model", "fast-int8"))
    assert "a\\x1b[31m\\nb.png" in answer.out
    assert "\x1b" not in answer.out


@pytest.mark.parametrize(("command", "made"), [("predict", []), ("explain", ["c-explained", "stdin-explained"])])
def test_predict_reads_an_image_from_stdin(mien, photos, tiny_run, monkeypatch, tmp_path, command, made):
    """Oracle: the same image as a file. Its default folder is in the working folder, and named for it.

    Its source is ``-`` in every output.
    """
    monkeypatch.chdir(tmp_path)
    said = []

    photo = (photos / "c.jpg").read_bytes()

    def run(*words, content=photo):
        stream = io.TextIOWrapper(io.BytesIO(content))
        stream.isatty = lambda: not content
        monkeypatch.setattr("sys.stdin", stream)
        return mien(command, *words, "--model", tiny_run.path)

    for name in (photos / "c.jpg", "-"):
        said.append(json.loads(ran(run(name, "--json")).out)[0])
    by_file, by_stdin = (each.get("faces", [each])[0]["answer"] for each in said)
    assert (by_file, {said[1]["source"], said[1].get("faces", [said[1]])[0]["source"]}) == (by_stdin, {"-"})
    assert sorted(path.name for path in tmp_path.iterdir()) == made
    refused(run("-", content=b""), "options", "-")
    assert run("-", "--out", "new.csv", content=b"no image").err.startswith("mien: - is not an image")


def test_predict_names_standard_input_in_tables_and_drawings(mien, photos, tiny_run, monkeypatch, tmp_path):
    for words, named in ((("--csv",), "\n-,"), ((), "\n-  "), (("--out", "a.csv"), "1 face")):
        stream = io.TextIOWrapper(io.BytesIO((photos / "c.jpg").read_bytes()))
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.stdin", stream)
        answer = mien("predict", "-", "--annotate", "drawn", "--model", tiny_run.path, *words)
        assert (answer.code, named in answer.out) == (0, True), answer
    assert "\n-," in Path("a.csv").read_text()
    assert [file.name for file in Path("drawn").iterdir()] == ["stdin.jpg"]


def test_predict_replaces_a_finished_file_only_with_overwrite(mien, photos, tiny_run, tmp_path):
    given = ("predict", photos / "c.jpg", "--model", tiny_run.path, "--out", tmp_path / "a.jsonl")
    assert mien(*given).code == 0
    refused(mien(*given), "file-exists", "--overwrite")
    before = (tmp_path / "a.jsonl").read_text()
    (tmp_path / "a.jsonl").write_text("old")
    assert (mien(*given, "--overwrite").code, (tmp_path / "a.jsonl").read_text()) == (0, before)
    (tmp_path / "bad.png").write_bytes(b"")
    answer = mien("predict", "--model", tiny_run.path, "--crops", "--json", "--skip-bad", tmp_path / "bad.png")
    refused(answer, "no-images", "1")
    kept = mien("predict", "--model", tiny_run.path, "--skip-bad", tmp_path / "bad.png", "--out", tmp_path / "x.jsonl")
    assert kept.code == 2
    assert "x.jsonl" in kept.err.splitlines()[-1]
    assert kept.err.splitlines()[-1].endswith("[no-images]")


def test_groups_of_people_are_compared_without_labels(mien, face_folder, tiny_run, tmp_path):
    """Oracle: shares counted in the CSV of the same images."""
    given = ("predict", "--model", tiny_run.path, "--crops", face_folder)
    rows, people = list(csv.DictReader(io.StringIO(mien(*given, "--csv").out))), tmp_path / "people.csv"
    people.write_text(
        f"id,file,images,age\nn,none.png,,\nm,{rows[0]['source']},nan,NaN\n"
        + "".join(f"{at},{row['source']},{'oy'[at % 3 > 0]},{at // 2 % 12}\n" for at, row in enumerate(rows[1:]))
    )
    old, found = rows[1::3], json.loads(mien(*given, "--by", people, "--json").out)
    assert (list(found), len(found["images"]["gaps"]) > 2, len(found["age"]["groups"])) == (["images", "age"], True, 4)
    assert next((each["group"], each["images"]) for each in found["images"]["groups"]) == ("o", len(old))
    for gap in found["images"]["gaps"]:
        metric = gap["metric"]
        hits = [metric == f"says {row['answer']}" or (metric, row["in_doubt"]) == ("in doubt", "true") for row in old]
        assert (gap["value"], gap["count"]) == ("o", len(old))
        assert gap["rate"]["value"] == pytest.approx(sum(hits) / len(old))
    lines = mien(*given, "--by", people).out.splitlines()
    assert [line.split()[:2] for line in lines[4:6]] == [["o", str(len(old))], ["y", str(len(rows) - 1 - len(old))]]
    twice = f"file,age\n{rows[0]['source']},o\n{rows[0]['source']},y\n"
    wrong = {"id,age\n1,o\n": "columns", "file,age\nother.png,o\n": "group", twice: "group"}
    for text, code in wrong.items():
        people.write_text(text)
        refused(mien(*given, "--by", people, "--out", tmp_path / "out.csv"), code)
    people.write_text(f"file\n{rows[0]['source']}\n")
    refused(mien(*given, "--by", people), "group", "age")
    assert not (tmp_path / "out.csv").exists()


def test_predict_notes_photographs_given_as_crops(mien, tiny_run, astronaut, tmp_path):
    photo, crop = tmp_path / "photo.png", tmp_path / "crop.png"
    Image.fromarray(astronaut[:400]).save(photo)
    # Her face with hair, as a crop that is loose.
    Image.fromarray(astronaut).crop((140, 30, 310, 200)).resize((400, 400)).save(crop)
    for command in (("predict",), ("explain", "--out", tmp_path / "maps")):
        noticed = ran(mien(*command, photo, "--crops", "--model", tiny_run.path))
        assert note_codes(noticed.err) == ["photo-as-crop"]
        noted(noticed, "photo-as-crop", "photo.png")
    assert note_codes(mien("predict", crop, "--crops", "--model", tiny_run.path).err) == []
    assert note_codes(mien("predict", photo, "--model", tiny_run.path).err) == []


def test_predict_notes_crops_without_a_face_once(mien, tiny_run, tmp_path):
    for number in range(3):
        Image.new("L", (48, 48), 90 + number).save(tmp_path / f"{number}.png")
    said = ran(mien("predict", tmp_path, "--model", tiny_run.path))
    assert note_codes(said.err) == ["crops-as-photos"]
    noted(said, "crops-as-photos", 3, "--crops")
    assert note_codes(mien("predict", tmp_path, "--crops", "--model", tiny_run.path).err) == []


def test_predict_rejects_resuming_with_other_settings(mien, photos, tiny_run, tmp_path):
    (tmp_path / "z.jpg").write_bytes(b"damaged")
    command = ("predict", "--model", tiny_run.path, "--out", tmp_path / "out.csv", photos / "c.jpg")
    assert mien(*command, tmp_path / "z.jpg").code == 2
    before = (tmp_path / "out.csv.part").read_bytes()
    for other, said in (
        ((tmp_path / "z.jpg", "--model", "default"), "model sha256:"),
        ((tmp_path / "z.jpg", "--classes", "binary"), "binary"),
        ((tmp_path / "z.jpg", "--crops"), "YuNet"),
    ):
        refused(mien(*command, *other), "journal", said)
    refused(mien(*command[:-1], photos / "a.png"), "journal", photos / "c.jpg")
    assert (tmp_path / "out.csv.part").read_bytes() == before
    assert mien(*command, photos / "a.png").err.startswith("1 of 2 images ")
    assert all(str(photos / name) in (tmp_path / "out.csv").read_text() for name in ("a.png", "c.jpg"))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_predict_resumes_after_a_kill(mien, photos, tiny_run, tmp_path):
    """Killed for real once some are done; then as if nothing had been. Oracle: the answers without a kill."""
    folder = tmp_path / "many"
    folder.mkdir()
    for index in range(40):
        (folder / f"{index:03}.jpg").write_bytes((photos / "c.jpg").read_bytes())
    out, part = tmp_path / "out.csv", tmp_path / "out.csv.part"
    arguments = ["predict", "--model", str(tiny_run.path), str(folder), "--annotate", str(tmp_path / "drawn")]
    code = "from mien.cli.main import main; main()"
    killed = subprocess.Popen([sys.executable, "-c", code, *arguments, "--out", str(out)], stderr=subprocess.DEVNULL)
    while killed.poll() is None and (not part.exists() or part.read_bytes().count(b"\n") < 4):
        time.sleep(0.01)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not out.exists()
    done, answer = part.read_bytes().count(b"\n") - 1, mien(*arguments, "--out", out)
    resumed, annotated = answer.err.splitlines()
    assert resumed.startswith(f"{done} of 40 images ")
    assert annotated.endswith(f": {tmp_path / 'drawn'}")
    assert answer.out.endswith(f"; {done} done before\n")
    assert out.read_text() == mien("predict", "--model", tiny_run.path, folder, "--csv").out
    assert len(list((tmp_path / "drawn").glob("*.jpg"))) == 40
