"""Steps of ``mien video``: a pass over a video that predicts, one that draws, and three files of it."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from mien.base.errors import DataError, Notice, RunError, needs_extra
from mien.base.files import check_replaceable, whole_file
from mien.base.progress import track
from mien.faces.face import Box
from mien.inference.drawing import draw_predictions
from mien.inference.output_files import FACE_COLUMNS, SCORE_COLUMN, csv_cell
from mien.inference.prediction import Prediction
from mien.page.rendering import import_page_packages
from mien.page.wording import counted
from mien.video.page import timeline_html
from mien.video.timeline import BEFORE_VECTORS, Timeline
from mien.video.tracker import Tracker, in_background, track_file
from mien.video.video_file import DecodedFrame, VideoFile
from mien.video.writer import VideoWriter

ANNOTATED, TABLE, PAGE = "annotated.mp4", "faces.csv", "timeline.html"


@dataclass(frozen=True)
class VideoResult:
    """The result of a video.

    Attributes:
        timeline: its faces over time.
        files: the written files: ``annotated``, ``table``, ``timeline``.
        notes: notices for the user: damage, and tracks that are no face.
    """

    timeline: Timeline
    files: dict[str, Path]
    notes: list[Notice]


def write_video(
    out: Path, video: VideoFile, predictor: Tracker, *, annotate: bool, overwrite: bool, metadata: Mapping[str, str]
) -> VideoResult:
    """Predict a whole video and write its files into a folder: all of them, or none.

    Args:
        out: the folder; created if it is missing.
        video: just opened; it is closed at the end.
        predictor: predicts its faces.
        annotate: also write the video with boxes and predictions, which reads it a second time.
        overwrite: replace the files of an earlier video.
        metadata: metadata for the page, such as model and command.

    Raises:
        DataError: ``annotate`` of a pipe, which can be read once only (``video-pipe``).
        RunError: files exist already, the folder is a file (``output-file``), or writing failed.
        MissingExtraError: matplotlib or jinja2 is not installed.
    """
    paths = {"annotated": out / ANNOTATED, "table": out / TABLE, "timeline": out / PAGE}
    if annotate and not video.path.is_file():
        raise DataError(
            f"{video.path} is no ordinary file, and {ANNOTATED} needs a second look at the video. Save it to a file "
            f"first, or leave the copy out with --no-annotate.",
            code="video-pipe",
        )
    _check(out, video, paths, overwrite)
    with needs_extra("video", "The timeline"):
        import_page_packages()
    if not annotate:
        del paths["annotated"]
    reader = predictor.reader
    timeline = Timeline(reader.classes, float(1 / video.frame_rate), reader.detector.score_range)
    # The frames are closed before the video: a thread decodes ahead.
    with video, closing(track_file(video, predictor)) as frames, _folder(out), ExitStack() as stack:
        parts = {what: stack.enter_context(whole_file(path)) for what, path in paths.items()}
        for frame in track(frames, video.expected_frames, f"predicting {video.path.name}", "frames"):
            timeline.add(frame)
        # Which tracks are faces is known at the end.
        no_faces = timeline.drop_what_is_no_face()
        write_table(parts["table"], timeline, predictor)
        notes = list(_notes(video, no_faces))
        # The page's charts take 0.6 s, in which the copy leaves a core idle.
        with ThreadPoolExecutor(1, "page") as pool:
            page = pool.submit(_page, timeline, video, notes, metadata, annotate)
            if annotate:
                write_annotated(parts["annotated"], video.path, timeline, predictor)
            parts["timeline"].write_text(page.result(), encoding="utf-8")
    if not annotate:
        # An earlier video's file would be mistaken for this one's.
        (out / ANNOTATED).unlink(missing_ok=True)
    return VideoResult(timeline, paths, notes)


def _notes(video: VideoFile, no_faces: Sequence[int]) -> Iterator[Notice]:
    if video.resized:
        yield Notice(
            f"{counted(video.resized, 'frame')} of {video.path} have another size than {video.width} x {video.height} "
            "pixels: boxes are in each frame's own, and the annotated copy has bars.",
            code="video-sizes",
        )
    if video.damaged:
        gap = f", and {video.gap_seconds:.1f} s between its frames are missing" if video.gap_seconds else ""
        yield Notice(
            f"{counted(video.damaged, 'frame')} of {video.path} could not be decoded completely{gap}.",
            code="video-damaged",
        )
    if video.missing_seconds:
        about = counted(round(video.missing_seconds * video.frame_rate), "frame")
        yield Notice(
            f"{video.path} is truncated: about {about} ({video.missing_seconds:.1f} s) are missing at its end.",
            code="video-truncated",
        )
    if no_faces:
        yield Notice(
            f"{counted(len(no_faces), 'track')} left out as no face, rarely detected again or taken for none by the "
            f"model: number {', '.join(map(str, no_faces))}.",
            code="tracks-excluded",
        )


def _page(
    timeline: Timeline, video: VideoFile, notes: Sequence[Notice], metadata: Mapping[str, str], annotated: bool
) -> str:
    lead = (
        f"{counted(timeline.frames, 'frame')} of {video.width} x {video.height} pixels "
        f"in {timeline.end_seconds:.1f} s, {counted(len(timeline.tracks), 'face')}."
    )
    words = {"title": video.path.name, "lead": lead, "table_name": TABLE, "player": ANNOTATED if annotated else ""}
    return timeline_html(timeline, notes=notes, metadata=metadata, **words)


def _check(out: Path, video: VideoFile, paths: Mapping[str, Path], overwrite: bool) -> None:
    """Check that no file would be replaced without consent."""
    if out.exists() and not out.is_dir():
        raise RunError(f"--out must be a folder; {out} is a file.", code="output-file")
    for path in paths.values():
        if path.exists() and path.samefile(video.path):
            raise RunError(f"{path} is the video itself. Choose another folder with --out.", code="output-is-input")
    check_replaceable(paths.values(), overwrite)


@contextmanager
def _folder(out: Path) -> Iterator[None]:
    """Remove a new folder again if the block fails."""
    is_new = not out.exists()
    try:
        yield
    except BaseException:
        if is_new:
            with suppress(OSError):
                out.rmdir()
        raise


def write_table(table: Path, timeline: Timeline, predictor: Tracker) -> None:
    """Write a row for each frame and face; its probabilities are smoothed."""
    reader = predictor.reader
    with table.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        place = ("frame", "time_seconds", "track", *FACE_COLUMNS[1:], SCORE_COLUMN)
        writer.writerow((*place, *reader.fields, *reader.classes))
        for frame, faces in timeline.by_frame():
            for track, row in faces:
                prediction = _prediction(row, predictor)
                said = (getattr(prediction, name) for name in (SCORE_COLUMN, *prediction.fields))
                values = (
                    frame,
                    timeline.starts_seconds[frame],
                    track,
                    *prediction.box,
                    *said,
                    *row[BEFORE_VECTORS:].tolist(),
                )
                writer.writerow([csv_cell(value) for value in values])


def _prediction(row: npt.NDArray[np.float32], predictor: Tracker) -> Prediction:
    """The smoothed prediction in a row of :attr:`mien.video.timeline.TrackSummary.rows`."""
    *sides, score = row[:BEFORE_VECTORS].tolist()
    vector, box = row[BEFORE_VECTORS:].astype(np.float64), Box(*map(int, sides))
    score = None if math.isnan(score) else score
    return predictor.reader.prediction(predictor.source, vector, None, box=box, detection_score=score)


def write_annotated(path: Path, source: Path, timeline: Timeline, predictor: Tracker) -> None:
    """Copy a video with the boxes and predictions of its faces, without its sound.

    Whether a track is a face is known at the end of a video only, and its frames do not fit into memory: so it is
    decoded a second time.

    Args:
        path: the copy, an MP4.
        source: the video.
        timeline: its faces, without tracks that are no face.
        predictor: followed them.

    Raises:
        DataError: the video cannot be decoded.
        RunError: the copy cannot be written (``video-unwritable``).
    """
    faces = timeline.by_frame()

    def annotated(frames: Iterable[DecodedFrame]) -> Iterator[DecodedFrame]:
        number, drawn = next(faces, (-1, []))
        for frame in frames:
            if frame.number != number:
                yield frame
                continue
            image = Image.fromarray(frame.rgb)
            draw_predictions(image, [_prediction(row, predictor) for _, row in drawn], [track for track, _ in drawn])
            yield replace(frame, rgb=np.asarray(image, dtype=np.uint8))
            number, drawn = next(faces, (-1, []))

    # Three threads: one decodes, one draws, this one encodes.
    with (
        VideoFile(source) as video,
        VideoWriter(path, video) as writer,
        closing(in_background(video.frames(), 2)) as decoded,
        closing(in_background(annotated(decoded), 2)) as frames,
    ):
        for frame in track(frames, video.expected_frames, f"annotating {source.name}", "frames"):
            writer.add(frame.rgb, frame.pts)
