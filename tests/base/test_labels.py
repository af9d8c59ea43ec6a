import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.base.errors import DataError
from mien.base.labels import EXPRESSIONS, SCHEMES, canonical_class, colour_of, order_classes, parse_map, parse_scheme
from support import raises


@pytest.mark.parametrize(
    ("found", "name"),
    [("Anger", "angry"), (" happiness ", "happy"), ("3_happy", "happy"), ("06-Neutral", "neutral"),
     ("Contempt", "contempt"), ("Not a Face", "not-a-face"), ("not_a_face", "not-a-face"), ("NF", "not-a-face"),
     ("Bored", "Bored")],
)  # fmt: skip
def test_synonyms(found, name):
    assert canonical_class(found) == name


@pytest.mark.parametrize("text", ["joy", "joy=", "=happy", "a=b,a=c", ""])
def test_parse_map_rejects_malformed_text(text):
    with raises(DataError, "label-scheme", "--map"):
        parse_map(text)


def test_built_in_schemes_fit_fer2013_and_merge_by_hand():
    for name, scheme in SCHEMES.items():
        assert parse_scheme(name) is scheme
        assert set(scheme.mapping(EXPRESSIONS)) - {-1} == set(range(len(scheme.classes)))
    assert SCHEMES["binary"].merge_labels(np.arange(7), EXPRESSIONS).tolist() == [0, -1, 0, 1, 0, 1, -1]
    # Oracle: by hand. happy .2 + surprise .2 against angry .1 + fear .1 + sad 0; neutral and disgust leave.
    row = np.array([[0.1, 0.3, 0.1, 0.2, 0.0, 0.2, 0.1]])
    assert SCHEMES["binary"].merge_probabilities(row, EXPRESSIONS)[0] == pytest.approx([1 / 3, 2 / 3])
    with raises(DataError, "label-scheme", "'seven'"):
        SCHEMES["seven"].mapping(["angry", "happy"])
    assert SCHEMES["binary"].mapping(SCHEMES["binary"].classes).tolist() == [0, 1], "merged already"
    assert parse_scheme("happy=sad,sad=happy").mapping(["happy", "sad"]).tolist() == [1, 0]
    scheme = parse_scheme("good=happiness+surprise,bad=sad")
    assert (scheme.classes, scheme.groups["good"]) == (("good", "bad"), ("happy", "surprise"))
    assert parse_scheme("all") is None
    assert order_classes({"zeal", "neutral", "angry", "awe"}) == ("angry", "neutral", "awe", "zeal")
    assert parse_map("joy=happy, a=0 = angry") == {"joy": "happy", "a=0": "angry"}


@pytest.mark.parametrize(("text", "code", "values"), [
    ("sevn", "label-scheme", "Did you mean 'seven'"),
    ("good=happy", "too-few-classes", "'good=happy'"),
    ("good=happy,bad=", "label-scheme", "'bad='"),
    ("a=happy,a=sad", "label-scheme", "'a'"),
    ("a=happy,b=joy", "label-scheme", "'happy'"),
])  # fmt: skip
def test_parse_scheme_rejects_bad_text(text, code, values):
    with raises(DataError, code, values):
        parse_scheme(text)


@given(st.lists(st.floats(0, 1), min_size=7, max_size=7))
def test_merged_probabilities_sum_to_one(row):
    merged = SCHEMES["binary"].merge_probabilities(np.array([row]), EXPRESSIONS)
    assert merged.sum() == pytest.approx(1)
    assert (merged >= 0).all()


CONES = {
    "all": np.eye(3),
    "no long": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no middle": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no short": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
GREYS = ("neutral", "unknown", "not-a-face")
TEMPLATES = Path(__file__).parents[2] / "src/mien/page/templates"


def linear(colour):
    """Linear light of a colour such as #8b939b, float64 (3,)."""
    encoded = np.array(list(bytes.fromhex(colour[1:]))) / 255
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    low, high = sorted(float(linear(each) @ [0.2126, 0.7152, 0.0722]) for each in (one, other))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("cones", CONES)
def test_neutral_unknown_and_no_face_differ_for_every_eye(cones):
    color = pytest.importorskip("skimage.color")

    def lab(name):
        light = np.clip(np.asarray(CONES[cones]) @ linear(colour_of(name, 0)), 0, 1)
        return color.rgb2lab(np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055))

    for one, other in combinations(GREYS, 2):
        assert color.deltaE_ciede2000(lab(one), lab(other)) > 18, (one, other)
    for one in ("unknown", "not-a-face"):
        for other in (*EXPRESSIONS, "contempt"):
            assert color.deltaE_ciede2000(lab(one), lab(other)) > 8, (one, other)


@pytest.mark.parametrize("name", GREYS)
def test_colours_contrast_with_the_page(name):
    """WCAG 2.2, 1.4.11: graphics need 3 to 1."""
    pages = re.findall(r"--page: (#\w+);", (TEMPLATES / "style.css").read_text(encoding="utf-8"))[:2]
    assert len(pages) == 2
    for page in pages:
        assert contrast(colour_of(name, 0), page.replace("#fff", "#ffffff")) >= 3, page


def test_the_browser_page_has_the_same_colours():
    source = (Path(__file__).parents[2] / "web/src/view/colours.ts").read_text(encoding="utf-8")
    named = re.findall(r'^  "?([a-z-]+)"?: "(#\w{6})",$', source, re.MULTILINE)
    assert (len(named), {name: colour_of(name, 0) for name, _ in named}) == (12, dict(named))
    others = re.search(r"OTHERS = \[(.*?)\]", source)[1]
    assert re.findall(r"#\w{6}", others) == [colour_of("of another model", index) for index in range(6)]
