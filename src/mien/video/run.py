"""What ``mien video`` does: a pass over a video that predicts, one that draws, and three files of it."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mien.errors import DataError, Notice, RunError, needs_extra
from mien.files import check_replaceable, whole_file
from mien.page.rendering import import_page_packages
from mien.page.wording import counted
from mien.progress import track
from mien.video.annotated import write_annotated
from mien.video.page import timeline_html
from mien.video.sound import AudioTrack
from mien.video.table import csv_columns, csv_rows, leave_out
from mien.video.timeline import Timeline
from mien.video.video_file import VideoFile
from mien.video.video_predictor import VideoPredictor, predict_frames

ANNOTATED, TABLE, PAGE = "annotated.mp4", "faces.csv", "timeline.html"

_MIN_LOST_SOUND_SECONDS = 0.1
"""Shorter losses of sound are not reported; a join of two recordings costs a packet or two, about 0.05 s."""


@dataclass(frozen=True)
class VideoResult:
    """The result of a video.

    Attributes:
        timeline: its faces over time.
        files: the written files: ``annotated``, ``table``, ``timeline``.
        sound: codec of the copied sound; None without sound, or if it was left out.
        notes: notices for the user: damage, jumping timestamps, sound that was left out.
    """

    timeline: Timeline
    files: dict[str, Path]
    sound: str | None
    notes: list[Notice]


def write_video(
    out: Path,
    video: VideoFile,
    predictor: VideoPredictor,
    *,
    annotate: bool,
    overwrite: bool,
    metadata: Mapping[str, str],
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
    _check(out, video, paths, overwrite)
    with needs_extra("video", "The timeline"):
        import_page_packages()
    if not annotate:
        del paths["annotated"]
    timeline = Timeline(predictor.classes, float(1 / video.frame_rate), predictor.score_range)
    frames = track(predict_frames(video, predictor), video.expected_frames, f"predicting {video.path.name}", "frames")
    with video, _folder(out), ExitStack() as stack:
        parts = {what: stack.enter_context(whole_file(path)) for what, path in paths.items()}
        with parts["table"].open("w", encoding="utf-8", newline="") as stream:
            table = csv.writer(stream, lineterminator="\n")
            table.writerow(csv_columns(predictor.classes, predictor.fields))
            for frame in frames:
                timeline.add(frame)
                table.writerows(csv_rows(frame))
        no_faces = timeline.drop_what_is_no_face()
        leave_out(parts["table"], no_faces)
        sound = write_annotated(parts["annotated"], video.path, parts["table"], predictor) if annotate else None
        notes = list(_notes(video, sound, len(no_faces)))
        parts["timeline"].write_text(_page(timeline, video, notes, metadata), encoding="utf-8")
    if not annotate:
        # An earlier video's file would be mistaken for this one's.
        (out / ANNOTATED).unlink(missing_ok=True)
    return VideoResult(timeline, paths, None if sound is None else sound.codec, notes)


def _notes(video: VideoFile, sound: AudioTrack | None, no_faces: int) -> Iterator[Notice]:
    if video.damaged:
        yield Notice(
            f"{counted(video.damaged, 'frame')} of {video.path} could not be decoded completely.",
            code="video-damaged",
        )
    if video.missing_seconds:
        about = counted(round(video.missing_seconds * video.frame_rate), "frame")
        yield Notice(
            f"{video.path} is truncated: about {about} ({video.missing_seconds:.1f} s) are missing at its end.",
            code="video-truncated",
        )
    if video.jumps:
        often = "once" if video.jumps == 1 else f"{video.jumps:,} times"
        yield Notice(
            f"The timestamps of {video.path} restart {often}, as in joined recordings: each part is placed right "
            f"after the previous one.",
            code="video-joined",
        )
    if sound is not None and video.has_sound and sound.codec is None:
        yield Notice(f"The sound is left out of {ANNOTATED}: MP4 does not support its codec.", code="sound-codec")
    elif sound is not None and sound.lost_seconds >= _MIN_LOST_SOUND_SECONDS:
        yield Notice(
            f"{sound.lost_seconds:.1f} s of the sound are left out of {ANNOTATED}: they could not be copied.",
            code="sound-incomplete",
        )
    if no_faces:
        yield Notice(
            f"{counted(no_faces, 'track')} left out as no face: rarely detected again, or taken for none by the model.",
            code="tracks-excluded",
        )


def _page(timeline: Timeline, video: VideoFile, notes: Sequence[Notice], metadata: Mapping[str, str]) -> str:
    lead = (
        f"{counted(timeline.frames, 'frame')} of {video.width} x {video.height} pixels "
        f"in {timeline.end_seconds:.1f} s, {counted(len(timeline.tracks), 'face')}."
    )
    return timeline_html(timeline, title=video.path.name, lead=lead, notes=notes, table_name=TABLE, metadata=metadata)


def _check(out: Path, video: VideoFile, paths: Mapping[str, Path], overwrite: bool) -> None:
    """Check that the video can be read as often as needed, and that no file would be replaced without consent."""
    if "annotated" in paths and not video.path.is_file():
        raise DataError(
            f"{video.path} is no ordinary file, and {ANNOTATED} needs a second look at the video. Save it to a file "
            f"first, or leave the copy out with --no-annotate.",
            code="video-pipe",
        )
    if out.exists() and not out.is_dir():
        raise RunError(f"--out must be a folder; {out} is a file.", code="output-file")
    for path in paths.values():
        if path.exists() and not path.is_file():
            raise RunError(
                f"{path} exists and is not a file. Choose another folder with --out.", code="output-not-a-file"
            )
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
