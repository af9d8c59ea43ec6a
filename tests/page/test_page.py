"""Oracle: html.parser reads the page; whatever a name holds, it must come back as text."""

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
        self.addresses += [value for name, value in attrs if name in {"src", "href", "xlink:href", "srcset"}]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data):
        self.text += data


def test_names_are_text_and_nothing_is_loaded_from_elsewhere(faces, tmp_path):
    chosen = faces.of_split("validation")
    names = (NASTY, *faces.classes[1:])
    probabilities = np.random.default_rng(0).dirichlet(np.ones(7), len(chosen))
    predictions = Predictions(chosen.rows, chosen.labels, probabilities, names, "validation", "")
    page = write_report(tmp_path, predictions, title=f"{NASTY}.npz", metadata={"model": NASTY}).page
    reader = Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    assert reader.text.count(NASTY) > 3, "title, metadata and tables show it as it is"
    assert not [each for each in reader.addresses if not each.startswith(("#", "data:"))]
    assert reader.addresses
    assert not reader.handlers


def test_a_percent_sign_stays_with_its_number_and_a_command_as_it_is(faces, tmp_path):
    chosen = faces.of_split("validation")
    probabilities = np.random.default_rng(0).dirichlet(np.ones(7), len(chosen))
    predictions = Predictions(chosen.rows, chosen.labels, probabilities, faces.classes, "validation", "")
    command = "mien report 'my %s' --out x"
    page = write_report(tmp_path, predictions, metadata={"command": command}).page
    reader = Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    assert command in reader.text
    assert "95% intervals" in reader.text
