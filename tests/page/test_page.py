"""Oracle: html.parser reads the page; whatever a name holds, it must come back as text."""

import re

import numpy as np

from mien.evaluation.predictions import Predictions
from support import HtmlPage, write_report

NASTY = "<img src=//x.org onerror=y()>"


def test_page_escapes_names_and_loads_nothing(faces, tmp_path):
    chosen = faces.of_split("validation")
    names = (NASTY, *faces.classes[1:])
    probabilities = np.random.default_rng(0).dirichlet(np.ones(7), len(chosen))
    predictions = Predictions(chosen.rows, chosen.labels, probabilities, names, "validation", "")
    page = write_report(tmp_path, predictions, title=f"{NASTY}.npz", metadata={"model": NASTY}).page
    text = page.read_text(encoding="utf-8")
    read = HtmlPage(text)
    assert read.words.count(NASTY) > 3, "title, metadata and tables show it as it is"
    loading = {"src", "href", "xlink:href", "srcset", "action"}
    addresses = [value for name, value in read.attributes if name in loading]
    assert addresses
    assert all(each.startswith(("#", "data:")) for each in addresses)
    assert not any(name.startswith("on") for name, _ in read.attributes)
    assert "@import" not in text
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", text))
    names = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert set(re.findall(r'https?://[^\s"<]+', text)) <= names, "which no browser opens"
