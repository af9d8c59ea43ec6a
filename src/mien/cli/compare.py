"""``mien compare``: which of several models is better on the same faces, and was it luck? Works without torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.cli.options import (
    CleanOption,
    DataIfAnyOption,
    JsonOption,
    MapOption,
    QuietOption,
    SkipBadOption,
    SplitOfScoresOption,
    check_page_out,
    page_facts,
    remark,
    show,
    show_json,
)
from mien.cli.source import environment_of, source_if_any

if TYPE_CHECKING:
    from mien.report.sections.comparison import Contest


def compare(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Run folders, or what mien evaluate --out DIR wrote; the first is compared with.", metavar="DIR..."
        ),
    ] = None,
    scores: Annotated[
        list[Path] | None,
        typer.Option(help="A scores file, of anybody's model. May be given several times.", metavar="FILE"),
    ] = None,
    split: SplitOfScoresOption = None,
    shared_rows: Annotated[
        bool, typer.Option("--shared-rows", help="Compare on the rows that all have, and say how many are left out.")
    ] = False,
    data: DataIfAnyOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Write report.html, figures/ and tables/ into this folder.", metavar="OUT"),
    ] = None,
    class_map: MapOption = None,
    skip_bad: SkipBadOption = False,
    clean: CleanOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Compare models on the same rows: paired bootstrap, McNemar's test, each class's difference.

    Every other model is compared with the first, whatever size each sees. --data shows faces on the page of --out.
    """
    from mien.errors import DataError
    from mien.evaluation.scores import read_scores
    from mien.experiments.compare import compare_all, keep_shared_rows, remarks_on, with_subsets, write_comparison
    from mien.experiments.matching import find_scores

    if data is not None and out is None:
        raise DataError("--data shows faces on a page, which needs --out OUT.")
    if split is not None and not folders:
        raise DataError("--split chooses among the scores of each DIR; --scores FILE is of one split already.")
    source = source_if_any(data, class_map, skip_bad, clean)
    check_page_out(out, data)
    files = [(str(folder), find_scores(folder, split)) for folder in folders or ()]
    files += [(str(file), file) for file in scores or ()]
    named = [(name, read_scores(file)) for name, file in files]
    rows = {}
    if shared_rows and len(named) > 1:
        named, rows["rows"] = keep_shared_rows(named)
    contests = compare_all(named)
    # Once each: the first model is in every contest.
    notes = list(dict.fromkeys(words for contest in contests for words in remarks_on(contest)))
    for words in (*rows.values(), *notes):
        remark(f"note: {words}.")
    if out is not None:
        faces = None
        if source is not None:
            result = source.read()
            faces = result.faces
            contests = with_subsets(contests, faces, result.uncleaned)
        written = write_comparison(
            out,
            contests,
            faces=faces,
            facts={**rows, **({"answers": "; ".join(notes)} if notes else {}), **page_facts(environment_of(source))},
        )
        remark(f"report: {written.page}")
    if json:
        show_json([_content(each) for each in contests])
        return
    for each in contests:
        _show(each)


def _content(contest: Contest) -> dict[str, Any]:
    from mien.experiments.compare import remarks_on

    content = {"first": contest.first, "second": contest.second, **contest.comparison.to_dict()}
    if notes := remarks_on(contest):
        content["answers"] = "; ".join(notes)
    if contest.subsets:
        content["subsets"] = [{"first": a.to_dict(), "second": b.to_dict()} for a, b in contest.subsets]
    return content


def _show(contest: Contest) -> None:
    from mien.report.printed import printed
    from mien.report.sections.comparison import comparison_table
    from mien.report.wording import p_text

    test = contest.comparison.mcnemar
    typer.echo(f"{contest.second} against {contest.first}, {contest.comparison.rows:,} rows")
    show(printed(comparison_table(contest)))
    typer.echo(
        f"only the first right: {test.only_first:,}; only the second: {test.only_second:,}; "
        f"both wrong: {len(contest.comparison.both_wrong):,}; McNemar ({test.method}): {p_text(test.p_value)}\n"
    )
