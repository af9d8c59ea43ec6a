"""Oracle: html.parser reads the page; whatever a name holds, it must come back as text."""

from html.parser import HTMLParser

import numpy as np

from mien.evaluation.scores import Scores
from mien.experiments.full_report import write_full_report

NASTY = "<img src=//x.org onerror=y()>"


class Reader(HTMLParser):
    """Addresses that the page would load or lead to, handlers, names of elements, and the text."""

    def __init__(self):
        super().__init__()
        self.addresses, self.handlers, self.elements, self.text = [], [], set(), ""

    def handle_starttag(self, tag, attrs):
        self.elements.add(tag)
        self.addresses += [value for name, value in attrs if name in {"src", "href", "xlink:href", "srcset"}]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data):
        self.text += data


def test_names_are_text_and_nothing_is_loaded_from_elsewhere(faces, tmp_path):
    chosen = faces.of_split("validation")
    names = (NASTY, *faces.classes[1:])
    probabilities = np.random.default_rng(0).dirichlet(np.ones(7), len(chosen))
    scores = Scores(chosen.rows, chosen.labels, probabilities, names, "validation", "")
    page = write_full_report(tmp_path, scores, title=f"{NASTY}.npz", facts={"model": NASTY}, resamples=20).page
    reader = Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    assert reader.text.count(NASTY) > 3, "title, facts and tables show it as it is"
    assert not [each for each in reader.addresses if not each.startswith(("#", "data:"))]
    assert reader.addresses
    assert not reader.handlers
    assert "script" not in reader.elements


def test_a_percent_sign_stays_with_its_number_and_a_command_as_it_is(faces, tmp_path):
    chosen = faces.of_split("validation")
    probabilities = np.random.default_rng(0).dirichlet(np.ones(7), len(chosen))
    scores = Scores(chosen.rows, chosen.labels, probabilities, faces.classes, "validation", "")
    command = "mien report 'my %s' --level 0.9"
    page = write_full_report(tmp_path, scores, title="t", facts={"command": command}, resamples=20).page
    reader = Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    assert command in reader.text
    assert "90\N{NO-BREAK SPACE}% of all faces" in reader.text
