"""Tables of ``mien predict --by``."""

from collections.abc import Callable, Sequence
from pathlib import Path

from mien.cli.output import notice, show, show_json
from mien.page.terminal import group_text
from mien.pipeline.groups_of_people import FirstFace, compare_groups, read_groups


def tables_by(table: Path, images: Sequence[str]) -> Callable[[Sequence[FirstFace], bool], None]:
    """Read the groups of the images from a CSV, and return a function that prints a table for each column, or JSON."""
    groups = read_groups(table, images)

    def show_tables(faces: Sequence[FirstFace], as_json: bool) -> None:
        found = {column: compare_groups(column, group_of, faces) for column, group_of in groups.items()}
        if as_json:
            show_json({column: [gap.to_dict() for gap in gaps] for column, (_, gaps) in found.items()})
            return
        for column, (rows, gaps) in found.items():
            show(group_text(rows, column, gaps))
        notice("A difference may lie in how these people look into the camera, or in the model.", "groups-unlabelled")

    return show_tables
