"""How commands end that make a network from trained ones: exported, evaluated, shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mien.artifact import read_manifest
from mien.cli.output import notice, show, show_json
from mien.data.dataset import Dataset
from mien.page.metrics_tables import evaluation_text, votes_text
from mien.pipeline.split_predictions import unfitted_notice
from mien.run_folder import RunFolder


def finish_and_show(run: RunFolder, faces: Dataset, metadata: Mapping[str, Any], *, json: bool, made: str) -> None:
    """Export and evaluate a run whose weights exist, and print the evaluation; ``made`` describes the network."""
    from mien.pipeline.training_run import finish_run

    finish = finish_run(run, faces, metadata)
    unfitted = unfitted_notice(read_manifest(run.model).output(), faces)
    if unfitted is not None:
        notice(unfitted.line)
    if json:
        votes = {} if finish.votes is None else {"votes": finish.votes.to_dict()}
        show_json({"run": str(run.path), **finish.evaluation.to_dict(), **votes})
        return
    show(evaluation_text(finish.evaluation))
    if finish.votes is not None:
        show(votes_text(finish.votes))
    notice(
        f"Written to {run.path}: {made}. Outputs of model.onnx and torch differ by at most "
        f"{finish.parity.largest_difference:.1g}."
    )
