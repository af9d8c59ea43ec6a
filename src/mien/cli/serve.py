"""``mien serve``: the model as a web service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.options import ModelOption, QuietOption, remark
from mien.errors import needs_extra


def serve(
    model: ModelOption = "default",
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 8000,
    token_file: Annotated[
        Path | None,
        typer.Option(help="File with the bearer token to ask for; otherwise MIEN_TOKEN, if set.", metavar="FILE"),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Pictures worked on at a time; as many as there are cores.", min=1)
    ] = None,
    max_bytes: Annotated[int, typer.Option(help="Of one request.", min=1)] = 20_000_000,
    max_pixels: Annotated[
        int, typer.Option(help="Of one picture; ten times that of all pictures of a request.", min=1, max=100_000_000)
    ] = 25_000_000,
    max_requests: Annotated[int, typer.Option(help="At a time; further ones get 429.", min=1)] = 64,
    body_seconds: Annotated[float, typer.Option(help="For a request to come in.", min=0.1, max=3600)] = 30.0,
    work_seconds: Annotated[float, typer.Option(help="For a request to be answered.", min=0.1, max=3600)] = 30.0,
    quiet: QuietOption = False,
) -> None:
    """Answer over HTTP: POST a picture to /v1/predict. Ctrl-C or SIGTERM ends it when what is under way is done.

    It stores and logs no picture. Without --host only this machine can reach it.
    """
    with needs_extra("serve", "The service"):
        from mien.serve.app import create_app
        from mien.serve.server import address, available_cores, is_local, open_port, run
    from mien.faces.find import find_detector
    from mien.inference.locate import find_model
    from mien.serve.access import VARIABLE, find_token
    from mien.serve.limits import Limits

    limits = Limits(
        max_bytes=max_bytes,
        max_pixels=max_pixels,
        max_request_pixels=10 * max_pixels,
        max_requests=max_requests,
        body_seconds=body_seconds,
        work_seconds=work_seconds,
    )
    token = find_token(token_file)
    app = create_app(
        find_model(model), find_detector(), threads=threads or available_cores(), limits=limits, token=token
    )
    listener = open_port(host, port)
    if token is None and not is_local(listener):
        remark(
            f"warning: any machine that reaches {address(listener)} may use this service. "
            f"Ask for a token with {VARIABLE} or --token-file."
        )
    remark(f"{address(listener)} reads pictures at /v1/predict; /docs says how. Ctrl-C ends it.")
    run(app, listener, limits)
