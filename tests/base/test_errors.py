import json
import pickle
from copy import deepcopy

import pytest

from mien.base.errors import (
    DataError,
    MissingExtraError,
    Notice,
    arg,
    as_options,
    nearest,
    needs_extra,
    without_password,
)
from support import raises


def test_a_missing_package_names_its_extra():
    with (
        raises(MissingExtraError, "missing-extra", "Flying", "wings_of_wax", "'mien[train]'"),
        needs_extra("train", "Flying"),
    ):
        import wings_of_wax  # noqa: F401


def test_a_missing_module_of_our_own_is_a_bug_and_shows_as_one():
    with pytest.raises(ModuleNotFoundError), needs_extra("train", "Flying"):
        import mien.no_such_room  # noqa: F401


def test_nearest_suggests_or_lists():
    assert nearest("anger", ["angry", "happy"]) == " Did you mean 'angry'?"
    assert nearest("xyz", ["b", "a"]) == " Known: a, b."
    assert nearest("xyz", []) == " Known: none."


def test_a_notice_is_its_sentence_and_keeps_its_code():
    """Oracle: the same text as str; copies and pickles as Python makes them."""
    notice = Notice("nine samples.", code="validation-small")
    assert notice == "nine samples."
    assert json.dumps(notice) == '"nine samples."'
    assert notice.line == "note: nine samples. [validation-small]"
    for again in (pickle.loads(pickle.dumps(notice)), deepcopy(notice)):
        assert (again, again.code) == (notice, notice.code)


@pytest.mark.parametrize("make", [DataError, lambda words: Notice(words, code="x")])
def test_python_reads_arguments_and_the_command_line_options(make):
    """Oracle: the two sentences, however Python makes text of the message."""
    said = make(f"Give {arg('out')}, or {arg('resume', True)}.")
    assert {str(said), f"{said}", f"{said!s}"} == {"Give out, or resume=True."}
    assert "Give out, or resume=True." in repr([said])
    around = make(f"first: {said.raw}")
    for again in (around, pickle.loads(pickle.dumps(around)), deepcopy(around)):
        assert (str(again), as_options(again.raw)) == (f"first: {said}", "first: Give --out, or --resume.")


def test_a_line_of_a_notice_is_worded_by_the_command_line():
    line = Notice(f"Try {arg('find_lr')}.", code="x").line
    assert (str(line), as_options(line)) == ("note: Try find_lr. [x]", "note: Try --find-lr. [x]")


def test_passwords_of_addresses_are_not_shown():
    shown = without_password("mien sweep x --storage postgresql+psycopg://ann:s:3@cret@host:5/db --out sqlite:///a.db")
    assert shown == "mien sweep x --storage postgresql+psycopg://ann:***@host:5/db --out sqlite:///a.db"
    assert without_password("s3://KEY:SEC/RET@bucket/a@1 failed") == "s3://KEY:***@bucket/a@1 failed"
    shown = without_password("abfs://one@host/p?client_id=a&client_secret=B%2F&sv=1 and http://127.0.0.1:9/a@b")
    assert shown == "abfs://one@host/p?client_id=a&client_secret=***&sv=1 and http://127.0.0.1:9/a@b"
    assert without_password("s3://bucket/a:b@c") == "s3://bucket/a:b@c"
