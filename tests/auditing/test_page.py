"""Oracle: the changes themselves."""

import json
from types import SimpleNamespace

from mien.auditing.page import _changes_section
from mien.data.clean import Change


def test_each_change_is_listed_with_its_row_the_first_too():
    changes = [
        Change(row=0, split="train", label="sad", kind="leak", reason="r", source="a.png"),
        Change(row=7, split="train", label="sad", to="fear", kind="copy", reason="r", source="b.png"),
    ]
    findings = SimpleNamespace(changes=changes, change_counts=dict, faces=SimpleNamespace(counts_by_split=dict))
    listed = next(table for table in _changes_section(findings).tables() if table.name == "list-of-changes")
    assert [(row["row"], row["to"]) for row in json.loads(listed.to_json())] == [(0, None), (7, "fear")]
    assert listed.to_csv().decode().splitlines()[1] == "0,train,sad,,leak,r,a.png"
