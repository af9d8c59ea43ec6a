"""``mien label``: people vote on faces in a local page; then their votes are merged into a data set."""

from pathlib import Path

import typer

from mien.api.label import doubtful_first, merge_votes, relative_images
from mien.base.errors import DataError, needs_extra
from mien.cli.options import Port
from mien.cli.output import notice, show_json
from mien.cli.usage import leave_out
from mien.data.ballots import ballot_file, check_answers, read_ballot
from mien.inference.predictor import load


def label(
    faces: Path,
    *,
    name: str | None = None,
    merge: bool = False,
    votes: Path = Path("votes"),
    answers: str | None = None,
    model: str = "default",
    port: Port = 0,
    json: bool = False,
) -> None:
    """Vote on the expressions of faces with the keys 1 to 9 and 0, in a page on this machine.

    Nobody sees the votes of others or of the model. Faces that the model doubts most come first; one in ten comes
    twice. --merge writes all people's votes as a table for mien train and mien audit, and prints how well they agree.

    Options:
        faces (FOLDER): A folder of face crops.
        name (NAME): The voter; the file is NAME.csv.
        merge: Merge all votes into labels.csv.
        votes (DIR): The folder of the vote files, one for each person.
        answers (NAMES): 2 to 10 answers instead of FER+'s, with commas between.
        port (N): Port on this machine. 0 chooses a free one.
    """
    if merge == (name is not None):
        raise DataError("Give either --name NAME to vote, or --merge.", code="options")
    if merge:
        leave_out("--merge opens no page", {"--model": model != "default", "--port": bool(port)})
        result = merge_votes(votes, faces, check_answers(answers))
        if json:
            show_json(result.to_dict())
        else:
            typer.echo(str(result))
        return
    assert name is not None
    leave_out("The page prints no table", {"--json": json})
    if votes.is_file():
        raise DataError(f"{votes} is a file; --votes must name a folder.", code="out-is-file")
    ballot, classes = ballot_file(votes, name), check_answers(answers)
    images = relative_images(faces)
    read_ballot(ballot, images, classes)  # raise an error for votes on another folder before the model runs
    with needs_extra("serve", "The page"):
        from mien.serve.label_app import create_label_app
        from mien.serve.limits import Limits
        from mien.serve.server import address, open_port, run

    order = doubtful_first(images, faces, load(model), lambda _, error: notice(f"skipped: {error}"))
    app = create_label_app(faces, order, ballot, classes)
    listener = open_port("127.0.0.1", port)
    page = address(listener)
    notice(f"{page} asks {name} about {len(order):,} faces; votes go to {ballot}. Press Ctrl-C to stop.")
    run(app, listener, Limits(), page)
