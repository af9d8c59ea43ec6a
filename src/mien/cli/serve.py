"""``mien serve``: serve a model over HTTP."""

from functools import partial
from pathlib import Path
from typing import Annotated

from mien.base.errors import needs_extra
from mien.base.processes import available_cores
from mien.cli.options import Port, Positive, Range
from mien.cli.output import notice
from mien.serve.limits import Limits

_DEFAULT = Limits()


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
    max_pixels: Annotated[int, Range(1, 100_000_000)] = _DEFAULT.max_pixels,
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
        max_pixels (N): Largest image in pixels.
        max_requests (N): Requests at the same time. Further ones get status 429.
        allow_host (NAME): Also accept requests to this host name, and from web pages of this host at any port (CORS).
            Can be repeated. Requests to IP addresses, localhost and this machine's name are always accepted.
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
