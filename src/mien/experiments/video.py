"""What ``mien video`` does: one pass over a video, and three files of it."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.errors import RunError, needs_extra
from mien.files import check_replaceable, whole_file
from mien.inference.answer_files import FACE_COLUMNS
from mien.inference.clip import Clip
from mien.inference.clip_sound import ClipSound
from mien.inference.clip_writer import ClipWriter
from mien.inference.drawing import draw_readings
from mien.inference.timeline import Timeline
from mien.inference.video import VideoFrame, VideoReader, read_video
from mien.progress import track
from mien.report.timeline_page import timeline_html
from mien.report.wording import counted

ANNOTATED, TABLE, PAGE = "annotated.mp4", "faces.csv", "timeline.html"

_HEARD_SECONDS = 0.1
"""Sound that is lost is told of from here up; a seam costs a packet or two, a twentieth of a second."""


@dataclass(frozen=True)
class VideoResult:
    """What came of a video.

    Attributes:
        timeline: its faces over time.
        files: what was written, by what it is.
        sound: the codec of the sound that was copied; None where there is none, or it was left out.
        notes: what a user must know: damage, times that jump, sound left out.
    """

    timeline: Timeline
    files: dict[str, Path]
    sound: str | None
    notes: list[str]


def write_video(
    out: Path, clip: Clip, reader: VideoReader, *, annotate: bool, overwrite: bool, facts: Mapping[str, str]
) -> VideoResult:
    """Read a whole clip and write its files into a folder: all of them, or none.

    Args:
        out: the folder; made where it is missing.
        clip: just opened; is closed once there is nothing to refuse.
        reader: what reads its faces.
        annotate: write the video with boxes and readings, too.
        overwrite: replace the files of an earlier video.
        facts: what the page says of where it comes from.

    Raises:
        RunError: files are there already, the folder is a file, the file system refused.
        MissingExtraError: matplotlib or jinja2 is not installed.
    """
    paths = {"annotated": out / ANNOTATED, "table": out / TABLE, "timeline": out / PAGE}
    _check(out, clip, paths, overwrite)
    with needs_extra("video", "The timeline"):
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401
    if not annotate:
        del paths["annotated"]
    timeline = Timeline(reader.classes, float(1 / clip.frame_rate))
    frames = track(read_video(clip, reader), clip.expected_frames, f"reading {clip.path.name}", "frames")
    with clip, _folder(out), ExitStack() as stack:
        parts = {what: stack.enter_context(whole_file(path)) for what, path in paths.items()}
        with (
            parts["table"].open("w", encoding="utf-8", newline="") as stream,
            ClipWriter(parts["annotated"], clip) if annotate else nullcontext() as annotated,
        ):
            table = csv.writer(stream, lineterminator="\n")
            table.writerow(csv_columns(reader.classes))
            for frame in frames:
                timeline.add(frame)
                table.writerows(_rows(frame))
                if annotated is not None:
                    annotated.add(_with_readings(frame), frame.pts)
        sound = None if annotated is None else annotated.sound
        notes = _notes(clip, sound)
        parts["timeline"].write_text(_page(timeline, clip, notes, facts), encoding="utf-8")
    if not annotate:
        # An earlier video's would pass for this one's.
        (out / ANNOTATED).unlink(missing_ok=True)
    return VideoResult(timeline, paths, None if sound is None else sound.codec, notes)


def csv_columns(classes: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the table's columns; the smoothed probabilities, then those of each frame alone."""
    raw = (f"raw_{name}" for name in classes)
    return ("frame", "seconds", "track", *FACE_COLUMNS[1:], "top", "confidence", *classes, *raw)


def _rows(frame: VideoFrame) -> Iterator[list[Any]]:
    for face in frame.faces:
        reading, box = face.reading, face.reading.box
        assert box is not None
        numbers = (reading.confidence, *reading.scores, *face.raw.scores)
        confidence, *scores = (f"{number:.6f}" for number in numbers)
        place = (box.left, box.top, box.width, box.height)
        yield [frame.number, f"{frame.seconds:.6f}", face.track, *place, reading.top, confidence, *scores]


def _with_readings(frame: VideoFrame) -> npt.NDArray[np.uint8]:
    from PIL import Image

    if not frame.faces:
        return frame.rgb
    picture = Image.fromarray(frame.rgb)
    draw_readings(picture, [face.reading for face in frame.faces], [face.track for face in frame.faces])
    return np.asarray(picture, dtype=np.uint8)


def _notes(clip: Clip, sound: ClipSound | None) -> list[str]:
    notes = []
    if clip.damaged:
        notes.append(f"{counted(clip.damaged, 'frame')} of {clip.path} could not be decoded, or not wholly.")
    if clip.missing_seconds:
        about = counted(round(clip.missing_seconds * clip.frame_rate), "frame")
        notes.append(f"{clip.path} is cut off: about {about} ({clip.missing_seconds:.1f} s) are missing at its end.")
    if clip.jumps:
        often = "once" if clip.jumps == 1 else f"{clip.jumps:,} times"
        notes.append(
            f"The times of {clip.path} begin anew {often}, as where recordings are joined end to end: "
            f"what follows is placed right after what comes before."
        )
    if sound is not None and clip.has_sound and sound.codec is None:
        notes.append(f"The sound is left out of {ANNOTATED}: an MP4 cannot hold it as it is.")
    elif sound is not None and sound.lost_seconds >= _HEARD_SECONDS:
        notes.append(f"{sound.lost_seconds:.1f} s of the sound are left out of {ANNOTATED}: they could not be copied.")
    return notes


def _page(timeline: Timeline, clip: Clip, notes: list[str], facts: Mapping[str, str]) -> str:
    lead = (
        f"{counted(timeline.frames, 'frame')} of {clip.width} x {clip.height} pixels in {timeline.end_seconds:.1f} s, "
        f"{counted(len(timeline.tracks), 'face')}."
    )
    return timeline_html(timeline, title=clip.path.name, lead=lead, notes=notes, table_name=TABLE, facts=facts)


def _check(out: Path, clip: Clip, paths: Mapping[str, Path], overwrite: bool) -> None:
    """Refuse a place that holds what must not be replaced. Raises :class:`RunError`."""
    if out.exists() and not out.is_dir():
        raise RunError(f"--out must name a folder; {out} is a file.")
    for path in paths.values():
        if path.exists() and not path.is_file():
            raise RunError(f"{path} is no file, and in the way of one. Choose another folder with --out.")
        if path.exists() and path.samefile(clip.path):
            raise RunError(f"{path} is the video itself. Choose another folder with --out.")
    check_replaceable(paths.values(), overwrite)


@contextmanager
def _folder(out: Path) -> Iterator[None]:
    """Take a folder that is made inside away again where nothing came of it."""
    is_new = not out.exists()
    try:
        yield
    except BaseException:
        if is_new:
            with suppress(OSError):
                out.rmdir()
        raise
