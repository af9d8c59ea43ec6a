"""``mien audit``: what is wrong with some data, before anyone believes a score."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.options import (
    DATA_HELP,
    CleanOption,
    JsonOption,
    MapOption,
    QuietOption,
    SkipBadOption,
    check_out,
    page_facts,
    remark,
    show,
    show_json,
)
from mien.cli.source import Source
from mien.errors import needs_extra

if TYPE_CHECKING:
    from mien.data.faceset import FaceSet
    from mien.evaluation.scores import Scores
    from mien.experiments.audit import Copies
    from mien.recipe import Recipe

_FOLDS = "folds"


def audit(
    path: Annotated[Path, typer.Argument(help=DATA_HELP)],
    out: Annotated[
        Path, typer.Option(help="Folder for audit.html, clean.toml, audit.json, tables/ and figures/.", metavar="DIR")
    ] = Path("audit"),
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Judge the labels too: train this recipe five times, on all but a fifth of the rows each. Takes five "
            "trainings; stopped, the same command goes on.",
            metavar="NAME",
        ),
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(
            help="Judge the labels by these scores, of a model that did not learn their rows (docs/scores.md).",
            metavar="FILE",
        ),
    ] = None,
    class_map: MapOption = None,
    skip_bad: SkipBadOption = False,
    clean: CleanOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Say what would make a score on this data wrong: copies, leaks, doubtful labels, bad pictures, shift.

    Writes a page with the faces, and clean.toml: rows that could be dropped or relabelled, to review and to give to
    any command as --clean. The data itself is never changed.
    """
    from dataclasses import replace
    from json import dumps

    from mien.data.clean import Clean, join_changes, read_clean, settled, write_clean
    from mien.data.faceset import FINGERPRINT_PX
    from mien.errors import DataError, RunError
    from mien.evaluation.scores import read_scores
    from mien.files import write_text

    if recipe is not None and scores is not None:
        raise DataError("Give --recipe, which makes scores, or --scores FILE: one of the two.")
    if not path.exists():
        raise DataError(f"{path} does not exist.")
    check_out(out, path)
    list_file = out / "clean.toml"
    if list_file.exists():
        raise RunError(
            f"{list_file} exists already and may hold somebody's review. Choose another folder with --out, or move it."
        )
    with needs_extra("audit", "The audit"):
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401
        import scipy  # noqa: F401
        import sklearn  # noqa: F401

        if recipe is not None or scores is not None:
            import cleanlab  # noqa: F401
    from threadpoolctl import threadpool_limits

    from mien.experiments.audit import audit_faces, check_audit, find_copies
    from mien.report.audit_page import PAGE, audit_tables, write_audit

    given = None if scores is None else read_scores(scores)
    judge = None if recipe is None else _judge(recipe)
    applied = None if clean is None else read_clean(clean)
    source = Source(path, class_map, skip_bad, clean)
    result = source.read()
    faces = result.faces
    check_audit(faces, given)
    if judge is not None:
        from mien.experiments.out_of_fold import check_recipe, faces_to_learn
        from mien.training.tuning import doubts

        learnt, size_px = faces, judge.input.size_px
        if size_px != FINGERPRINT_PX:
            learnt = source.read(size_px, again=True).faces
        check_recipe(judge, learnt, out / _FOLDS)
        for doubt in doubts(judge, train_faces=faces_to_learn(learnt, judge)):
            remark(f"NOTE: {doubt}")
    # Many small products: more threads wait for one another longer than they work.
    with threadpool_limits(1):
        copies = find_copies(faces)
    if judge is not None:
        given = _out_of_fold(judge, source, learnt, copies, out / _FOLDS)
        if given is None:
            remark("Stopped. The same command goes on where this one was.")
            raise typer.Exit(130)
    with threadpool_limits(1):
        material = audit_faces(faces, copies, given)
    listed = Clean(faces.fingerprint, material.changes)
    if applied is not None:
        # The list is for the data as it lies on disk, like any other: what was applied stands in it too.
        if kept := len(settled(applied, material.changes)):
            remark(f"note: the model doubts rows that {clean} decides about; they stay as it has them: {kept:,}.")
        listed = join_changes(applied, material.changes)
        material = replace(material, changes=listed.changes)
    facts = {
        "fingerprint of the data": faces.fingerprint,
        "splits": result.split_origin,
        **page_facts(source.environment()),
    }
    content = {"path": str(path), "skipped": [list(each) for each in result.skipped], **material.to_dict()}
    written = write_audit(out, material, title=f"Audit of {path.name}", facts=facts)
    write_text(out / "audit.json", dumps(content, indent=2, ensure_ascii=False) + "\n")
    write_clean(list_file, listed)
    if json:
        show_json({"page": str(out / PAGE), "list": str(list_file), **content})
        return
    show(audit_tables(material))
    remark(
        f"\npage:  {written.page} ({written.page_bytes / 1e6:.1f} MB). It shows faces of the data: mind its terms "
        f"before you pass it on.\nlist:  {list_file}, to review and then to give to any command as --clean"
    )


def _judge(name: str) -> Recipe:
    """The recipe that judges labels. Raises MissingExtraError where nothing can be trained."""
    with needs_extra("train", "Training"):
        import mien.training.loop  # noqa: F401
    from mien.recipe_file import load_recipe

    return load_recipe(name)


def _out_of_fold(recipe: Recipe, source: Source, faces: FaceSet, copies: Copies, folder: Path) -> Scores | None:
    from mien.cli.train_view import TrainView
    from mien.experiments.out_of_fold import score_out_of_fold

    return score_out_of_fold(
        recipe, faces, copies.near.groups, folder, view=TrainView, tell=remark, facts=source.environment()
    )
