"""``mien video``: classify the faces of a video over time."""

import re
import signal
from collections.abc import Iterable, Sequence
from pathlib import Path

import typer

from mien.base.errors import DataError
from mien.cli.options import NotNegativeNumber
from mien.cli.output import environment, note_left_out, show, show_json
from mien.cli.predict import DetectionOptions
from mien.inference.face_reader import FaceReader
from mien.inference.predictor import load
from mien.page.terminal import rich_table
from mien.page.wording import counted
from mien.video.run import VideoResult, predict_video
from mien.video.timeline import longest_tracks, tracks_table
from mien.video.tracker import DETECT_EVERY_SECONDS


def video(
    file: Path,
    *,
    out: Path | None = None,
    model: str = "fast",
    output: str | None = None,
    classes: str | None = None,
    detect_every: NotNegativeNumber = DETECT_EVERY_SECONDS,
    annotate: bool = True,
    alarm: list[str] | None = None,
    detection: DetectionOptions,
    provider: str | None = None,
    overwrite: bool = False,
    json: bool = False,
) -> None:
    """Classify the faces of a video: an annotated copy, a table of every frame, a page over time.

    Options:
        file (VIDEO): A video file.
        out (DIR): Folder for annotated.mp4, faces.csv and timeline.html. The default for talk.mp4 is ./talk-mien.
        detect_every (SECONDS): Detect faces in a whole frame this often; their boxes are interpolated in between.
        annotate: Write annotated.mp4, with boxes and predictions.
        alarm (CLASS:LIMIT): Report when a class is at least this probable: --alarm angry:0.7.
    """
    detector = detection.detector()
    predictor = load(model, threads=1, output=output, provider=provider)
    reader = FaceReader(predictor, detector, classes=classes)
    limits = _limits(alarm or (), reader.classes)
    metadata = {
        "video": str(file),
        "model": model,
        **({} if predictor.output.name is None else {"output": predictor.output.name}),
        "detector": f"{detector.name}, every {detect_every:g} s",
        **{name: fact for name, fact in environment(file).items() if name != "data"},
    }
    # A batch system or container ends it so; as after Ctrl-C, nothing half-written remains.
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        result = predict_video(
            file, out, predictor, classes=classes, detect_every_seconds=detect_every, detector=detector,
            annotate=annotate, overwrite=overwrite, metadata=metadata,
        )  # fmt: skip
    finally:
        signal.signal(signal.SIGTERM, former)
    note_left_out(reader.left_out)
    alarms = result.timeline.alarms(limits)
    if json:
        show_json({**result.to_dict(), "alarms": alarms})
        return
    _show_table(result, detector.name)
    for found in alarms:
        typer.echo("alarm: face {track}, {class}, {first_seconds:.1f} to {last_seconds:.1f} s".format(**found))
    typer.echo("\n".join(str(path) for path in result.files.values()))


def _limits(given: Iterable[str], classes: Sequence[str]) -> dict[str, float]:
    limits = {}
    for text in given:
        name, _, limit = text.rpartition(":")
        if name not in classes or name in limits or not re.fullmatch(r"0?\.\d+|0|1(\.0*)?", limit):
            message = f"--alarm needs CLASS:LIMIT, such as {classes[0]}:0.7, once a class, LIMIT in 0..1; found {text}."
            raise DataError(f"{message} Classes: {', '.join(classes)}.", code="options")
        limits[name] = float(limit)
    return limits


def _show_table(result: VideoResult, detector: str) -> None:
    timeline = result.timeline
    shown = tracks_table(longest_tracks(timeline))
    if shown.rows:
        show(rich_table(shown))
    more = f"; the {len(shown.rows)} longest are above" if len(shown.rows) < len(timeline.tracks) else ""
    faces = counted(len(timeline.tracks), "face") if timeline.tracks else "no face"
    typer.echo(f"{detector}: {faces} in {counted(timeline.frames, 'frame')} of {timeline.end_seconds:.1f} s{more}")
