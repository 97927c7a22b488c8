"""Optuna's samplers behind ask and tell: resumable, and shared by several workers."""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from metricgrad._checks import Number, Whole, extra, fail, finite_number, positive_number, whole_number
from metricgrad.blackbox.candidates import Tried, as_candidate, as_numbers
from metricgrad.blackbox.worker_locks import WorkerLocks

__all__ = [
    "OptunaProposer",
    "SamplerName",
    "default_sampler",
]

SamplerName = Literal["gp", "cmaes", "tpe", "random"]
"""Optuna's Gaussian process, CMA-ES, tree of Parzen estimators, and random draws (the control arm of a search)."""

_SETTINGS = "metricgrad"


def default_sampler(size: Whole, calls: Whole) -> SamplerName:
    """Return `gp` for up to 150 calls of the metric or one number, else `cmaes`.

    Example:
        >>> default_sampler(8, 100), default_sampler(8, 400)
        ('gp', 'cmaes')
    """
    return "gp" if int(calls) < 150 or int(size) == 1 else "cmaes"


class OptunaProposer:
    """Proposals of one of Optuna's samplers, the same ones for the same seed and history.

    Every proposal is drawn by a new sampler whose seed follows from `seed` and the number of the trial: it depends on
    the finished trials and nothing else. So a search that is resumed goes on as if it had not been interrupted.

    Args:
        size: numbers of a candidate, K.
        sampler: `gp` (half a second per proposal and more: for searches whose trials cost more), `cmaes` (K >= 2, in
            memory only), `tpe`, `random`.
        seed: of all draws.
        maximize: whether higher values are better.
        clip: every number lies in [-clip, clip].
        storage: None: in memory. A path: an SQLite file, which several processes may share. A text with `://`: any
            database that Optuna knows.
        study: name of the study in the storage.

    Raises:
        MissingExtraError: Optuna is not installed (`pip install 'metricgrad[search]'`).
        InputError: an unknown sampler; `cmaes` with one number or with a storage; a study of another search.

    Edge cases:
        A trial that a dead or closed worker of an SQLite study left unfinished is asked again, with its number, by the
        next worker that asks: locks that the system lifts tell who is dead. In other databases such a trial stays
        unfinished and is not counted. `cmaes` keeps its state as a pickle in the study, so it is refused with a
        storage: a file must not run code.

    Cost:
        About 4 ms per proposal, with `gp` half a second and growing; in an SQLite file 0.1 s more.

    Reference:
        [akiba2019optuna]

    Example:
        >>> proposer = OptunaProposer(2, "tpe", seed=1)
        >>> proposer.enqueue([0.0, 9.0])
        >>> first = proposer.ask()
        >>> first
        {'a0': 0.0, 'a1': 3.0}
        >>> proposer.tell(first, 0.5)
        >>> [one.value for one in proposer.tried()]
        [0.5]
    """

    def __init__(
        self,
        size: Whole,
        sampler: SamplerName = "gp",
        *,
        seed: int = 0,
        maximize: bool = True,
        clip: Number = 3.0,
        storage: str | Path | None = None,
        study: str = "search",
    ) -> None:
        self._optuna: Any = extra("optuna", "search", "A search with Optuna")
        self.size = whole_number("OptunaProposer", "size", size)
        self.clip = positive_number("OptunaProposer", "clip", clip)
        self.sampler: SamplerName = sampler
        self.seed = whole_number("OptunaProposer", "seed", seed, least=0)
        self.maximize = maximize
        self._require_sampler(storage)
        self._distributions = {
            name: self._optuna.distributions.FloatDistribution(-self.clip, self.clip) for name in self._names
        }
        self._pending: dict[tuple[float, ...], list[int]] = {}
        self._events: list[list[Any]] = []
        self._url, file = _address(storage)
        self._locks = WorkerLocks(file) if file is not None else None
        self._storage: Any = None
        self._closed = False
        with self._turn():
            self._study: Any = self._opened(study)

    # ------------------------------------------------------------------------------------------- ask and tell

    def enqueue(self, numbers: Float[Tensor, " number"] | Sequence[float] | Mapping[str, float]) -> None:
        """Have a candidate asked before what the sampler draws, clipped; one that was tried or queued is not again."""
        given = list(numbers.values()) if isinstance(numbers, Mapping) else list(numbers)
        found = [finite_number("OptunaProposer", "a number of a candidate", one) for one in given]
        if len(found) != self.size:
            raise fail("OptunaProposer", f"a candidate of {len(found)} numbers", f"{self.size} numbers")
        with self._turn():
            candidate = as_candidate([min(max(one, -self.clip), self.clip) for one in found])
            self._study.enqueue_trial(candidate, skip_if_exists=True)
            self._events.append(["enqueue", list(candidate.values())])

    def ask(self) -> dict[str, float]:
        """Return the next candidate: an abandoned one, a queued one, or a new one.

        Raises:
            InputError: the proposer was closed.
        """
        if self._closed:
            raise fail("OptunaProposer", "asked after it was closed", "a new proposer of the same study")
        with self._turn():
            self._free_abandoned()
            return self._asked()

    def tell(self, candidate: Mapping[str, float], value: float) -> None:
        """Take the value of a candidate that was asked here; NaN or infinite counts as a failed trial.

        Raises:
            InputError: the candidate was not asked, or was told already.
        """
        key = tuple(float(candidate[name]) for name in self._names if name in candidate)
        numbers = self._pending.get(key)
        if not numbers:
            raise fail(
                "OptunaProposer", f"told of {dict(candidate)}", "a candidate that was asked and not told yet"
            )
        self._told(numbers.pop(0), float(value))
        if not numbers:
            del self._pending[key]

    def tried(self) -> list[Tried]:
        """Return the finished trials of all workers, in the order in which they were asked."""
        states = self._optuna.trial.TrialState
        with self._quiet():
            done = self._study.get_trials(deepcopy=False, states=(states.COMPLETE, states.FAIL))
        return [
            Tried(
                {name: float(one.params[name]) for name in self._names},
                float(one.value) if one.state == states.COMPLETE else math.nan,
            )
            for one in sorted(done, key=lambda one: one.number)
            if len(one.params) == self.size  # killed while it was drawn: never tried
        ]

    def observed(self) -> tuple[Float[Tensor, "trial number"], Float[Tensor, " trial"]]:
        """Return the finished trials as `elite_mean` takes them: candidates and values."""
        tried = self.tried()
        points = [as_numbers(one.candidate) for one in tried]
        values = torch.tensor([one.value for one in tried], dtype=torch.float64)
        return torch.stack(points) if points else torch.zeros(0, self.size, dtype=torch.float64), values

    def close(self) -> None:
        """Leave a stored study: what was asked here and not told is free for other workers."""
        self._closed = True
        if self._storage is not None:
            self._storage.remove_session()
            self._storage.engine.dispose()
        if self._locks is not None:
            self._locks.close()

    # ------------------------------------------------------------------------------------------------- resume

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint holds, as JSON takes it: settings, and in memory what was queued, asked and told.

        The trials of a stored study are in its storage, and stay there.
        """
        return {
            "settings": self._settings,
            "events": [list(one) for one in self._events] if not self._url else [],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken: the next proposals are those of a search that was not interrupted.

        Raises:
            InputError: the state of a search with other settings; a proposer that has begun.
        """
        if state["settings"] != self._settings or (self._events and not self._url):
            raise fail(
                "OptunaProposer",
                f"a state of {state['settings']} for a proposer of {self._settings}"
                + (" that has begun" if self._events else ""),
                "the same settings, and a new proposer",
            )
        for event, *content in state["events"]:
            if event == "enqueue":
                self.enqueue(content[0])
            elif event == "ask":
                self._repeat(content[0])
            else:
                number, value = content
                key = next(key for key, numbers in self._pending.items() if number in numbers)
                self._told(number, math.nan if value is None else value)
                self._pending[key].remove(number)
                if not self._pending[key]:
                    del self._pending[key]

    def _repeat(self, numbers: Sequence[float]) -> None:
        """Ask as in the first life: `cmaes`, whose state is of its own, draws again; the others read the history."""
        with self._turn():
            if self.sampler != "cmaes" and not self._waiting():
                self._study.enqueue_trial(as_candidate(numbers))
            found = self._asked()
        if list(found.values()) != list(numbers):
            raise fail(
                "OptunaProposer",
                f"the sampler draws {list(found.values())} where it drew {list(numbers)} before",
                "the releases of optuna and cmaes that the search began with",
            )

    # ----------------------------------------------------------------------------------------------- the study

    @property
    def _names(self) -> list[str]:
        return [f"a{place}" for place in range(self.size)]

    @property
    def _settings(self) -> dict[str, Any]:
        return {
            "size": self.size,
            "sampler": self.sampler,
            "seed": self.seed,
            "maximize": self.maximize,
            "clip": self.clip,
        }

    def _require_sampler(self, storage: object) -> None:
        if self.sampler not in ("gp", "cmaes", "tpe", "random"):
            raise fail("OptunaProposer", f"sampler is {self.sampler!r}", "'gp', 'cmaes', 'tpe' or 'random'")
        if self.sampler == "cmaes" and (self.size < 2 or storage is not None):
            came = "1 number" if self.size < 2 else "a storage, in which it would keep a pickle"
            raise fail("OptunaProposer", f"'cmaes' with {came}", "'gp', 'tpe' or 'random'")
        if self.sampler in ("cmaes", "gp"):
            extra({"cmaes": "cmaes", "gp": "scipy"}[self.sampler], "search", f"The sampler {self.sampler!r}")

    def _opened(self, name: str) -> Any:
        """The study, new or found; InputError where it is one of another search."""
        if self._url is not None:
            arguments = {"connect_args": {"timeout": 60}} if self._locks is not None else None
            self._storage = self._optuna.storages.RDBStorage(self._url, engine_kwargs=arguments)
        study = self._optuna.create_study(
            storage=self._storage,
            sampler=self._drawing(0),
            study_name=name,
            direction="maximize" if self.maximize else "minimize",
            load_if_exists=True,
        )
        known = study.user_attrs.get(_SETTINGS)
        if known is None and not study.get_trials(deepcopy=False):
            study.set_user_attr(_SETTINGS, self._settings)
        elif known != self._settings:
            self.close()
            raise fail(
                "OptunaProposer",
                f"the study {name!r} in {self._url} was made with {known}",
                f"one made with {self._settings}",
                "Give the study another name.",
            )
        return study

    def _asked(self) -> dict[str, float]:
        """Ask the study, and write down whose trial it is; within a turn."""
        queued = self._waiting()
        number = len(self._study.get_trials(deepcopy=False))
        self._study.sampler = self._optuna.samplers.RandomSampler(seed=0) if queued else self._drawing(number)
        trial = self._study.ask(self._distributions)
        if self._locks is not None:
            trial.set_user_attr("worker", self._locks.name)
        found = {name: float(trial.params[name]) for name in self._names}
        self._pending.setdefault(tuple(found.values()), []).append(trial.number)
        self._events.append(["ask", list(found.values())])
        return found

    def _told(self, number: int, value: float) -> None:
        with self._quiet():
            if math.isfinite(value):
                self._study.tell(number, value)
            else:
                self._study.tell(number, state=self._optuna.trial.TrialState.FAIL)
        self._events.append(["tell", number, value if math.isfinite(value) else None])

    def _waiting(self) -> bool:
        return bool(self._study.get_trials(deepcopy=False, states=(self._optuna.trial.TrialState.WAITING,)))

    def _free_abandoned(self) -> None:
        """Put back what dead workers have not finished; what was not drawn to its end has failed. Within a turn."""
        if self._locks is None:
            return
        states = self._optuna.trial.TrialState
        study = self._storage.get_study_id_from_name(self._study.study_name)
        for one in self._study.get_trials(deepcopy=False, states=(states.RUNNING,)):
            owner = one.user_attrs.get("worker")
            if owner is not None and self._locks.lives(owner):
                continue
            whole = len(one.params) == self.size or "fixed_params" in one.system_attrs
            trial = self._storage.get_trial_id_from_study_id_trial_number(study, one.number)
            self._storage.set_trial_state_values(trial, state=states.WAITING if whole else states.FAIL)

    def _drawing(self, number: int) -> Any:
        """A new sampler for the trial of this number."""
        salt = [self.seed, number]
        if self._url is not None and self._locks is None:  # two workers may count the same number
            salt.append(int(np.random.SeedSequence().entropy or 0))  # pyright: ignore[reportArgumentType]
        seed = int(np.random.SeedSequence(salt).generate_state(1)[0])
        samplers = self._optuna.samplers
        if self.sampler == "gp":
            return samplers.GPSampler(seed=seed, n_startup_trials=10, deterministic_objective=False)
        if self.sampler == "tpe":
            return samplers.TPESampler(seed=seed, multivariate=True)
        if self.sampler == "random":
            return samplers.RandomSampler(seed=seed)
        return samplers.CmaEsSampler(
            seed=seed, sigma0=0.5, popsize=8
        )  # from the middle of the box, which is 0

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with self._locks.turn() if self._locks is not None else nullcontext(), self._quiet():
            yield

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        """Optuna says what it does on stderr, and warns of settings that a later release will drop."""
        logging = self._optuna.logging
        before = logging.get_verbosity()
        logging.set_verbosity(logging.ERROR)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", category=FutureWarning, module="optuna")
                warnings.filterwarnings("ignore", category=self._optuna.exceptions.ExperimentalWarning)
                yield
        finally:
            logging.set_verbosity(before)


def _address(storage: str | Path | None) -> tuple[str | None, Path | None]:
    """The URL of a storage, and its file where it is SQLite."""
    if storage is None:
        return None, None
    text = str(storage)
    if text.startswith("sqlite:///"):
        return text, Path(text.removeprefix("sqlite:///"))
    if "://" in text:
        return text, None
    file = Path(storage).absolute()
    if "?" in text or "%" in text:
        raise fail(
            "OptunaProposer", f"storage is {text!r}", "a path without ? and %, which mean something in a URL"
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{file}", file
