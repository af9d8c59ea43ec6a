"""How the commands end that make a network from trained ones: exported, measured, shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mien.cli.options import remark, show, show_json

if TYPE_CHECKING:
    from mien.data.faceset import FaceSet
    from mien.run_folder import RunFolder


def finish_and_show(run: RunFolder, faces: FaceSet, facts: Mapping[str, Any], *, json: bool, made: str) -> None:
    """Finish a run whose weights stand, and print its evaluation as JSON or as a table; ``made`` says what it is."""
    from mien.experiments.run import finish_run
    from mien.report.table import evaluation_table

    finish = finish_run(run, faces, facts)
    if json:
        show_json({"run": str(run.path), **finish.evaluation.to_dict()})
        return
    show(evaluation_table(finish.evaluation))
    remark(f"{run.path}: {made}; model.onnx agrees with torch to {finish.parity.largest_difference:.1g}.")
