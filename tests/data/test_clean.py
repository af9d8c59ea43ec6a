"""Oracles: tomllib reads what was written; rows taken out by hand."""

import tomllib
from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mien.base.errors import DataError
from mien.base.files import plain
from mien.data.clean import Change, Clean, apply_clean, read_clean, write_clean
from support import raises


def change(faces, at, to=None, kind="copy", **other):
    of_face = {"row": int(faces.rows[at]), "split": str(faces.split[at]), "source": str(faces.source[at])}
    values = {"label": faces.classes[faces.labels[at]], "to": to, "kind": kind, "reason": "because"}
    return Change(**{**of_face, **values, **other})


@given(reason=st.text(), source=st.text(st.characters(categories=None)), label=st.text())
@example(reason="", source="caf\udce9.png", label="")
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_read_clean_reads_what_write_clean_wrote(tmp_path, reason, source, label):
    path = tmp_path / "clean.toml"
    wanted = Change(row=3, split="train", label=label, to="happy", kind="conflict", reason=reason, source="s")
    gone = Change(row=4, split="test", label="x", kind="blank", reason="", source=source)
    write_clean(path, Clean("sha256:1", (gone, wanted)))
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    assert [(line["row"], line["source"]) for line in content["drop"]] == [(4, plain(source))]
    found = read_clean(path)
    assert (found.data_fingerprint, found.changes[1]) == ("sha256:1", wanted)


def test_apply_clean_drops_and_relabels_rows(faces):
    drop, turn = np.flatnonzero(faces.split == "train")[:2]
    other = next(name for name in faces.classes if name != faces.classes[faces.labels[turn]])
    found = apply_clean(faces, Clean(faces.fingerprint, (change(faces, drop), change(faces, turn, to=other))))
    assert found.rows.tolist() == [row for row in faces.rows.tolist() if row != faces.rows[drop]]
    labels = dict(zip(faces.rows.tolist(), faces.labels.tolist(), strict=True))
    labels[int(faces.rows[turn])] = faces.classes.index(other)
    assert found.labels.tolist() == [labels[row] for row in found.rows.tolist()]
    assert faces.rows[drop] in faces.rows, "what went in is as it was"
    for name in ("images", "split", "source"):
        assert np.array_equal(getattr(found, name), getattr(faces, name)[faces.rows != faces.rows[drop]])
    train = faces.of_split("train")
    with raises(DataError, "data-differs", "sha256:0"):
        apply_clean(train, Clean("sha256:0", ()))
    with raises(DataError, "clean"):
        apply_clean(train, Clean(train.fingerprint, tuple(change(train, at) for at in range(len(train)))))
    small = faces.subset(np.arange(len(faces))).with_fingerprints(faces.fingerprint, faces.fingerprint_without_test)
    first, second = np.flatnonzero(faces.split == "train")[:2]
    clean = Clean(faces.fingerprint, (change(faces, first), change(faces, second)))
    turned = Clean(faces.fingerprint, clean.changes[::-1])
    prints = {apply_clean(each, of).fingerprint for each in (faces, small) for of in (clean, turned)}
    assert len(prints) == 1
    assert prints != {faces.fingerprint}
    assert apply_clean(faces, Clean(faces.fingerprint, (change(faces, first),))).fingerprint not in prints


def measured(faces):
    """The faces, and positions: validation has a blank one, and one that train and, with another label, test have."""
    train, validation, test = (np.flatnonzero(faces.split == split)[:3] for split in ("train", "validation", "test"))
    images, labels = np.asarray(faces.images).copy(), faces.labels.copy()
    images[validation[0]] = 90
    images[validation[1]] = images[test[0]] = images[train[0]]
    labels[validation[1]] = labels[train[0]] = (labels[test[0]] + 1) % len(faces.classes)
    images[validation[2]] = images[train[1]]
    labels[validation[2]] = labels[train[1]]
    return replace(faces, images=images, labels=labels), validation, test


def test_apply_clean_needs_proof_for_validation_and_test(faces):
    faces, (blank, disputed, copied), test = measured(faces)
    kinds = ((blank, "blank"), (disputed, "conflict"), (test[0], "conflict"))
    proved = tuple(change(faces, at, kind=kind) for at, kind in kinds)
    assert len(apply_clean(faces, Clean(faces.fingerprint, proved))) == len(faces) - 3
    for at, kind, code in (
        (copied, "conflict", "clean-unproved"),
        (test[1], "conflict", "clean-unproved"),
        (copied, "blank", "clean-unproved"),
        (copied, "copy", "clean-unproved"),
        (test[1], "no-face", "clean-unproved"),
        (test[1], "doubt", "clean-unproved"),
        (copied, "leak", "clean-unproved"),
    ):
        with raises(DataError, code):
            apply_clean(faces, Clean(faces.fingerprint, (*proved, change(faces, at, kind=kind))))
    with raises(DataError, "clean-unproved"):
        apply_clean(faces, Clean(faces.fingerprint, (change(faces, disputed, to="happy", kind="conflict"),)))


def test_apply_clean_keeps_the_training_fingerprint_for_test_rows(faces):
    faces, _, test = measured(replace(faces, rows=faces.rows + 1000))
    before = faces.fingerprint, faces.fingerprint_without_test
    assert before[0] != before[1]
    of_test = change(faces, test[0], kind="conflict")
    of_train = change(faces, np.flatnonzero(faces.split == "train")[5])

    def left(*changes):
        cleaned = apply_clean(faces, Clean(faces.fingerprint, changes))
        assert cleaned.cleaned_from == before
        return cleaned.fingerprint, cleaned.fingerprint_without_test

    assert left() == before
    assert left(of_test)[0] != before[0]
    learnt = {"data_fingerprint": before[1], "cleaned_from": []}
    without_test = faces.subset(np.flatnonzero(faces.split != "test"))
    for data, changes in ((faces, []), (faces, [of_test]), (without_test, [])):
        assert apply_clean(data, Clean(data.fingerprint, tuple(changes))).provenance == learnt
    first, second = (apply_clean(data, Clean(data.fingerprint, (of_train,))) for data in (faces, without_test))
    assert (first.provenance, first.provenance["cleaned_from"]) == (second.provenance, [before[1]])
    again = apply_clean(first, Clean(first.fingerprint, (change(first, 3),)))
    assert again.provenance["cleaned_from"] == [before[1], first.fingerprint_without_test]
    assert left(of_test)[1] == before[1]
    assert left(of_train)[1] not in before
    assert left(of_train)[1] == left(of_train, of_test)[1]
    assert left(of_train)[0] != left(of_train, of_test)[0]


def test_apply_clean_proves_changes_at_the_original_size(faces):
    """At another size two images may differ that were alike; they count as they were when the list was made."""
    faces, (_, disputed, _), _ = measured(faces)
    images = np.asarray(faces.images).copy()
    images[disputed, 0, 0] ^= 255
    larger = replace(faces, images=images).with_fingerprints(faces.fingerprint, faces.fingerprint_without_test)
    clean = Clean(faces.fingerprint, (change(faces, disputed, kind="conflict"),))
    with raises(DataError, "clean-unproved"):
        apply_clean(larger, clean)
    assert len(apply_clean(larger, clean, faces)) == len(faces) - 1
