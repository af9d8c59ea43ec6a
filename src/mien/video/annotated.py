"""The annotated copy of a video: drawn from its table when all is known, in a second pass over its frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from mien.inference.drawing import draw_predictions
from mien.progress import track
from mien.video.sound import AudioTrack
from mien.video.table import read_table
from mien.video.video_file import VideoFile
from mien.video.video_predictor import VideoPredictor
from mien.video.writer import VideoWriter


def write_annotated(path: Path, source: Path, table: Path, predictor: VideoPredictor) -> AudioTrack:
    """Copy a video with the boxes and predictions of its table. Returns its sound.

    Whether a track is a face is known at the end of a video only, and its frames do not fit into memory: so it is
    decoded a second time.

    Args:
        path: the copy, an MP4.
        source: the video.
        table: its rows, without tracks that are no face.
        predictor: made them.

    Raises:
        DataError: the video cannot be decoded.
        RunError: the copy cannot be written (``video-unwritable``).
    """
    faces = read_table(table, predictor)
    number, drawn = next(faces, (-1, {}))
    with VideoFile(source) as video, VideoWriter(path, video) as annotated:
        for frame in track(video.frames(), video.expected_frames, f"annotating {source.name}", "frames"):
            rgb = frame.rgb
            if frame.number == number:
                image = Image.fromarray(rgb)
                draw_predictions(image, list(drawn.values()), list(drawn))
                rgb = np.asarray(image, dtype=np.uint8)
                number, drawn = next(faces, (-1, {}))
            annotated.add(rgb, frame.pts)
    return annotated.sound
