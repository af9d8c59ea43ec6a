"""``mien serve``: serve a model over HTTP."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from mien.base.errors import needs_extra
from mien.base.processes import available_cores
from mien.base.progress import set_quiet
from mien.cli.detection import DetectionOptions
from mien.cli.options import ModelOption, ProviderOption
from mien.cli.output import notice
from mien.serve.limits import Limits

_DEFAULT = Limits()


def serve(
    model: ModelOption = "default",
    host: Annotated[
        str, typer.Option(help="Address to listen on. 0.0.0.0 allows other machines.", metavar="ADDRESS")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="Port to listen on. 0 chooses a free one.", min=0, max=65535, metavar="N")
    ] = 8000,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="Require the bearer token in this file. Without it, the token in MIEN_TOKEN is used, if set.",
            metavar="FILE",
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            help="Images that each process works on at the same time. The default shares the cores among --workers.",
            min=1,
            metavar="N",
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option(help="Processes that share the port. Each limit applies to each process.", min=1, metavar="N")
    ] = 1,
    provider: ProviderOption = None,
    max_bytes: Annotated[int, typer.Option(help="Largest request in bytes.", min=1, metavar="N")] = _DEFAULT.max_bytes,
    max_pixels: Annotated[
        int, typer.Option(help="Largest image in pixels.", min=1, max=100_000_000, metavar="N")
    ] = _DEFAULT.max_pixels,
    max_requests: Annotated[
        int, typer.Option(help="Requests at the same time. Further ones get status 429.", min=1, metavar="N")
    ] = _DEFAULT.max_requests,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="Also accept requests to this host name, and from web pages of this host at any port (CORS). Can be "
            "repeated. Requests to IP addresses, localhost and this machine's name are always accepted.",
            metavar="NAME",
        ),
    ] = None,
    root_path: Annotated[
        str, typer.Option(help="Prefix under which a proxy offers the service, such as /faces.", metavar="PATH")
    ] = "",
) -> None:
    """Serve a model over HTTP: POST an image to /v1/predict. On Ctrl-C or SIGTERM, open requests are finished.

    The service stores and logs no image. Without --host only this machine can reach it. For the open internet, put a
    proxy in front.
    """
    with needs_extra("serve", "The service"):
        from mien.serve.access import VARIABLE, find_token
        from mien.serve.server import address, is_local, open_port, run, run_workers

    limits = Limits(max_bytes=max_bytes, max_pixels=max_pixels, max_requests=max_requests)
    token = find_token(token_file)
    threads = threads or max(available_cores() // workers, 1)
    make_app = partial(
        _make_app,
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
        notice(
            f"any machine that reaches {address(listener)} can use this service. "
            f"Require a token with {VARIABLE} or --token-file.",
            "service-open",
        )
    notice(f"{address(listener)} is the page; /v1/predict classifies images. Try it at /docs. Press Ctrl-C to stop.")
    if workers == 1:
        run(app, listener, limits)
    else:
        run_workers(partial(make_app, in_worker=True), listener, limits, workers)


def _make_app(model: str, *, threads: int, in_worker: bool = False, **named: Any) -> Any:
    """Create the service. Workers share the cores, and print no notices because the first process did."""
    from mien.serve.app import create_app
    from mien.serve.server import silence_logs

    if in_worker:
        silence_logs()
        set_quiet(True)
    return create_app(model, detector=DetectionOptions().detector(), threads=threads, **named)
