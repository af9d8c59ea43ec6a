import json
import pickle
from copy import deepcopy

import pytest

from mien.base.errors import DataError, MissingExtraError, Notice, needs_extra, without_password
from support import raises


def test_needs_extra_names_the_extra_of_a_missing_package():
    with (
        raises(MissingExtraError, "missing-extra", "Flying", "wings_of_wax", "'mien[train]'"),
        needs_extra("train", "Flying"),
    ):
        import wings_of_wax  # noqa: F401
    with pytest.raises(ModuleNotFoundError), needs_extra("train", "Flying"):
        import mien.no_such_room  # noqa: F401


def test_notices_and_errors_equal_their_sentence_and_keep_their_code():
    """Oracle: the same text as str; copies and pickles as Python makes them."""
    notice = Notice("nine samples.", code="validation-small")
    assert (notice, json.dumps(notice)) == ("nine samples.", '"nine samples."')
    assert notice.line == "note: nine samples. [validation-small]"
    for again in (pickle.loads(pickle.dumps(notice)), deepcopy(notice)):
        assert (again, again.code) == (notice, notice.code)
    error = DataError("Choose another --out,\nor --resume.", code="x")
    for each in (error, pickle.loads(pickle.dumps(error)), deepcopy(error)):
        assert (str(each), each.message, each.code) == (*["Choose another --out, or --resume."] * 2, "x")


def test_passwords_of_addresses_are_not_shown():
    shown = without_password("mien sweep x --storage postgresql+psycopg://ann:s:3@cret@host:5/db --out sqlite:///a.db")
    assert shown == "mien sweep x --storage postgresql+psycopg://ann:***@host:5/db --out sqlite:///a.db"
    assert without_password("s3://KEY:SEC/RET@bucket/a@1 failed") == "s3://KEY:***@bucket/a@1 failed"
    shown = without_password("abfs://one@host/p?client_id=a&client_secret=B%2F&sv=1 and http://127.0.0.1:9/a@b")
    assert shown == "abfs://one@host/p?client_id=a&client_secret=***&sv=1 and http://127.0.0.1:9/a@b"
    assert without_password("s3://bucket/a:b@c") == "s3://bucket/a:b@c"
