"""Oracles: tomllib reads what was written; rows taken out by hand."""

import tomllib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mien.data.clean import Change, Clean, apply_clean, check_made_for, read_clean, write_clean
from mien.errors import DataError

TO = 'to = "sad", '
LINE = '{{row = {row}, split = "{split}", label = "{label}", {to}kind = "{kind}", reason = "r", source = "s"}}'


def change(faces, at, to=None, kind="copy", **other):
    values = {
        "row": int(faces.rows[at]),
        "split": str(faces.split[at]),
        "label": faces.classes[faces.labels[at]],
        "to": to,
        "kind": kind,
        "reason": "because",
        "source": str(faces.source[at]),
    }
    return Change(**{**values, **other})


@given(reason=st.text(), source=st.text(st.characters(categories=None)), label=st.text())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read(tmp_path, reason, source, label):
    path = tmp_path / "clean.toml"
    wanted = Change(row=3, split="train", label=label, to="happy", kind="conflict", reason=reason, source="s")
    gone = Change(row=4, split="test", label="x", kind="blank", reason="", source=source)
    write_clean(path, Clean("sha256:1", (gone, wanted)))
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    assert [line["row"] for line in content["drop"]] == [4]
    try:
        (label + reason).encode()
    except UnicodeEncodeError:
        return
    found = read_clean(path)
    assert found.data_fingerprint == "sha256:1"
    assert found.changes[1] == wanted


def test_dropped_and_relabelled_rows(faces):
    drop, turn = np.flatnonzero(faces.split == "train")[:2]
    other = next(name for name in faces.classes if name != faces.classes[faces.labels[turn]])
    clean = Clean(faces.fingerprint, (change(faces, drop), change(faces, turn, to=other)))
    found = apply_clean(faces, clean)
    assert found.rows.tolist() == [row for row in faces.rows.tolist() if row != faces.rows[drop]]
    labels = dict(zip(faces.rows.tolist(), faces.labels.tolist(), strict=True))
    labels[int(faces.rows[turn])] = faces.classes.index(other)
    assert found.labels.tolist() == [labels[row] for row in found.rows.tolist()]
    assert faces.rows[drop] in faces.rows, "what went in is as it was"
    for name in ("images", "split", "source"):
        kept = getattr(faces, name)[faces.rows != faces.rows[drop]]
        assert np.array_equal(getattr(found, name), kept)


def test_the_fingerprint_is_that_of_data_and_changes_at_every_size(faces):
    small = faces.subset(np.arange(len(faces))).with_fingerprint(faces.fingerprint)
    clean = Clean(faces.fingerprint, (change(faces, 0), change(faces, 1)))
    turned = Clean(faces.fingerprint, clean.changes[::-1])
    prints = {apply_clean(each, of).fingerprint for each in (faces, small) for of in (clean, turned)}
    assert len(prints) == 1
    assert prints != {faces.fingerprint}
    assert apply_clean(faces, Clean(faces.fingerprint, (change(faces, 0),))).fingerprint not in prints


def test_other_data_is_refused(faces):
    with pytest.raises(DataError, match=r"was made for data sha256:0.*found sha256:"):
        check_made_for(Clean("sha256:0", ()), faces, "clean.toml")
    check_made_for(Clean(faces.fingerprint, ()), faces, "clean.toml")


def test_lists_that_do_not_fit_the_rows(faces):
    for bad, words in (
        (change(faces, 0, row=10**6), "which the data does not have"),
        (change(faces, 0, label="bored"), "as bored of"),
        (change(faces, 0, to="bored", kind="conflict"), "no class 'bored'"),
    ):
        with pytest.raises(DataError, match=words):
            apply_clean(faces, Clean(faces.fingerprint, (bad,)))
    with pytest.raises(DataError, match="drops every row"):
        apply_clean(faces, Clean(faces.fingerprint, tuple(change(faces, at) for at in range(len(faces)))))


def line(row=1, split="train", label="happy", to="", kind="copy"):
    return LINE.format(row=row, split=split, label=label, to=to, kind=kind)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nonsense", "cannot be read as TOML"),
        ("version = 1", "data_fingerprint: field required"),
        ('version = 2\ndata_fingerprint = "x"', "has version 2; this mien reads version 1"),
        ('version = 1\ndata_fingerprint = "x"\ncolour = 3', "colour: extra inputs"),
        ('version = 1\ndata_fingerprint = "x"\ndrop = [{row = "a"}]', "drop.0"),
        ("{drop}".replace("{drop}", f"drop = [{line()}, {line()}]"), "row 1 stands there twice"),
        (f"drop = [{line(kind='coppy')}]", "no kind 'coppy'. Did you mean 'copy'"),
        (f"drop = [{line(split='trian')}]", "no split 'trian'"),
        (f"relabel = [{line()}]", "needs the class it gets"),
        (f"drop = [{line(to=TO)}]", "has none"),
        (f"drop = [{line(split='validation', kind='doubt')}]", "row of validation that only a model"),
        (
            f"relabel = [{line(split='test', to=TO, kind='doubt')}]",
            "row of test that",
        ),
    ],
)
def test_what_is_wrong_with_a_list_is_one_line(text, words, tmp_path):
    path = tmp_path / "clean.toml"
    head = "" if "version" in text or text == "nonsense" else 'version = 1\ndata_fingerprint = "x"\n'
    path.write_text(head + text)
    with pytest.raises(DataError) as caught:
        read_clean(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_list(tmp_path):
    with pytest.raises(DataError, match=r"does not exist\. mien audit"):
        read_clean(tmp_path / "none.toml")
