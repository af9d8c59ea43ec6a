"""The page of ``mien label``: one person votes on faces without seeing other votes or the model's answers."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from fastapi import Body, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from PIL import Image
from starlette.staticfiles import StaticFiles

from mien.base.errors import MienError
from mien.base.images import encoded, open_image
from mien.base.labels import FERPLUS_CLASSES
from mien.base.preprocess import upright_rgb
from mien.data.ballots import Vote, next_image, read_ballot, write_ballot
from mien.serve.access import CheckOrigin
from mien.serve.pages import HEADERS, AddHeaders

PAGE = Path(__file__).parent / "label_page"


def create_label_app(
    folder: Path, images: Sequence[str], ballot: Path, answers: Sequence[str] = FERPLUS_CLASSES
) -> FastAPI:
    """Make the page for one person's votes on images in the folder, in order; each answer rereads the ballot file."""
    lock, app = threading.Lock(), FastAPI(title="mien label", docs_url=None, redoc_url=None, openapi_url=None)

    def question(votes: Sequence[Vote], status: int = 200) -> Response:
        """Answer with the next image and its number in the folder; None and -1 if all images have a vote."""
        image, done = next_image(images, votes, ballot.stem), {vote.image for vote in votes}
        number = -1 if image is None else images.index(image)
        about = {"person": ballot.stem, "votes": len(votes), "left": len(images) - len(done), "answers": [*answers]}
        return JSONResponse({"image": image, "number": number, **about}, status)

    @app.get("/next")
    def following() -> Response:
        with lock:
            return question(read_ballot(ballot, images, answers))

    # The page says how many votes it knows of, so that an outdated one cannot vote or undo twice.
    @app.post("/vote")
    def vote(image: Annotated[str, Body()], answer: Annotated[str, Body()], votes: Annotated[int, Body()]) -> Response:
        with lock:
            known = read_ballot(ballot, images, answers)
            if (image, votes) != (next_image(images, known, ballot.stem), len(known)) or answer not in answers:
                return question(known, 409)
            write_ballot(ballot, known := [*known, Vote(image, answer)])
            return question(known)

    @app.post("/undo")
    def undo(votes: Annotated[int, Body(embed=True)]) -> Response:
        with lock:
            if votes != len(known := read_ballot(ballot, images, answers)):
                return question(known, 409)
            if known:
                write_ballot(ballot, known := known[:-1])
            return question(known)

    @app.get("/image/{number}")
    def image(number: int) -> Response:
        if not (0 <= number < len(images) and (file := folder / images[number]).is_file()):
            return Response(status_code=404)
        return Response(encoded(Image.fromarray(upright_rgb(open_image(file)))), media_type="image/png")

    @app.exception_handler(MienError)
    def failed(_: Request, error: MienError) -> Response:
        return JSONResponse({"error": str(error)}, 409)

    app.mount("/", StaticFiles(directory=PAGE, html=True))
    app.add_middleware(AddHeaders, headers=HEADERS)
    app.add_middleware(CheckOrigin)
    return app
