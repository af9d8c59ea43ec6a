"""``mien video``: the faces of a video, and what a model reads in them over time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.cli.options import (
    ClassesOption,
    JsonOption,
    ModelOption,
    OverwriteOption,
    QuietOption,
    ThresholdOption,
    environment,
    page_facts,
    remark,
    show,
    show_json,
)

if TYPE_CHECKING:
    from mien.experiments.video import VideoResult
    from mien.inference.clip import Clip
    from mien.inference.timeline import TrackSummary

# The defaults of inference/tracking.py and inference/video.py, which load NumPy: a test holds them equal.
HALF_LIFE_SECONDS = 0.2
DETECT_EVERY_SECONDS = 0.33

OUT_HELP = (
    "Folder for annotated.mp4, faces.csv and timeline.html; clip-mien for clip.mp4, in the current folder, by default."
)
DETECT_HELP = "How often faces are looked for in whole frames; they are followed in between."


def video(
    clip: Annotated[Path, typer.Argument(help="A video file.")],
    out: Annotated[Path | None, typer.Option(help=OUT_HELP, metavar="DIR")] = None,
    model: ModelOption = "fast",
    classes: ClassesOption = None,
    threshold: ThresholdOption = None,
    half_life: Annotated[
        float, typer.Option(help="Of the smoothing over time; 0 smooths nothing.", min=0, metavar="SECONDS")
    ] = HALF_LIFE_SECONDS,
    detect_every: Annotated[float, typer.Option(help=DETECT_HELP, min=0, metavar="SECONDS")] = DETECT_EVERY_SECONDS,
    annotate: Annotated[bool, typer.Option(help="Write annotated.mp4, the video with boxes and readings.")] = True,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Find, follow and read the faces of a video: an annotated copy, a table of every frame, a page over time."""
    from mien.experiments.video import write_video
    from mien.faces.find import find_detector
    from mien.inference.classifier import load
    from mien.inference.clip import Clip
    from mien.inference.video import VideoReader

    detector = find_detector()
    reader = VideoReader(
        load(model),
        detector,
        str(clip),
        classes=classes,
        threshold=threshold,
        half_life_seconds=half_life,
        detect_every_seconds=detect_every,
    )
    facts = {
        "video": str(clip),
        "model": model,
        "faces found by": f"{detector.name}, every {detect_every:g} s",
        "half-life of the smoothing": f"{half_life:g} s",
        **{name: fact for name, fact in page_facts(environment(clip)).items() if name != "data"},
    }
    opened = Clip(clip)
    # Not beside the clip, which may lie on a camera's card.
    folder = Path(f"{clip.stem}-mien") if out is None else out
    result = write_video(folder, opened, reader, annotate=annotate, overwrite=overwrite, facts=facts)
    for note in result.notes:
        remark(f"note: {note}")
    if json:
        show_json(_summary(opened, result, detector.name))
        return
    _show_table(result, detector.name)
    typer.echo("\n".join(str(path) for path in result.files.values()))


def _summary(clip: Clip, result: VideoResult, detector: str) -> dict[str, Any]:
    timeline = result.timeline
    return {
        "source": str(clip.path),
        "video": {
            "width": clip.width,
            "height": clip.height,
            "frames": timeline.frames,
            "seconds": timeline.end_seconds,
            "sound": result.sound,
        },
        "damaged_frames": clip.damaged,
        "missing_seconds": clip.missing_seconds,
        "time_jumps": clip.jumps,
        "detector": detector,
        "tracks": [_track(track, timeline.classes) for track in timeline.tracks.values()],
        "files": {what: str(path) for what, path in result.files.items()},
    }


def _track(track: TrackSummary, classes: tuple[str, ...]) -> dict[str, Any]:
    return {
        "track": track.number,
        "first_seconds": track.first_seconds,
        "last_seconds": track.last_seconds,
        "frames": track.frames,
        "top": track.top,
        "frames_read_as": {name: track.read_as[name] for name in classes},
        "probabilities": dict(zip(classes, track.mean.tolist(), strict=True)),
    }


def _show_table(result: VideoResult, detector: str) -> None:
    from rich.table import Table

    from mien.report.timeline_page import longest_tracks, tracks_table
    from mien.report.wording import counted

    timeline = result.timeline
    shown = tracks_table(longest_tracks(timeline))
    table = Table(box=None, pad_edge=False)
    for column in shown.columns:
        table.add_column(column.name, justify="left" if column.how == "text" else "right")
    for row in shown.rows:
        table.add_row(*(column.show(value) for column, value in zip(shown.columns, row, strict=True)))
    if shown.rows:
        show(table)
    fewer = len(timeline.tracks) - len(shown.rows)
    more = f", the {len(shown.rows)} seen longest above" if fewer else ""
    faces = counted(len(timeline.tracks), "face") if timeline.tracks else "no face"
    typer.echo(f"{detector}: {faces} in {counted(timeline.frames, 'frame')} of {timeline.end_seconds:.1f} s{more}")
