"""``mien webcam``: the browser page, reading the camera of this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from mien.cli.options import ModelOption, QuietOption
from mien.errors import needs_extra


def webcam(
    model: ModelOption = "default",
    port: Annotated[int, typer.Option(help="Port of the page; 0 takes a free one.", min=0, max=65535)] = 0,
    quiet: QuietOption = False,
) -> None:
    """Read the faces before the camera, in a page of the browser. Ctrl-C ends it.

    The page comes from this machine and everything runs in it: no picture leaves the browser.
    """
    with needs_extra("serve", "The page"):
        from mien.serve.app import create_app
        from mien.serve.server import address, available_cores, open_port, run
    import webbrowser

    from mien.faces.find import find_detector
    from mien.inference.locate import find_model
    from mien.serve.built_page import built_page
    from mien.serve.limits import Limits

    built_page()
    limits = Limits()
    app = create_app(find_model(model), find_detector(), threads=available_cores(), limits=limits)
    # A browser is trusted with the camera by pages of this machine alone, so no other machine is let in.
    listener = open_port("127.0.0.1", port)
    page = f"{address(listener)}/?webcam=1"
    # It waits in the port's queue until the service runs.
    opened = webbrowser.open(page)
    typer.echo(f"{page} is open in your browser." if opened else f"Open {page} in a browser.")
    run(app, listener, limits)
