"""Oracle: the changes themselves."""

import json
from types import SimpleNamespace

from mien.data.clean import Change
from mien.report.audit_page import _changes_section


def test_each_change_is_listed_with_its_row_the_first_too():
    changes = [
        Change(row=0, split="train", label="sad", kind="leak", reason="r", source="a.png"),
        Change(row=7, split="train", label="sad", to="fear", kind="copy", reason="r", source="b.png"),
    ]
    material = SimpleNamespace(changes=changes, change_counts=dict, faces=SimpleNamespace(counts_by_split=dict))
    listed = next(table for table in _changes_section(material).tables() if table.name == "list-of-changes")
    assert [(row["row"], row["to"]) for row in json.loads(listed.to_json())] == [(0, None), (7, "fear")]
    assert listed.to_csv().decode().splitlines()[1] == "0,train,sad,,leak,r,a.png"
