import pytest

from mien.errors import (
    DataError,
    MienError,
    MissingExtraError,
    ModelError,
    RecipeError,
    RunError,
    TrainingError,
    nearest,
    needs_extra,
)


def test_all_errors_share_one_root():
    for kind in (DataError, RecipeError, ModelError, RunError, TrainingError, MissingExtraError):
        assert issubclass(kind, MienError)


def test_a_missing_package_names_its_extra():
    with (
        pytest.raises(MissingExtraError, match=r"Flying needs the package wings_of_wax.*'mien\[train\]'"),
        needs_extra("train", "Flying"),
    ):
        import wings_of_wax  # noqa: F401


def test_a_missing_module_of_our_own_is_a_bug_and_shows_as_one():
    with pytest.raises(ModuleNotFoundError), needs_extra("train", "Flying"):
        import mien.no_such_room  # noqa: F401


def test_nearest_suggests_or_lists():
    assert nearest("anger", ["angry", "happy"]) == " Did you mean 'angry'?"
    assert nearest("xyz", ["b", "a"]) == " Known: a, b."
