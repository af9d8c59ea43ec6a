"""Tests of the page look at its charts."""

import pytest


@pytest.fixture(autouse=True)
def _charts(files_of_charts): ...
