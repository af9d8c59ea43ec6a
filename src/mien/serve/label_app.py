"""The page of ``mien label``: one person votes on faces without seeing other votes or the model's answers."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from fastapi import Body, FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from PIL import Image
from pydantic import BaseModel
from starlette.staticfiles import StaticFiles

from mien.base.errors import MienError
from mien.base.images import encoded, open_image
from mien.base.labels import FERPLUS_CLASSES
from mien.base.preprocess import upright_rgb
from mien.data.ballots import Vote, next_image, read_ballot, write_ballot
from mien.serve.access import CheckOrigin
from mien.serve.pages import HEADERS, AddHeaders

PAGE = Path(__file__).parent / "label_page"
SHOWN = {".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp", ".avif"}  # by every browser; others are sent as PNG


class Question(BaseModel):
    """Next image that the page asks about, with its number in the folder; None if all images have a vote."""

    person: str
    image: str | None
    number: int
    votes: int
    left: int
    answers: tuple[str, ...]


class Answer(BaseModel):
    """A vote, and how many votes the page knows of, so that an outdated page cannot vote twice."""

    image: str
    answer: str
    votes: int


def create_label_app(
    folder: Path, images: Sequence[str], ballot: Path, answers: Sequence[str] = FERPLUS_CLASSES
) -> FastAPI:
    """Make the page for one person's votes on images in the folder, in order; each answer rereads the ballot file."""
    lock, app = threading.Lock(), FastAPI(title="mien label", docs_url=None, redoc_url=None, openapi_url=None)

    def question(votes: Sequence[Vote]) -> Question:
        image = next_image(images, votes, ballot.stem)
        number, left = -1 if image is None else images.index(image), len(images) - len({vote.image for vote in votes})
        return Question(
            person=ballot.stem, image=image, number=number, votes=len(votes), left=left, answers=tuple(answers)
        )

    @app.get("/next")
    def following() -> Question:
        with lock:
            return question(read_ballot(ballot, images, answers))

    @app.post("/vote", response_model=None)
    def vote(given: Answer) -> Question | Response:
        with lock:
            votes = read_ballot(ballot, images, answers)
            if (given.image, given.votes) != (question(votes).image, len(votes)) or given.answer not in answers:
                return JSONResponse(question(votes).model_dump(), 409)
            write_ballot(ballot, votes := [*votes, Vote(given.image, given.answer)])
            return question(votes)

    @app.post("/undo", response_model=None)
    def undo(votes: Annotated[int, Body(embed=True)]) -> Question | Response:
        with lock:
            if votes != len(known := read_ballot(ballot, images, answers)):
                return JSONResponse(question(known).model_dump(), 409)
            if known:
                write_ballot(ballot, known := known[:-1])
            return question(known)

    @app.get("/image/{number}")
    def image(number: int) -> Response:
        if not (0 <= number < len(images) and (file := folder / images[number]).is_file()):
            return Response(status_code=404)
        if file.suffix.lower() in SHOWN:
            return FileResponse(file)
        return Response(encoded(Image.fromarray(upright_rgb(open_image(file)))), media_type="image/png")

    @app.exception_handler(MienError)
    def failed(_: Request, error: MienError) -> Response:
        return JSONResponse({"error": str(error)}, 409)

    app.mount("/", StaticFiles(directory=PAGE, html=True))
    app.add_middleware(AddHeaders, headers=HEADERS)
    app.add_middleware(CheckOrigin)
    return app
