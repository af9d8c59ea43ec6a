"""What nobody foresaw, once an answer has begun."""

import asyncio

import pytest

from mien.serve.refusals import AnswerDefects


def test_a_defect_after_an_answer_has_begun_sends_no_second_one():
    """Oracle: ASGI, where an answer begins once."""
    sent = []

    async def fails_halfway(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError

    async def send(message):
        sent.append(message["type"])

    with pytest.raises(ZeroDivisionError):
        asyncio.run(AnswerDefects(fails_halfway)({"type": "http"}, None, send))
    assert sent == ["http.response.start"]
