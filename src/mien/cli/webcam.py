"""``mien webcam``: the browser page before the camera."""

from __future__ import annotations

from typing import Annotated

import typer

from mien.cli.options import ModelOption, QuietOption, remark
from mien.errors import needs_extra


def webcam(
    model: ModelOption = "fast",
    port: Annotated[int, typer.Option(help="Port on this machine; 0 takes a free one.", min=0, max=65535)] = 8000,
    quiet: QuietOption = False,
) -> None:
    """Read the webcam in the browser: start mien serve for this machine alone, and open its page. Ctrl-C ends it.

    The page reads by itself: no picture leaves the browser.
    """
    with needs_extra("serve", "The page"):
        from mien.serve.app import create_app
        from mien.serve.server import address, available_cores, open_port, run
    import threading
    import webbrowser

    from mien.faces.find import find_detector
    from mien.inference.locate import find_model
    from mien.serve.built_page import built_page
    from mien.serve.limits import Limits

    built_page()
    limits = Limits()
    # Without a token, whatever MIEN_TOKEN says: it is for this machine alone, and a guarded page reads with fast-int8,
    # whatever the model.
    app = create_app(find_model(model), find_detector(), threads=available_cores(), limits=limits, token=None)
    listener = open_port("127.0.0.1", port)
    page = f"{address(listener)}/?webcam=1"
    remark(f"{page} reads the webcam; open it by hand if no browser comes up. Ctrl-C ends it.")
    # The port listens already: what the browser asks before the service runs waits. A browser in a terminal would hold
    # this thread up until it ends.
    threading.Thread(target=webbrowser.open, args=(page,), daemon=True).start()
    run(app, listener, limits)
