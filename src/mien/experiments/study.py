"""A study as a typed, strict value: recipes, seeds, what is compared with what. ``studies/*.toml`` come with mien."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mien.errors import DataError, RecipeError, StudyError, nearest, sentence
from mien.evaluation.figures import check_figure
from mien.labels import parse_scheme
from mien.recipe import Recipe
from mien.recipe_file import load_recipe, parse_toml, toml_value, tuned

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Seeds = Annotated[tuple[Seed, ...], Field(min_length=1)]

OWN_KEYS = ("name", "seed")
"""Keys of a recipe that the study sets itself."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Variant(_Strict):
    """One row of the table: a recipe that is trained once a seed, or another row's scores, merged after training."""

    name: Name
    title: str = ""
    recipe: str = Field(default="", description="a recipe's name; the study's own by default")
    set: dict[str, Any] = Field(
        default={},
        description="keys of the recipe that differ, e.g. {optim.lr = 0.01}; a model that is named is replaced whole",
    )
    seeds: Seeds | None = Field(default=None, description="the study's own by default")
    start: str = Field(default="", alias="from", description="begin with the weights of this variant, seed by seed")
    after: str = Field(default="", description="not trained: the scores of this variant, merged into `classes`")
    classes: str = Field(default="", description="with `after`: the label scheme to merge into")
    published: dict[str, float] = Field(default={}, description="what the study's authors found, figure by figure")
    note: str = Field(default="", description="a sentence for the page")
    optional: bool = Field(
        default=False, description="left out, with a line, where its pretrained weights or its extra are not at hand"
    )


class Comparison(_Strict):
    """Variants that are set against one of them on the rows that all have scores of."""

    title: str
    variants: Annotated[tuple[str, ...], Field(min_length=2)]
    baseline: str
    classes: str = Field(default="", description="a label scheme into which the scores are merged first")


class Study(_Strict):
    """Recipes over seeds, told as one table. Merged rows and comparisons are computed from stored scores."""

    name: Name
    title: str
    question: str = ""
    recipe: str
    seeds: Seeds = (0,)
    figures: Annotated[tuple[str, ...], Field(min_length=1)] = ("accuracy", "macro_f1", "macro_auc")
    variants: Annotated[tuple[Variant, ...], Field(min_length=1)]
    comparisons: tuple[Comparison, ...] = ()

    @model_validator(mode="after")
    def _hangs_together(self) -> Study:
        self._check_that_all_differ()
        self._check_figures_and_schemes()
        for number, variant in enumerate(self.variants):
            self._check_variant(variant, above=[each.name for each in self.variants[:number]])
        for comparison in self.comparisons:
            self._check_comparison(comparison)
        return self

    def _check_that_all_differ(self) -> None:
        for what, several in (
            ("variants are called", [variant.name for variant in self.variants]),
            ("figures are called", self.figures),
            ("seeds are", self.seeds),
            *(("seeds are", variant.seeds or ()) for variant in self.variants),
        ):
            twice = next((each for each in several if list(several).count(each) > 1), None)
            if twice is not None:
                raise ValueError(f"two {what} '{twice}'")

    def _check_figures_and_schemes(self) -> None:
        try:
            for figure in (*self.figures, *(figure for variant in self.variants for figure in variant.published)):
                check_figure(figure)
            for scheme in [each.classes for each in self.variants] + [each.classes for each in self.comparisons]:
                parse_scheme(scheme or "all")
        except DataError as error:
            raise ValueError(str(error)) from None

    def _check_variant(self, variant: Variant, above: Sequence[str]) -> None:
        who = f"the variant '{variant.name}'"
        for other, word in ((variant.start, "from"), (variant.after, "after")):
            # A variant follows what it is made from, so that the list can be run from the top.
            if other and other not in above:
                raise ValueError(f"{who} has {word} = '{other}', which is no variant above it")
        own = next((key for key in variant.set if key in OWN_KEYS), None)
        if own is not None:
            raise ValueError(f"{who} sets '{own}', which the study sets itself")
        unseen = next((each for each in variant.published if each not in self.figures), None)
        if unseen is not None:
            raise ValueError(f"{who} has a published '{unseen}', which is not in figures")
        if bool(variant.after) != bool(variant.classes):
            raise ValueError(f"{who} needs both 'after' and 'classes', or neither")
        if variant.after and (variant.recipe or variant.set or variant.start or variant.seeds):
            raise ValueError(f"{who} is not trained: 'after' and 'classes' say all of it")
        if variant.after and self.variant(variant.after).after:
            raise ValueError(f"{who} merges '{variant.after}', which is merged itself")

    def _check_comparison(self, comparison: Comparison) -> None:
        who, names = f"the comparison '{comparison.title}'", [variant.name for variant in self.variants]
        for name in (*comparison.variants, comparison.baseline):
            if name not in names:
                raise ValueError(f"{who} names '{name}', which is no variant")
        if comparison.baseline not in comparison.variants:
            raise ValueError(f"{who} has the baseline '{comparison.baseline}', which is not in it")

    def variant(self, name: str) -> Variant:
        """The variant of that name. Raises :class:`StudyError` where there is none."""
        for variant in self.variants:
            if variant.name == name:
                return variant
        raise StudyError(
            f"The study '{self.name}' has no variant '{name}'." + nearest(name, [each.name for each in self.variants])
        )

    def seeds_of(self, variant: Variant) -> tuple[int, ...]:
        """The seeds of a variant: its own, those of what it merges, or the study's."""
        return self.seeds_of(self.variant(variant.after)) if variant.after else variant.seeds or self.seeds

    def recipe_of(self, variant: Variant, seed: int, changes: Sequence[str] = ()) -> Recipe:
        """The recipe of one run.

        Args:
            variant: one that is trained.
            seed: which run.
            changes: ``key=value`` on top of what the variant sets, as in :func:`mien.recipe_file.load_recipe`;
                ``variant:key=value`` is for one variant alone.

        Raises:
            RecipeError: an unknown key or an impossible value.
            StudyError: a change of what the study sets itself, or for a variant that it has not.
        """
        given, (for_all, for_one) = changes, self._changes_of(variant, changes)
        changes = [*for_all, *for_one]
        for change in changes:
            if change.partition("=")[0].strip() in OWN_KEYS:
                raise StudyError(f"--set {change}: a study sets this itself; its seeds stand in its file.")
        own = [f"{key}={toml_value(value)}" for key, value in _dotted(variant.set).items()]
        title = f"name={json.dumps(f'{self.name}-{variant.name}')}"
        recipe = load_recipe(variant.recipe or self.recipe, [*own, *changes, title, f"seed={seed}"])
        if variant.start:
            recipe = tuned(recipe, self.recipe_of(self.variant(variant.start), seed, given), [*own, *for_one])
        return recipe

    def _changes_of(self, variant: Variant, changes: Sequence[str]) -> tuple[list[str], list[str]]:
        """Those for all variants, and those for this one."""
        for_all: list[str] = []
        for_one: list[str] = []
        for change in changes:
            key, equals, value = change.partition("=")
            name, colon, own_key = key.partition(":")
            if not colon:
                for_all.append(change)
                continue
            meant = self.variant(name.strip())
            if meant.after:
                raise StudyError(f"--set {change}: '{meant.name}' is not trained but merged from '{meant.after}'.")
            if meant == variant:
                for_one.append(f"{own_key}{equals}{value}")
        return for_all, for_one


