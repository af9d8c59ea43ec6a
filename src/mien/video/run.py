"""Steps of ``mien video``: predict all frames, draw the predictions, and write three files."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mien.base.arrays import Pixels
from mien.base.errors import DataError, Notice, RunError, needs_extra
from mien.base.files import check_replaceable, expand_home, whole_file
from mien.base.processes import in_background
from mien.base.progress import track
from mien.faces.face import Detector
from mien.inference.drawing import draw_predictions
from mien.inference.face_reader import FaceReader
from mien.inference.output_files import FACE_COLUMNS, SCORE_COLUMN, probability_columns, write_csv
from mien.inference.prediction import Prediction
from mien.inference.predictor import Predictor
from mien.page.chart import import_page_packages
from mien.page.wording import counted
from mien.version import __version__
from mien.video.timeline import TABLE, Timeline, timeline_html
from mien.video.tracker import Tracker, track_file
from mien.video.video_file import DecodedFrame, VideoFile, VideoWriter

ANNOTATED, PAGE = "annotated.mp4", "timeline.html"


@dataclass(frozen=True)
class VideoResult:
    """The result of :func:`mien.predict_video`.

    Attributes:
        timeline: predictions for the video's faces over time.
        files: paths of the written files: ``annotated``, ``table``, ``timeline``.
        notes: notices for the user, about damage and about tracks that are not faces.
    """

    timeline: Timeline
    files: dict[str, Path]
    notes: list[Notice]
    _video: VideoFile
    _reader: FaceReader

    def to_dict(self) -> dict[str, Any]:
        """Return what ``mien video --json`` prints, without alarms."""
        video, timeline = self._video, self.timeline
        size = {"width": video.width, "height": video.height}
        return {
            "source": str(video.path),
            "video": {**size, "frames": timeline.frames, "seconds": timeline.end_seconds},
            "damaged_frames": video.damaged,
            "missing_seconds": video.missing_seconds,
            "detector": self._reader.detector.name,
            "tracks": [
                {
                    "track": track.number,
                    "first_seconds": track.first_seconds,
                    "last_seconds": track.last_seconds,
                    "frames": len(track.frames),
                    "detection_score": track.detection_score,
                    "answer": track.answer,
                    "frames_in_doubt": sum(track.doubts),
                    "frames_by_answer": {name: track.frames_by_answer[name] for name in self._reader.answers},
                    "probabilities": dict(zip(timeline.classes, track.mean.tolist(), strict=True)),
                }
                for track in timeline.tracks.values()
            ],
            "files": {what: str(path) for what, path in self.files.items()},
        }


def predict_video(
    video: str | os.PathLike[str], out: str | os.PathLike[str] | None = None,
    model: Predictor | str | os.PathLike[str] = "fast", *, classes: str | None = None,
    detect_every_seconds: float | None = None, detector: Detector | None = None, annotate: bool = True,
    overwrite: bool = False, metadata: Mapping[str, str] | None = None,
) -> VideoResult:  # fmt: skip
    """Write what ``mien video`` writes: an annotated copy, a table of every frame, a page over time.

    Args:
        video: path of a video file.
        out: folder for ``annotated.mp4``, ``faces.csv`` and ``timeline.html``: all or none; by default ``NAME-mien``.
        model: model, as in :class:`mien.Tracker`; the next three arguments are also as there.
        classes: label scheme.
        detect_every_seconds: time between two detections.
        detector: face detector.
        annotate: False leaves out the annotated copy.
        overwrite: True replaces the files of an earlier video.
        metadata: lines for the page about how it was made, instead of video, model and mien's version.

    Raises:
        DataError: no video, ``annotate`` of a pipe (``video-unreadable``), or a scheme that does not match the model.
        ModelError: see :func:`mien.load`.
        RunError: files exist already, the folder is a file (``out-path``), or writing failed.
        MissingExtraError: PyAV, matplotlib or jinja2 is not installed.
    """
    path = expand_home(video)
    # Do not write into the video's folder, which may be on a camera's memory card.
    out = expand_home(f"{path.stem}-mien" if out is None else out)
    paths = {"annotated": out / ANNOTATED, "table": out / TABLE, "timeline": out / PAGE}
    if annotate and path.is_fifo():
        message = f"{path} is a pipe, and {ANNOTATED} needs a regular file. Save it first, or add --no-annotate."
        raise DataError(message, code="video-unreadable")
    with VideoFile(path) as opened:
        tracker = Tracker(
            model,
            detector=detector,
            source=os.fspath(video),
            classes=classes,
            detect_every_seconds=detect_every_seconds,
        )
        if out.exists() and not out.is_dir():
            raise RunError(f"--out must be a folder; {out} is a file.", code="out-path")
        for file in paths.values():
            if file.exists() and file.samefile(path):
                raise RunError(f"{file} is the video itself. Choose another --out.", code="out-path")
        check_replaceable(paths.values(), overwrite)
        with needs_extra("video", "The timeline"):
            import_page_packages()
        if not annotate:
            del paths["annotated"]
        reader = tracker.reader
        timeline = Timeline(reader.classes, float(1 / opened.frame_rate), reader.detector.score_range)
        # Close the generator of frames before the video, because a thread decodes ahead.
        with closing(track_file(opened, tracker)) as frames, ExitStack() as stack:
            parts = {what: stack.enter_context(whole_file(file)) for what, file in paths.items()}
            for frame in track(frames, opened.expected_frames, f"predicting {path.name}", "frames"):
                timeline.add(frame)
            # Only now is it known which tracks are faces.
            notes = [*_notes(opened, timeline.drop_false_faces())]
            write_table(parts["table"], timeline, tracker)
            if annotate:
                notes += write_annotated(parts["annotated"], path, timeline, tracker)
            lead = f"{counted(timeline.frames, 'frame')} of {opened.width} x {opened.height} pixels in "
            lead += f"{timeline.end_seconds:.1f} s, {counted(len(timeline.tracks), 'face')}."
            name = model.manifest.full_name if isinstance(model, Predictor) else str(model)
            metadata = metadata or {"video": os.fspath(video), "model": name, "mien version": __version__}
            player = ANNOTATED if annotate else ""
            page = timeline_html(timeline, title=path.name, lead=lead, notes=notes, metadata=metadata, player=player)
            parts["timeline"].write_text(page, encoding="utf-8")
    if not annotate:
        # Remove the annotated copy of an earlier video, which would be confusing.
        (out / ANNOTATED).unlink(missing_ok=True)
    for note in notes:
        note.warn()
    return VideoResult(timeline, paths, notes, opened, reader)


def _notes(video: VideoFile, no_faces: Sequence[int]) -> Iterator[Notice]:
    path = video.path
    if video.streams > 1:
        yield Notice(f"{path} has {video.streams} video streams; only the first is used.", code="video-streams")
    if video.resized:
        words = f"{counted(video.resized, 'frame')} of {path} have another size: the annotated copy shows bars."
        yield Notice(words, code="video-sizes")
    if video.damaged:
        gap = f", and {video.gap_seconds:.1f} s between its frames are missing" if video.gap_seconds else ""
        words = f"{counted(video.damaged, 'frame')} of {path} could not be decoded completely{gap}."
        yield Notice(words, code="video-damaged")
    if video.missing_seconds:
        about = counted(round(video.missing_seconds * video.frame_rate), "frame")
        words = f"{path} is truncated: about {about} ({video.missing_seconds:.1f} s) are missing at its end."
        yield Notice(words, code="video-damaged")
    if no_faces:
        numbers = ", ".join(map(str, no_faces))
        message = f"Left out as not a face, or seen in one frame only: {counted(len(no_faces), 'track')}, {numbers}."
        yield Notice(message, code="tracks-excluded")


def write_table(table: Path, timeline: Timeline, tracker: Tracker) -> None:
    """Write a row for each frame and face, with smoothed probabilities."""
    reader = tracker.reader
    place = ("frame", "time_seconds", "track", *FACE_COLUMNS[1:], SCORE_COLUMN)
    names = (*place, *reader.fields, *probability_columns(reader.classes, reader.fields))

    def rows() -> Iterator[tuple[Any, ...]]:
        for frame, seconds in enumerate(timeline.starts_seconds):
            for number, prediction in _predictions(timeline, frame, tracker):
                said = (getattr(prediction, name) for name in (SCORE_COLUMN, *prediction.fields))
                yield frame, seconds, number, *prediction.box, *said, *prediction.probability_vector.tolist()

    with table.open("w", encoding="utf-8", newline="") as stream:
        write_csv(stream, names, rows())


def _predictions(timeline: Timeline, frame: int, tracker: Tracker) -> list[tuple[int, Prediction]]:
    make = tracker.reader.prediction
    faces = timeline.faces(frame)
    return [(each.track, make(tracker.source, each.row.astype(np.float64), None, each.face)) for each in faces]


def write_annotated(path: Path, source: Path, timeline: Timeline, tracker: Tracker) -> list[Notice]:
    """Copy a video with boxes, predictions and sound; return notices of what is left out. Raises DataError, RunError.

    Only at its end is it known which tracks are faces, and frames do not fit into memory: it is decoded again.
    """

    def annotated(frame: DecodedFrame) -> tuple[Pixels, int]:
        faces = _predictions(timeline, frame.number, tracker)
        drawn = draw_predictions(frame.rgb, [face for _, face in faces], [number for number, _ in faces])
        return (np.asarray(drawn, dtype=np.uint8) if faces else frame.rgb), frame.pts

    # Use three threads: one decodes, one draws, and this one encodes.
    with (
        VideoFile(source) as video,
        VideoWriter(path, video) as writer,
        closing(in_background(video.frames(), 2)) as decoded,
        closing(in_background(map(annotated, decoded), 2)) as frames,
    ):
        for rgb, pts in track(frames, video.expected_frames, f"annotating {source.name}", "frames"):
            writer.add(rgb, pts)
    return [
        Notice(f"{ANNOTATED} leaves out the {kind} of {source}: {', '.join(codecs)}.", code="tracks-left-out")
        for kind, codecs in writer.left_out.items()
        if codecs
    ]
