"""The page of ``mien label``: one person votes on faces without seeing other votes or the model's answers."""

import threading
from collections.abc import Sequence
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import BaseModel
from starlette.staticfiles import StaticFiles

from mien.base.labels import FERPLUS_CLASSES
from mien.data.ballots import Vote, next_image, read_ballot, write_ballot
from mien.serve.access import CheckOrigin
from mien.serve.pages import HEADERS, AddHeaders

PAGE = Path(__file__).parent / "label_page"


class Question(BaseModel):
    """Next image that the page asks about, with its number in the folder; None if all images have a vote."""

    person: str
    image: str | None
    number: int
    votes: int
    left: int
    answers: tuple[str, ...] = FERPLUS_CLASSES


class Answer(BaseModel):
    """A vote, and how many votes the page knows of, so that an outdated page cannot vote twice."""

    image: str
    answer: str
    votes: int


def create_label_app(folder: Path, images: Sequence[str], ballot: Path) -> FastAPI:
    """Make the page for one person, who votes on the images (paths in the folder) in this order.

    The ballot file is continued if it exists. Raises as :func:`mien.data.ballots.read_ballot`.
    """
    votes, lock, numbers = read_ballot(ballot, images), threading.Lock(), {name: at for at, name in enumerate(images)}
    app = FastAPI(title="mien label", docs_url=None, redoc_url=None, openapi_url=None)

    def question() -> Question:
        image = next_image(images, votes, ballot.stem)
        left = len(images) - len({vote.image for vote in votes})
        return Question(
            person=ballot.stem, image=image, number=-1 if image is None else numbers[image], votes=len(votes), left=left
        )

    @app.get("/next")
    def following() -> Question:
        with lock:
            return question()

    @app.post("/vote", response_model=None)
    def vote(given: Answer) -> Question | Response:
        with lock:
            expected = question()
            if given.image != expected.image or given.votes != len(votes) or given.answer not in FERPLUS_CLASSES:
                return JSONResponse({"error": "another page has voted; reload this page"}, 409)
            write_ballot(ballot, [*votes, Vote(given.image, given.answer)])
            votes.append(Vote(given.image, given.answer))
            return question()

    @app.post("/undo")
    def undo() -> Question:
        with lock:
            if votes:
                write_ballot(ballot, votes[:-1])
                votes.pop()
            return question()

    @app.get("/image/{number}")
    def image(number: int) -> Response:
        return FileResponse(folder / images[number]) if 0 <= number < len(images) else Response(status_code=404)

    app.mount("/", StaticFiles(directory=PAGE, html=True))
    app.add_middleware(AddHeaders, headers=HEADERS)
    app.add_middleware(CheckOrigin)
    return app