def _dotted(values: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Tables as dotted keys, ``{"optim": {"lr": 1}}`` -> ``{"optim.lr": 1}``, so that what they leave out stays.

    A ``model`` with a name stays a table: another network has other settings.
    """
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{above}{key}"
        whole = not isinstance(value, dict) or (name == "model" and "name" in value)
        flat |= {name: value} if whole else _dotted(value, f"{name}.")
    return flat


def study_names() -> list[str]:
    """Names of the studies that come with mien."""
    folder = resources.files("mien") / "studies"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load_study(name: str) -> Study:
    """Load a study by name or from a ``.toml`` file, and check every recipe in it.

    Raises:
        StudyError: no such study, not TOML, an unknown key, or variants that clash.
        RecipeError: a variant sets what recipes do not have.
    """
    if name.endswith(".toml") or "/" in name:
        try:
            text = Path(name).read_text(encoding="utf-8-sig")
            folder = Path(name).parent
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise StudyError(f"The study {name} cannot be read: {reason}.") from None
    elif name in study_names():
        folder = Path()
        text = (resources.files("mien") / "studies" / f"{name}.toml").read_text(encoding="utf-8")
    else:
        raise StudyError(f"There is no study '{name}'." + nearest(name, study_names()))
    return parse_study(text, name, folder)


def parse_study(text: str, origin: str, folder: Path = Path()) -> Study:
    """Check a study's TOML text.

    Args:
        text: TOML.
        origin: named in errors.
        folder: that recipes' files are relative to.

    Raises:
        StudyError, RecipeError: as :func:`load_study`.
    """
    try:
        content = parse_toml(text)
    except ValueError as error:
        raise StudyError(f"The study {origin} is not valid TOML: {error}.") from None
    for table in (content, *(each for each in _list(content, "variants") if isinstance(each, dict))):
        recipe = table.get("recipe")
        if isinstance(recipe, str) and recipe.endswith(".toml"):
            table["recipe"] = str(folder / recipe)
    try:
        study = Study.model_validate_json(json.dumps(content, default=str), strict=True)
    except ValidationError as error:
        raise StudyError(_explain(error, origin)) from None
    _check_recipes(study, origin)
    return study


def _list(content: dict[str, Any], key: str) -> list[Any]:
    value = content.get(key)
    return value if isinstance(value, list) else []


def _check_recipes(study: Study, origin: str) -> None:
    for variant in study.variants:
        if not variant.after:
            try:
                study.recipe_of(variant, study.seeds_of(variant)[0])
            except RecipeError as error:
                raise RecipeError(f"The variant '{variant.name}' of the study {origin}: {error}") from None


def _explain(error: ValidationError, origin: str) -> str:
    """One line for the first fault that pydantic found."""
    # A misspelt key is also a missing one: the misspelling says more.
    faults = error.errors()
    fault = next((each for each in faults if each["type"] == "extra_forbidden"), faults[0])
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "missing":
        return f"The study {origin} has no '{where}'."
    if fault["type"] == "extra_forbidden":
        last = str(fault["loc"][-1])
        tables: dict[str, type[BaseModel]] = {"variants": Variant, "comparisons": Comparison}
        kind = tables.get(str(fault["loc"][0]), Study)
        known = [info.alias or name for name, info in kind.model_fields.items()]
        return f"The study {origin} has an unknown key '{where}'." + nearest(last, known)
    reason = fault["msg"].removeprefix("Value error, ")
    if not where:
        return sentence(f"The study {origin} is not possible: {reason}")
    return sentence(f"The study {origin} has {where} = {fault['input']!r}: {reason[0].lower()}{reason[1:]}")
