"""A study as a typed, strict value: recipes, seeds and comparisons. ``studies/*.toml`` come with mien."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from mien.base.errors import DataError, RecipeError, StudyError, arg, nearest
from mien.base.labels import parse_scheme
from mien.base.recipe import Change, Recipe, StrictModel, dotted, load_recipe, tuned
from mien.base.run_folder import RunFolder
from mien.base.spec_file import SpecKind, is_path
from mien.evaluation.named_metrics import check_metric
from mien.inference.find_model import find_run, is_shipped

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Seeds = Annotated[tuple[Seed, ...], Field(min_length=1)]

OWN_KEYS: tuple[str, ...] = ("name", "seed")
"""Keys of a recipe that the study sets itself."""


_KIND = SpecKind("study", "studies", StudyError)


class Variant(StrictModel):
    """One row of the table: a recipe trained once per seed, or another row's predictions in merged classes."""

    name: Name
    title: str = ""
    recipe: str = Field(default="", description="a recipe's name; the study's own by default")
    set: dict[str, Any] = Field(
        default={},
        description="keys of the recipe that differ, e.g. {optim.lr = 0.01}; a model that is named is replaced whole",
    )
    seeds: Seeds | None = Field(default=None, description="the study's own by default")
    init_from: str = Field(
        default="",
        alias="from",
        description="start from the weights of this variant, seed by seed, or of a built-in model",
    )
    after: str = Field(default="", description="not trained: the predictions of this variant, merged into `classes`")
    classes: str = Field(default="", description="with `after`: the label scheme to merge into")
    published: dict[str, float] = Field(default={}, description="the published value of each metric")
    note: str = Field(default="", description="a sentence for the page")


class ComparisonSpec(StrictModel):
    """Variants compared with a baseline on the samples that all of them have predictions for."""

    title: str
    variants: Annotated[tuple[str, ...], Field(min_length=2)]
    baseline: str
    classes: str = Field(default="", description="a label scheme into which the predictions are merged first")


