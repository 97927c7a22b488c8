"""The resumable run: stages one after the other, then the choice on select, then the test split."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metricgrad._records import Budget, Chosen, Fall, Finished, Note, Progress, Resumed, RunStarted
from metricgrad._types import Split
from metricgrad.errors import MissingExtraError, RunFolderError
from metricgrad.scale import current
from metricgrad.tune.arms import Arm, Setup
from metricgrad.tune.checkpoint import load_weights, save_weights
from metricgrad.tune.deterministic import deterministic
from metricgrad.tune.evaluator import Evaluator
from metricgrad.tune.evidence import Reading, Selected, judge, opponent, read_test
from metricgrad.tune.examples import write_examples
from metricgrad.tune.falls import Beside, check_measured, falls_of, held_back, told_of
from metricgrad.tune.folder import RunFolder, read_config
from metricgrad.tune.gallery import write_gallery
from metricgrad.tune.groups import grouping_of
from metricgrad.tune.identity import check_identity, versions
from metricgrad.tune.loop import Stage, train_stage
from metricgrad.tune.plan import trainable_parameters
from metricgrad.tune.pool import fit_and_pool
from metricgrad.tune.splits import NAMES, describe_split
from metricgrad.tune.stages import budget_of, stages_of
from metricgrad.tune.state import fitting
from metricgrad.tune.stop import StopRequest
from metricgrad.tune.weights import load_beside, load_into, weights_of

__all__ = ["Contest"]

_ENVIRONMENT = ("versions.", "threads", "kernel")
"""What may change under figures that stand: a finished run can be shown by force."""


class Contest:
    """The stages of a run, one after the other, each resumable; then the choice; then the test split."""

    def __init__(self, setup: Setup, folder: RunFolder, stop: StopRequest, task: str | None) -> None:
        self.setup, self.folder, self.stop, self.task = setup, folder, stop, task
        self.evaluator = Evaluator(setup.metric)
        self.beside = Beside(setup.side_metrics, folder)
        self.marks: list[str] = []
        self.best_seed = setup.seeds[0]

    def go(
        self, identity: Mapping[str, Any], marks: Sequence[str] = (), *, began: float, force: bool
    ) -> None:
        """Run, or go on, to the end; a new run has these marks."""
        self.marks, self.began = list(marks), began
        state = self._open(identity, force=force)
        current().wait()  # nobody writes before everybody has read
        self.evaluator.calls.update(state["metric_calls"])
        if state["finished"]:
            self.best_seed = state["best_seed"]
            return
        with fitting(self.folder.path):
            stages = stages_of(self.setup, Budget(**state["budget"]))
        for index in range(len(state["values"]), len(stages)):
            self._stage(stages[index], state, state.pop("stage", None))
        if current().leader:
            self._conclude(stages, state)
        self.best_seed = current().led(lambda: self.best_seed)

    def _open(self, identity: Mapping[str, Any], *, force: bool) -> dict[str, Any]:
        """Return the state of the folder's run, a new one where there is none."""
        found = self._found(identity, force=force) if current().leader else None
        if current().led(lambda: found is None):
            return self._new(identity)
        if found is None:  # process 0 has found a state: it stands in the folder
            found = self.folder.load()
        assert found is not None
        return found

    def _found(self, identity: Mapping[str, Any], *, force: bool) -> dict[str, Any] | None:
        """Return the state that the folder holds; None where it is new, or has no checkpoint yet."""
        config = read_config(self.folder.path)
        if config is None:
            return None
        forced, told = check_identity(self.folder.path, config, identity, force=force)
        state = self.folder.load()
        if (
            state is not None
            and state["finished"]
            and any(not item.startswith(_ENVIRONMENT) for item in forced)
        ):
            raise RunFolderError(
                f"the run in {self.folder.path} is finished: force has nothing to resume, and its figures are not "
                f"those of what is asked for now ({'; '.join(forced)}). Choose another folder."
            )
        if state is not None and state["finished"]:
            check_measured(self.setup.side_metrics, self.folder)
        return None if state is None else self._resumed(state, forced, told)

    def _new(self, identity: Mapping[str, Any]) -> dict[str, Any]:
        """Begin the record and decide the budget."""
        self.folder.load()  # no checkpoint: cuts a record without one back to nothing
        self.folder.write_config(identity)
        setup = self.setup
        controls, contenders = setup.named("control"), setup.named("contender")
        splits = {
            name: describe_split(split)
            for name in NAMES
            if (split := getattr(setup.splits, name)) is not None
        }
        self.folder.emit(
            RunStarted(
                setup.metric.name, setup.metric.description, setup.metric.higher_is_better, setup.metric.unit,
                ", ".join(dict.fromkeys(arm.method for arm in contenders)), controls[0].method if controls else None,
                self.task, list(setup.seeds), splits, versions(), torch.get_num_threads(), setup.entrants,
            )
        )  # fmt: skip
        if current().size > 1:
            self.folder.emit(Note(f"{current().size} processes: each embeds its part of every batch"))
        if setup.splits.test is None:
            self.folder.emit(Note("the run has no test split: nothing will be claimed"))
        for text in [*setup.told, *_not_noticed(identity)]:
            self.folder.emit(Note(text))
        budget = budget_of(setup, self.began)
        self.folder.emit(budget)
        for text in _over_budget(budget):
            self.folder.emit(Note(text))
        state = {
            "budget": vars(budget).copy(),
            "values": [],
            "metric_calls": {},
            "marks": self.marks,
            "finished": False,
        }
        self.folder.save(state)
        return state

    def _resumed(self, state: dict[str, Any], forced: list[str], told: list[str]) -> dict[str, Any]:
        state["marks"] += [f"resumed by force although {item}" for item in forced]
        if not state["finished"]:
            state["marks"] += told
            for text in told:
                self.folder.emit(Note(text))
        if not state["finished"]:
            with fitting(self.folder.path):
                stages = stages_of(self.setup, Budget(**state["budget"]))
                stage = stages[min(len(state["values"]), len(stages) - 1)]
                step = state["stage"]["progress"]["step"] if "stage" in state else 0
            self.folder.emit(Resumed(**stage.key, step=step, forced=forced))
        return state

    def _stage(self, stage: Stage, state: dict[str, Any], saved: Mapping[str, Any] | None) -> None:
        """Train one stage, keep its selected weights and move the checkpoint past it."""
        model = self.setup.build(stage.seed)
        start = self.setup.start.name
        if stage.role != "start" and current().leader:
            load_into(model, load_weights(self.folder.weights(stage.seed, start, 0)))
        current().same_weights(model)
        trained_beside: Mapping[str, Any] = {}
        if stage.steps == 0:
            value = current().led(lambda: self.evaluator.value(model, self.setup.splits.select, "select"))
            weights = weights_of(model)
        else:
            method = self.setup.method(stage)
            begun = self.folder.beside(stage.seed, start, 0)
            if stage.role != "start" and begun.exists():  # the start's training has trained the loss, too
                load_beside(method, load_weights(begun))
            trainable = (
                self.setup.start_plan.trainable if stage.role == "start" else self.setup.plan.trainable
            )
            fit, pool = fit_and_pool(self.setup.splits, self.setup.metric, method, stage.seed)
            with deterministic(model):
                value, weights, trained_beside = train_stage(
                    stage, model, trainable_parameters(model, trainable), method,
                    fit=fit, select=self.setup.splits.select, pool=pool, evaluator=self.evaluator,
                    folder=self.folder, base=state, saved=saved, stop=self.stop,
                )  # fmt: skip
        if current().leader:
            save_weights(self.folder.weights(stage.seed, stage.arm, stage.attempt), weights)
            if trained_beside:
                save_weights(self.folder.beside(stage.seed, stage.arm, stage.attempt), trained_beside)
        state["values"].append(value)
        state["metric_calls"] = dict(self.evaluator.calls)
        self.folder.save(state)

    def _conclude(self, stages: Sequence[Stage], state: dict[str, Any]) -> None:
        """Choose on select, fsync the choice, only then read test; judge; keep the returned weights."""
        select, attempts = self._attempts(stages, state["values"])
        arms = [arm.name for arm in self.setup.every_arm]
        every = [(seed, arm) for seed in self.setup.seeds for arm in arms]
        resamples = Budget(**state["budget"]).resamples or self.setup.plan.resamples

        def model_of(seed: int, arm: str) -> nn.Module:
            return self._selected(seed, arm, attempts[str(seed)][arm])

        falls = self._falls(every, model_of, resamples)
        chosen = self._choice(select, attempts, held_back(falls))
        self.folder.emit(chosen, durable=True)
        values = {arm: float(np.mean([of_seed[arm] for of_seed in select.values()])) for arm in arms}
        marks = [*state["marks"], *told_of(falls), *_without_value(chosen)]
        test, read = self.setup.splits.test, None
        contender = self.setup.named("contender")[0]
        pictured = (opponent(self.setup.metric, values, self.setup.entrants), contender.name)
        if test is not None:
            keep = pictured if getattr(test, "pictures", None) is not None else ()
            read = read_test(
                every, model_of, test, self.evaluator, self.folder, keep=keep, beside=self.beside
            )
        statistics = None if read is None else read.statistics
        marks += self._unchanged(stages, chosen, statistics)
        marks += self.beside.failed
        method = self._chosen_method(chosen, contender)
        calls = {**self.evaluator.calls, **self.beside.calls}
        selected = Selected(self.setup.metric, method, values, calls, marks, self.setup.entrants)
        verdict = judge(
            selected, statistics, self.setup.seeds,
            grouping=grouping_of("test", self.setup.splits, self.setup.metric),
            resamples=resamples,
            watch=lambda done, total: self.folder.emit(Progress("resamples of test", done, total, "resample")),
        )  # fmt: skip
        self.folder.emit(verdict)
        self.best_seed = chosen.best_seed
        returned = chosen.returned[str(self.best_seed)]
        facts = {"arm": returned, "seed": str(self.best_seed), "metric": self.setup.metric.name}
        best = self.folder.path / "best.safetensors"
        save_weights(best, weights_of(model_of(self.best_seed, returned)), facts)
        if test is not None and read is not None and read.outputs:
            self._keep_examples(read, pictured, test)
        self.folder.emit(Finished(returned, best.name, round(time.time() - self.began, 1)))
        self.folder.save(
            {
                **state,
                "metric_calls": dict(self.evaluator.calls),
                "finished": True,
                "best_seed": self.best_seed,
            }
        )

    def _unchanged(
        self, stages: Sequence[Stage], chosen: Chosen, statistics: Mapping[str, Sequence[Tensor]] | None
    ) -> list[str]:
        """Name the arms whose training changed no figure of the metric, with the learning rate that was too small."""
        values = {
            arm: [float(self.setup.metric.summarise(table)) for table in tables]
            for arm, tables in (statistics or {}).items()
        }
        marks, start = [], self.setup.start.name
        for arm in [arm.name for arm in self.setup.arms]:
            on_select = [of_seed[arm] == of_seed[start] for of_seed in chosen.select.values()]
            if not all(on_select) or values.get(arm) != values.get(start):
                continue
            kept = {(seed, arm, chosen.attempts[str(seed)][arm]) for seed in self.setup.seeds}
            rates = {
                f"{stage.settings['learning_rate']:g}"
                for stage in stages
                if (stage.seed, stage.arm, stage.attempt) in kept and "learning_rate" in stage.settings
            }
            marks.append(
                f"{arm}: no prediction changed, {self.setup.metric.name} is that of the start model to the last digit; "
                f"the learning rate was {' or '.join(sorted(rates))}: try a larger one, or more steps"
            )
        return marks

    def _chosen_method(self, chosen: Chosen, arm: Arm) -> str:
        """Name the roads of the tries that stand for an arm."""
        attempts = [chosen.attempts[str(seed)][arm.name] for seed in self.setup.seeds]
        return " or ".join(dict.fromkeys(arm.attempts[attempt].road.name for attempt in attempts))

    def _keep_examples(self, read: Reading, arms: tuple[str, str], test: Split) -> None:
        """Keep queries or samples that changed with the first seed, with pictures, for the report."""
        metric = self.setup.metric
        before, after = (read.outputs[arm] for arm in arms)
        try:
            if metric.unit == "query":
                write_gallery(before, after, arms, test, self.folder)
            elif metric.kind is not None:
                sides = [(read.outputs[arm], read.statistics[arm][0]) for arm in arms]
                write_examples(sides[0], sides[1], arms, test, metric, self.folder)
        except MissingExtraError as error:
            self.folder.emit(Note(f"no gallery: {error}"))

    def _attempts(
        self, stages: Sequence[Stage], values: Sequence[float]
    ) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, int]]]:
        """Pick the try of every seed and arm by select, the earlier one of equals: their values and numbers."""
        select: dict[str, dict[str, float]] = {}
        attempts: dict[str, dict[str, int]] = {}
        for stage, value in zip(stages, values, strict=True):
            of_seed = select.setdefault(str(stage.seed), {})
            if stage.arm not in of_seed or self.evaluator.better(value, of_seed[stage.arm]):
                of_seed[stage.arm] = value
                attempts.setdefault(str(stage.seed), {})[stage.arm] = stage.attempt
        return select, attempts

    def _falls(
        self, every: Sequence[tuple[int, str]], model_of: Callable[[int, str], nn.Module], resamples: int
    ) -> list[Fall]:
        """Measure the side metrics of every model on select, and how far each fell below its start."""
        sides, splits = self.setup.side_metrics, self.setup.splits
        if not sides:
            return []
        measured = self.beside.on_select(every, model_of, self.evaluator.outputs, splits.select)
        falls = falls_of(
            sides, measured, start=self.setup.start.name, resamples=resamples,
            grouping_of=lambda side: grouping_of("select", splits, side.metric),
            watch=lambda done, total: self.folder.emit(Progress("resamples of select", done, total, "resample")),
        )  # fmt: skip
        for fall in falls:
            self.folder.emit(fall)
        return falls

    def _choice(
        self,
        select: dict[str, dict[str, float]],
        attempts: dict[str, dict[str, int]],
        held: Collection[tuple[int, str]],
    ) -> Chosen:
        """Pick by select an arm for every seed, among those not held back, and the seed; earlier arms win ties."""
        free = {
            seed: {arm: value for arm, value in of_seed.items() if (int(seed), arm) not in held}
            for seed, of_seed in select.items()
        }
        returned = {seed: self._best(of_seed) for seed, of_seed in free.items()}
        best_seed = self._best({seed: select[seed][arm] for seed, arm in returned.items()})
        return Chosen(select, attempts, returned, int(best_seed))

    def _best(self, values: Mapping[str, float]) -> str:
        best, *others = values
        for name in others:
            best = name if self.evaluator.better(values[name], values[best]) else best
        return best

    def _selected(self, seed: int, arm: str, attempt: int) -> nn.Module:
        model = self.setup.build(seed)
        load_into(model, load_weights(self.folder.weights(seed, arm, attempt)))
        return model.eval()


