"""Commands that serve pages and models: the service, the webcam's page, the voting page, static files."""

from functools import partial
from pathlib import Path

import typer

import mien
from mien.api.label import doubtful_first, relative_images
from mien.base.errors import DataError, needs_extra
from mien.base.processes import available_cores
from mien.base.run_folder import find_model
from mien.cli.main import Subcommands
from mien.cli.options import Port, Positive
from mien.cli.output import leave_out, notice, show_json
from mien.data.ballots import ballot_file, check_answers, read_ballot
from mien.inference.predictor import load
from mien.serve.built_page import FAST_MODEL, PAGE_MODEL, built_page, copy_page
from mien.serve.limits import Limits

_DEFAULT = Limits()
web = Subcommands("Build the browser page.")


def serve(
    *,
    model: str = "default",
    host: str = "127.0.0.1",
    port: Port = 8000,
    token_file: Path | None = None,
    threads: Positive | None = None,
    workers: Positive = 1,
    provider: str | None = None,
    max_bytes: Positive = _DEFAULT.max_bytes,
    max_pixels: Positive = _DEFAULT.max_pixels,
    max_requests: Positive = _DEFAULT.max_requests,
    allow_host: list[str] | None = None,
    root_path: str = "",
) -> None:
    """Serve a model over HTTP: POST an image to /v1/predict. On Ctrl-C or SIGTERM, open requests are finished.

    The service stores and logs no image. Without --host only this machine can reach it. For the open internet, put a
    proxy in front.

    Options:
        host (ADDRESS): Address to listen on. 0.0.0.0 allows other machines.
        port (N): Port to listen on. 0 chooses a free one.
        token_file (FILE): Require the bearer token in this file. Without it, the token in MIEN_TOKEN is used, if set.
        threads (N): Images that each process works on at the same time. The default shares the cores among --workers.
        workers (N): Processes that share the port. Each limit applies to each process.
        max_bytes (N): Largest request in bytes.
        max_pixels (N): Largest image in pixels, at most 100,000,000.
        max_requests (N): Requests at the same time. Further ones get status 429.
        allow_host (NAME): Also accept requests to this host name, and from web pages of this host at any port (CORS).
            Requests to IP addresses, localhost and this machine's name are always accepted.
        root_path (PATH): Prefix under which a proxy offers the service, such as /faces.
    """
    with needs_extra("serve", "The service"):
        from mien.serve.access import VARIABLE, find_token
        from mien.serve.app import create_app
        from mien.serve.server import address, is_local, open_port, run, run_workers

    limits = Limits(max_bytes=max_bytes, max_pixels=max_pixels, max_requests=max_requests)
    token = find_token(token_file)
    threads = threads or max(available_cores() // workers, 1)
    make_app = partial(
        create_app,
        model,
        threads=threads,
        limits=limits,
        token=token,
        hosts=allow_host or (),
        provider=provider,
        root_path=root_path,
    )
    app = make_app()
    listener = open_port(host, port)
    if token is None and not is_local(listener):
        words = f"any machine that reaches {address(listener)} can use this service. Token: {VARIABLE} or --token-file."
        notice(words, "service-open")
    notice(f"{address(listener)}/ is a page; /v1/predict classifies images, /docs describes it. Press Ctrl-C to stop.")
    if workers == 1:
        run(app, listener, limits)
    else:
        run_workers(make_app, listener, limits, workers)


def webcam(*, model: str = PAGE_MODEL, port: Port = 8000) -> None:
    """Classify your webcam's images in the browser. This starts mien serve for this machine and opens its page.

    The model runs in the page: no image leaves the browser. Ctrl-C stops the service.

    Options:
        port (N): Port on this machine. 0 chooses a free one.
    """
    with needs_extra("serve", "The page"):
        from mien.serve.app import create_app
        from mien.serve.server import address, open_port, run

    built_page()
    limits = Limits()
    # Ignore MIEN_TOKEN. No token: the service is for this machine only, and with one the page uses its own model.
    app = create_app(model, limits=limits)
    listener = open_port("127.0.0.1", port)
    page = f"{address(listener)}/?webcam=1"
    notice(f"{page} shows the webcam; open it yourself if no browser starts. Press Ctrl-C to stop.")
    run(app, listener, limits, page)


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
        result = mien.merge_votes(votes, faces, check_answers(answers))
        show_json(result.to_dict()) if json else typer.echo(str(result))
        return
    assert name is not None
    leave_out("The page prints no table", {"--json": json})
    if votes.is_file():
        raise DataError(f"{votes} is a file; --votes must name a folder.", code="out-path")
    ballot, classes = ballot_file(votes, name), check_answers(answers)
    images = relative_images(faces)
    read_ballot(ballot, images, classes)  # raise an error for votes on another folder before the model runs
    with needs_extra("serve", "The page"):
        from mien.serve.label_app import create_label_app
        from mien.serve.server import address, open_port, run

    order = doubtful_first(images, faces, load(model), lambda _, error: notice(f"skipped: {error}"))
    app = create_label_app(faces, order, ballot, classes)
    listener = open_port("127.0.0.1", port)
    page = address(listener)
    notice(f"{page} asks {name} about {len(order):,} faces; votes go to {ballot}. Press Ctrl-C to stop.")
    run(app, listener, Limits(), page)


@web.command("build", short_help="Copy the browser page and models to a folder.")
def build(folder: Path, *, model: list[str] | None = None, overwrite: bool = False) -> None:
    """Copy the browser page and models to a folder that any web host can serve.

    The page opens with the first model. Without --model they are default, and fast for slow devices.

    Options:
        folder (DIR): The folder. It is created if it does not exist; its other files are kept.
    """
    names = model or [PAGE_MODEL, FAST_MODEL]
    files = copy_page(folder, [find_model(name) for name in names], overwrite=overwrite)
    size = sum(file.stat().st_size for file in files)
    notice(f"{folder}: {len(files)} files, {size / 1e6:.1f} MB, with {', '.join(names)}")