class Study(StrictModel):
    """Recipes over seeds in one table. Merged rows and comparisons are computed from stored predictions."""

    name: Name
    title: str
    question: str = ""
    recipe: str
    seeds: Seeds = (0,)
    metrics: Annotated[tuple[str, ...], Field(min_length=1)] = ("accuracy", "macro_f1", "macro_auc")
    variants: Annotated[tuple[Variant, ...], Field(min_length=1)]
    comparisons: tuple[ComparisonSpec, ...] = ()

    @model_validator(mode="after")
    def _is_consistent(self) -> Study:
        self._check_unique()
        self._check_metrics_and_schemes()
        for number, variant in enumerate(self.variants):
            self._check_variant(variant, above=[each.name for each in self.variants[:number]])
        for comparison in self.comparisons:
            self._check_comparison(comparison)
        return self

    def _check_unique(self) -> None:
        for what, several in (
            ("variants are called", [variant.name for variant in self.variants]),
            ("metrics are called", self.metrics),
            ("seeds are", self.seeds),
            *(("seeds are", variant.seeds or ()) for variant in self.variants),
        ):
            twice = next((each for each in several if list(several).count(each) > 1), None)
            if twice is not None:
                raise ValueError(f"two {what} '{twice}'")

    def _check_metrics_and_schemes(self) -> None:
        try:
            for metric in (*self.metrics, *(metric for variant in self.variants for metric in variant.published)):
                check_metric(metric)
            for scheme in [each.classes for each in self.variants] + [each.classes for each in self.comparisons]:
                parse_scheme(scheme or "all")
        except DataError as error:
            raise ValueError(str(error)) from None

    def _check_variant(self, variant: Variant, above: Sequence[str]) -> None:
        who = f"the variant '{variant.name}'"
        for other, word in ((variant.init_from, "from"), (variant.after, "after")):
            # A variant follows what it is made from, so that the list can be run from the top.
            if other and other not in above and not (word == "from" and is_shipped(other)):
                what = "a built-in model or a variant" if word == "from" else "a variant"
                raise ValueError(f"{who} has {word} = '{other}', which is not {what} listed before it")
        unseen = next((each for each in variant.published if each not in self.metrics), None)
        if unseen is not None:
            raise ValueError(f"{who} has a published '{unseen}', which is not in metrics")
        if bool(variant.after) != bool(variant.classes):
            raise ValueError(f"{who} needs 'after' and 'classes', or none of them")
        if variant.after and (variant.recipe or variant.set or variant.init_from or variant.seeds):
            raise ValueError(f"{who} has 'after', so it is not trained: remove its recipe, set, from and seeds")
        if variant.after and self.variant(variant.after).after:
            raise ValueError(f"{who} merges '{variant.after}', which is itself merged")

    def _check_comparison(self, comparison: ComparisonSpec) -> None:
        who, names = f"the comparison '{comparison.title}'", [variant.name for variant in self.variants]
        for name in (*comparison.variants, comparison.baseline):
            if name not in names:
                raise ValueError(f"{who} names '{name}', which is not a variant")
        if comparison.baseline not in comparison.variants:
            raise ValueError(f"{who} has the baseline '{comparison.baseline}', which is not among its variants")

    def changed(self, recipe: str | None, changes: Sequence[str]) -> Study:
        """The study with another recipe and changed settings, which its title names.

        With another recipe its runs have names of their own, and what was published for the study's own is left out.
        """
        if recipe is None and not changes:
            return self
        told = ([] if recipe is None else [f"recipe {recipe}"]) + list(changes)
        update: dict[str, Any] = {"title": f"{self.title} (changed: {', '.join(told)})"}
        if recipe is not None:
            variants = tuple(each.model_copy(update={"published": {}}) for each in self.variants)
            update |= {"name": f"{self.name}-{Path(recipe).stem}", "recipe": recipe, "variants": variants}
        return self.model_copy(update=update)

    def restricted(self, names: Sequence[str]) -> Study:
        """The study with these variants alone, and the runs that they are made from; all of it without names.

        Raises:
            StudyError: there is no such variant.
        """
        if not names:
            return self
        seeds = {name: self.seeds_of(self.variant(name)) for name in names}
        for variant in reversed(self.variants):  # it follows what it is made from
            for source in (variant.init_from, variant.after) if variant.name in seeds else ():
                seeds[source] = tuple(dict.fromkeys((*seeds.get(source, ()), *seeds[variant.name])))
        variants = tuple(
            each if each.after else each.model_copy(update={"seeds": seeds[each.name]})
            for each in self.variants
            if each.name in seeds
        )
        comparisons = tuple(
            each.model_copy(update={"variants": tuple(name for name in each.variants if name in seeds)})
            for each in self.comparisons
            if each.baseline in seeds and len(seeds.keys() & each.variants) > 1
        )
        return self.model_copy(update={"variants": variants, "comparisons": comparisons})

    def variant(self, name: str) -> Variant:
        """The variant of that name. Raises :class:`StudyError` when there is none."""
        for variant in self.variants:
            if variant.name == name:
                return variant
        raise StudyError(
            f"The study '{self.name}' has no variant '{name}'." + nearest(name, [each.name for each in self.variants]),
            code="study-unknown-variant",
        )

    def seeds_of(self, variant: Variant) -> tuple[int, ...]:
        """The seeds of a variant: its own, those of what it merges, or the study's."""
        return self.seeds_of(self.variant(variant.after)) if variant.after else variant.seeds or self.seeds

    def recipe_of(self, variant: Variant, seed: int, changes: Sequence[str] = ()) -> Recipe:
        """The recipe of one run.

        Args:
            variant: one that is trained.
            seed: which run.
            changes: ``key=value`` on top of what the variant sets, as in :func:`mien.base.recipe.load_recipe`;
                ``variant:key=value`` changes one variant only.

        Raises:
            RecipeError: an unknown key or an impossible value.
            StudyError: a change of what the study sets itself, or for a variant that does not exist.
        """
        given, (for_all, for_one) = changes, self._changes_of(variant, changes)
        changes = [*for_all, *for_one]
        for key in (*variant.set, *(change.partition("=")[0].strip() for change in changes)):
            if key in OWN_KEYS:
                raise StudyError(
                    f"The study sets '{key}' itself; change the seeds in its file.", code="study-set-fixed"
                )
        # What a table leaves out stays, except of a named model: another network has other settings.
        own: list[Change] = list(dotted(variant.set, lambda key, value: key == "model" and "name" in value).items())
        fixed = [("name", f"{self.name}-{variant.name}"), ("seed", seed)]
        recipe = load_recipe(variant.recipe or self.recipe, [*own, *changes, *fixed])
        if variant.init_from:
            model = self.model_of(variant)
            if model is None:
                start = self.recipe_of(self.variant(variant.init_from), seed, given)
                return tuned(recipe, start, [*own, *for_one])
            # No parent passes on what is changed for all.
            recipe = tuned(recipe, model.read_recipe(), [*own, *changes])
        return recipe

    def model_of(self, variant: Variant) -> RunFolder | None:
        """The built-in model that a variant starts from; None where it starts from another variant, or from nothing."""
        above = [each.name for each in self.variants[: self.variants.index(variant)]]
        return find_run(variant.init_from) if variant.init_from and variant.init_from not in above else None

    def _changes_of(self, variant: Variant, changes: Sequence[str]) -> tuple[list[str], list[str]]:
        """Return the settings for all variants, and those for this one."""
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
                raise StudyError(
                    f"{arg('settings')} {change}: '{meant.name}' is not trained; it is made from '{meant.after}'.",
                    code="study-set-merged",
                )
            if meant == variant:
                for_one.append(f"{own_key}{equals}{value}")
        return for_all, for_one


def study_names() -> list[str]:
    """Names of the studies that come with mien."""
    return _KIND.names()


def load_study(name: str) -> Study:
    """Load a study by name or from a ``.toml`` file, and check every recipe in it.

    Raises:
        StudyError: no such study, not TOML, an unknown key, or variants that clash.
        RecipeError: a variant sets what recipes do not have.
    """
    return parse_study(_KIND.read(name), name, Path(name).parent)


def parse_study(text: str, origin: str, folder: Path = Path()) -> Study:
    """Check a study's TOML text.

    Args:
        text: TOML.
        origin: named in errors.
        folder: that paths of recipes are relative to.

    Raises:
        StudyError, RecipeError: as :func:`load_study`.
    """
    study = _KIND.check(Study, _KIND.parse(text, origin), origin)

    def beside(recipe: str) -> str:
        return str(folder / recipe) if is_path(recipe) else recipe

    variants = tuple(each.model_copy(update={"recipe": beside(each.recipe)}) for each in study.variants)
    study = study.model_copy(update={"recipe": beside(study.recipe), "variants": variants})
    for variant in study.variants:
        if not variant.after:
            try:
                study.recipe_of(variant, study.seeds_of(variant)[0])
            except RecipeError as error:
                raise RecipeError(
                    f"The variant '{variant.name}' of the study {origin}: {error.raw}", code=error.code
                ) from None
    return study