def _over_budget(budget: Budget) -> list[str]:
    """Say where the minutes do not reach for what cannot be made shorter."""
    expected = sum(budget.expected.values())
    if budget.minutes is None or expected <= 66 * budget.minutes:
        return []
    return [
        f"{budget.minutes:g} minutes do not reach: about {expected / 60:.2g} are needed for one step of every try, "
        "with start, warm-up, evaluations and test; give more minutes, or fewer seeds or tries"
    ]


def _without_value(chosen: Chosen) -> list[str]:
    """Say where no try of an arm has a value on select: every one has diverged, or the metric is undefined there."""
    return [
        f"seed {seed}: no try of {arm} has a value on select, so its figures are those of a model that was not chosen"
        for seed, arms in chosen.select.items()
        for arm, value in arms.items()
        if np.isnan(value)
    ]


def _not_noticed(identity: Mapping[str, Any]) -> list[str]:
    """What may change without being noticed when the run is resumed, as sentences."""
    told = [
        f"the hash of {name} is {digest.partition(': ')[0]}: when the run is resumed, the rest is not compared"
        for name, digest in identity["found"]["data"].items()
        if digest.startswith("of the first ")
    ]
    told += [
        f"{name} gives {digest.partition(': ')[0]}: the arms do not see the same, and a resumed run is not the "
        "uninterrupted one"
        for name, digest in identity["found"]["data"].items()
        if digest.startswith("other ")
    ]
    unread = identity["not compared"]
    return told + (
        [f"what cannot be compared when the run is resumed: {', '.join(unread)}"] if unread else []
    )
