"""Oracle: html.parser reads the page; whatever a name holds, it must come back as text."""

import re
from html.parser import HTMLParser

import numpy as np

from mien.evaluation.predictions import Predictions
from support import write_report

NASTY = "<img src=//x.org onerror=y()>"


class Reader(HTMLParser):
    """Addresses that the page would load or lead to, handlers, and the text."""

    def __init__(self):
        super().__init__()
        self.addresses, self.handlers, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.addresses += [value for name, value in attrs if name in {"src", "href", "xlink:href", "srcset", "action"}]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data):
        self.text += data


def test_page_escapes_names_and_loads_nothing(faces, tmp_path):
    chosen = faces.of_split("validation")
    names = (NASTY, *faces.classes[1:])
    probabilities = np.random.default_rng(0).dirichlet(np.ones(7), len(chosen))
    predictions = Predictions(chosen.rows, chosen.labels, probabilities, names, "validation", "")
    page = write_report(tmp_path, predictions, title=f"{NASTY}.npz", metadata={"model": NASTY}).page
    reader = Reader()
    text = page.read_text(encoding="utf-8")
    reader.feed(text)
    assert reader.text.count(NASTY) > 3, "title, metadata and tables show it as it is"
    assert not [each for each in reader.addresses if not each.startswith(("#", "data:"))]
    assert reader.addresses
    assert not reader.handlers
    assert "@import" not in text
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", text))
    names = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert set(re.findall(r'https?://[^\s"<]+', text)) <= names, "which no browser opens"
