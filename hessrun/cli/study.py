"""The trials of one method, kept by Optuna in SQLite: which setting comes next, and what became of those before.

A trial is added when it has ended, in one transaction. What is cut off leaves none; the next process draws the same
setting again, since the draw depends on the sampler's seed, the trial's number and the trials before it alone.
"""

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, create_trial
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from hessrun.cli.search_space import Value, combinations
from hessrun.cli.tuning import Arm
from hessrun.errors import RecordError

STUDY = "study.db"

# As many settings are drawn at random before the sampler learns from them; the one as shipped is among them.
_AT_RANDOM = 4


@dataclass(frozen=True)
class Trial:
    """One setting that was tried. value: what it reached; cost: of its runs, by their folders' names.

    A cost is {"passes", "seconds", "wall_seconds"}: over the data, on the optimizer's clock, on all four clocks.
    """

    settings: dict[str, Value]
    value: float
    select: str
    costs: dict[str, dict[str, float]]


class Study:
    """The trials of `arm` in the storage of the folder, under its name and its digest."""

    def __init__(self, storage: RDBStorage, folder: Path, arm: Arm, sampler_seed: int) -> None:
        self._arm, self._sampler_seed, self._path = arm, sampler_seed, folder / STUDY
        with _one_line(self._path):
            self._study = optuna.create_study(
                storage=storage, study_name=f"{arm.name} {arm.digest}", load_if_exists=True
            )
            self._kept = self._study.get_trials(deepcopy=False)

    @property
    def trials(self) -> list[Trial]:
        """Those that have ended, in their order."""
        return [
            Trial(dict(kept.params), float(kept.value), kept.user_attrs["select"], kept.user_attrs["costs"])
            for kept in self._kept
            if kept.value is not None
        ]

    def next_settings(self) -> dict[str, Value]:
        """The settings of the next trial: as shipped, then all combinations where they suffice, else drawn."""
        arm, number = self._arm, len(self._kept)
        every = combinations(arm.space)
        if every is not None and len(every) <= arm.trials:
            # Those that were drawn while fewer trials were asked for may be any of them.
            tried = [kept.params for kept in self._kept]
            return next(found for found in _with_start_first(every, arm.start) if found not in tried)
        if number == 0 and arm.start is not None:
            return arm.start
        return self._drawn(self._kept, number)

    def _drawn(self, before: Sequence[FrozenTrial], number: int) -> dict[str, Value]:
        digest = hashlib.sha256(f"{self._sampler_seed}:{number}".encode()).hexdigest()
        sampler = TPESampler(seed=int(digest[:8], 16), n_startup_trials=_AT_RANDOM)
        in_memory = optuna.create_study(sampler=sampler)
        in_memory.add_trials(before)
        asked = in_memory.ask({key: found.distribution() for key, found in self._arm.space.items()})
        return {key: found.rounded(asked.params[key]) for key, found in self._arm.space.items()}

    def add(self, trial: Trial) -> None:
        """Keep a trial that has ended."""
        with _one_line(self._path):
            self._study.add_trial(
                create_trial(
                    params=trial.settings,
                    distributions={key: found.distribution() for key, found in self._arm.space.items()},
                    value=trial.value,
                    user_attrs={"select": trial.select, "costs": trial.costs},
                )
            )
            self._kept = self._study.get_trials(deepcopy=False)


def _with_start_first(every: list[dict[str, Value]], start: dict[str, Value] | None) -> list[dict[str, Value]]:
    return every if start is None else [start, *(found for found in every if found != start)]


def open_storage(folder: Path) -> RDBStorage:
    """The storage in the folder, made where there is none. Raises RecordError where it is damaged or in use."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    url = URL.create("sqlite", database=str(folder / STUDY))
    with _one_line(folder / STUDY), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return RDBStorage(url.render_as_string(), engine_kwargs={"connect_args": {"timeout": 5}})


@contextmanager
def _one_line(path: Path) -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError, RuntimeError) as error:
        cause = error.__cause__ or error
        reason = " ".join(str(getattr(cause, "orig", cause)).split())[:200]
        raise RecordError(
            f"{path}: cannot be used ({reason}). Another process may hold it; or move it away: what was run is found "
            "again, and its trials are counted anew."
        ) from error
