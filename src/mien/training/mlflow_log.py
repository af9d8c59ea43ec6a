"""MLflow: a run's history.csv as an MLflow run, in the store of ``MLFLOW_TRACKING_URI`` or MLflow's own default."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from mien.errors import RunError
from mien.recipe import Recipe
from mien.training.history_log import TrackedRun

_LONGEST = 500
"""Letters of a parameter's value that every MLflow store takes."""


class MlflowLog(TrackedRun):
    """A callback that copies each epoch of history.csv to MLflow, with the recipe's keys as parameters.

    The experiment is ``MLFLOW_EXPERIMENT_NAME``, or ``mien``.
    """

    name = "mlflow"

    def _open(self) -> int:
        with _errors_as_one_line(), _impatient():
            self._client = MlflowClient()
            self._id, epochs = self._known()
            if not self._id:
                self._id = self._create()
            self._client.set_terminated(self._id, "RUNNING")
        return epochs

    def _known(self) -> tuple[str, int]:
        """The MLflow run of a resumed run; ``("", 0)`` where this store has none."""
        kept, epochs = self._kept()
        try:
            return (self._client.get_run(kept).info.run_id, epochs) if kept else ("", 0)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return "", 0

    def _create(self) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "mien")
        experiment = self._client.get_experiment_by_name(name)
        number = self._client.create_experiment(name) if experiment is None else experiment.experiment_id
        run_id: str = self._client.create_run(number, run_name=self._run.path.resolve().name).info.run_id
        for key, value in _parameters(self._run.read_recipe()).items():
            self._client.log_param(run_id, key, value)
        return run_id

    def _write(self, values: Mapping[str, float], epoch: int) -> None:
        with _errors_as_one_line():
            for key, value in values.items():
                self._client.log_metric(self._id, key, value, step=epoch)

    def _close(self, *, failed: bool) -> None:
        with _errors_as_one_line():
            self._client.set_terminated(self._id, "FAILED" if failed else "FINISHED")


def _parameters(recipe: Recipe) -> dict[str, str]:
    """The recipe's keys, dotted, with their values as text."""
    flat: dict[str, str] = {}
    for key, value in recipe.model_dump(mode="json").items():
        inner = {f"{key}.{name}": each for name, each in value.items()} if isinstance(value, dict) else {key: value}
        flat |= {name: str(each)[:_LONGEST] for name, each in inner.items()}
    return flat


@contextmanager
def _impatient() -> Iterator[None]:
    """A wrong address is said within seconds. For later epochs MLflow's own patience of minutes outlasts a restart."""
    limits = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
    own = limits.keys() - os.environ.keys()
    os.environ.update({name: limits[name] for name in own})
    try:
        yield
    finally:
        for name in own:
            del os.environ[name]


@contextmanager
def _errors_as_one_line() -> Iterator[None]:
    # MLflow's SQL store uses calls that SQLAlchemy has deprecated.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except (MlflowException, ImportError) as error:
            raise RunError(
                f"MLflow cannot be used: {str(error).splitlines()[0]} The epoch is kept; continue with --resume, "
                "without --log or with another MLFLOW_TRACKING_URI.",
                code="logger-failed",
            ) from error
