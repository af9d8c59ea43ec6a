"""The table of a video, ``faces.csv``: a row for each frame and face. The annotated copy is drawn from it."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from mien.faces.face import Box
from mien.inference.output_files import FACE_COLUMNS, FIELDS, SCORE_COLUMN, csv_cell
from mien.inference.prediction import Prediction
from mien.video.video_predictor import VideoFrame, VideoPredictor

_BEFORE_BOX = ("frame", "seconds", "track")
_PLACE = (*_BEFORE_BOX, *FACE_COLUMNS[1:], SCORE_COLUMN)


def csv_columns(classes: tuple[str, ...], fields: tuple[str, ...] = FIELDS) -> tuple[str, ...]:
    """Column names of the table: smoothed probabilities, then those of each frame alone (``raw_``)."""
    return (*_PLACE, *fields, *classes, *(f"raw_{name}" for name in classes))


def csv_rows(frame: VideoFrame) -> Iterator[list[Any]]:
    """The rows of a frame, in the order of :func:`csv_columns`."""
    for face in frame.faces:
        prediction, box = face.prediction, face.prediction.box
        assert box is not None
        said = (getattr(prediction, name) for name in (SCORE_COLUMN, *prediction.fields))
        numbers = (*prediction.probability_vector, *face.raw.probability_vector)
        probabilities = (f"{number:.6f}" for number in numbers)
        sides = (box.left, box.top, box.width, box.height)
        yield [frame.number, f"{frame.seconds:.6f}", face.track, *sides, *map(csv_cell, said), *probabilities]


def leave_out(table: Path, tracks: Collection[int]) -> None:
    """Remove the rows of tracks from the table."""
    if not tracks:
        return
    numbers = {str(number) for number in tracks}
    kept = table.with_name(f"{table.name}.kept")
    try:
        with table.open(encoding="utf-8", newline="") as rows, kept.open("w", encoding="utf-8", newline="") as stream:
            # The third column is the track; no cell before it has a comma.
            stream.writelines(row for row in rows if row.split(",", 3)[2] not in numbers)
        kept.replace(table)
    except BaseException:
        kept.unlink(missing_ok=True)
        raise


def read_table(table: Path, predictor: VideoPredictor) -> Iterator[tuple[int, dict[int, Prediction]]]:
    """The smoothed predictions in a table by track, for each frame that has a face: its number and they, in order.

    Args:
        table: as it was written with the rows of this predictor.
        predictor: made them.
    """
    left, first = len(_BEFORE_BOX), len(_PLACE) + len(predictor.fields)
    with table.open(encoding="utf-8", newline="") as stream:
        rows = csv.reader(stream)
        next(rows)
        for number, of_frame in groupby(rows, key=lambda row: int(row[0])):
            faces = {}
            for row in of_frame:
                vector = np.array(row[first : first + len(predictor.classes)], dtype=np.float64)
                box = Box(*map(int, row[left : left + 4]))
                faces[int(row[2])] = predictor.prediction(vector, None, box)
            yield number, faces
