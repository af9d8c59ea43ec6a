"""``mien webcam``: show the webcam in the browser page."""

from mien.base.errors import needs_extra
from mien.cli.options import Port
from mien.cli.output import notice
from mien.serve.built_page import PAGE_MODEL, built_page
from mien.serve.limits import Limits


def webcam(
    *,
    model: str = PAGE_MODEL,
    port: Port = 8000,
) -> None:
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
