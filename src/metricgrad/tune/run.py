"""`tune`: start, continued, tuned; chosen on select; test read once; a verdict, weights and a record."""

import copy
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metricgrad._checks import describe, fail
from metricgrad._records import Budget, Chosen, Finished, Note, Resumed, RunStarted
from metricgrad._types import Observer, Split
from metricgrad.errors import MissingExtraError
from metricgrad.metrics import adapt
from metricgrad.scale import ProcessLost, current, joined
from metricgrad.tune.arms import Arm, Setup, budget_of, shared_tries, stages_of
from metricgrad.tune.auto import road_for_loss, road_named
from metricgrad.tune.checkpoint import load_weights, save_weights
from metricgrad.tune.deterministic import deterministic
from metricgrad.tune.evidence import Selected, judge, read_test, write_gallery
from metricgrad.tune.examples import write_examples
from metricgrad.tune.folder import RunFolder, opened
from metricgrad.tune.identity import check_identity, identity_of, read_config, versions
from metricgrad.tune.loop import Stage, StopRequest, seed_everything, train_stage
from metricgrad.tune.plan import Plan, trainable_parameters
from metricgrad.tune.result import Result
from metricgrad.tune.select import Evaluator
from metricgrad.tune.splits import Splits, check_disjoint, describe_split

__all__ = ["SeededModel", "tune"]


def tune(
    model: nn.Module | Callable[[int], nn.Module],
    splits: Splits,
    *,
    metric: Any,
    proxy: str | Callable[[Any, Any], Tensor] | None = None,
    method: str = "auto",
    plan: Plan | None = None,
    higher_is_better: bool | None = None,
    seed: int | Sequence[int] = 0,
    settings: Mapping[str, Any] | None = None,
    proxy_settings: Mapping[str, Any] | None = None,
    start_plan: Plan | None = None,
    start_settings: Mapping[str, Any] | None = None,
    folder: str | Path | None = None,
    task: str | None = None,
    recipe: Mapping[str, Any] | None = None,
    facts: Mapping[str, str] | None = None,
    observer: Observer | None = None,
    force: bool = False,
) -> Result:
    """Tune a model for a metric and show by held-out evidence whether that helped.

    Three arms: **start** (the model as it came), **continued** (the proxy loss goes on) and **tuned** (the method),
    the last two with equal steps, trainable parameters, data and tries. `select` chooses the step, the settings and
    the arm whose weights are returned; `test` is read once, at the end, for a paired bootstrap interval of tuned
    minus the better of the others.

    Args:
        model: a network that already works (it is copied, never changed), or `seed -> network`.
        splits: fit, select, test; `Splits(fit, select)` claims nothing.
        metric: a name ("recall@1"), a function of ours, a torchmetrics metric, a scikit-learn function or scorer,
            a `Metric`, or any `callable(outputs, targets) -> float`.
        proxy: the loss that the model was trained with: `(outputs, targets) -> Tensor`, or the name of one of ours
            ("supcon"). Without it there is no control arm, and the result says so.
        method: `auto`, or `family:objective` (`surrogate:recall_at_k`, `direct:average_precision`, ...). Several,
            separated by commas, share the tries out among them: select chooses the method, too.
        plan: budget of the arms.
        higher_is_better: direction of a metric that does not tell its own.
        seed: one or several; each draws its own batches, and its own start model where `model` is a callable.
        settings: of the method (learning_rate, objective temperature, ...); of several methods what belongs to the
            objective is the first one's.
        proxy_settings: of the control arm.
        start_plan: train the start model with the proxy first, until it has no better select value for 5
            evaluations; the best checkpoint is the start.
        start_settings: of that training.
        folder: where the run lives; one that holds the same run unfinished is resumed. None: a temporary folder,
            which `Result.save` copies.
        task: name of the task, for the record.
        recipe: kept in config.yaml, so that a command can rebuild the call.
        facts: what must be unchanged when the run is resumed (hash of a feature cache, ...).
        observer: receives every event; default: plain lines on standard error.
        force: resume although data, versions or thread count have changed; the run is marked.

    Returns:
        The result: verdict, record, returned weights.

    Raises:
        InputError: an argument does not fit; nothing was written.
        RunFolderError: the folder is read-only, full, in use, or holds another run.
        CheckpointError: the checkpoint is corrupt, or belongs to other data, versions or thread count.
        Interrupted: SIGINT or SIGTERM; the checkpoint is written, the same call resumes.
        ProcessLost: another process of the run has died (runs of torchrun); the same call resumes.

    Several processes:
        Started by torchrun, every process makes this call and embeds its part of every batch; process 0 measures,
        decides and writes. The folder must be one that all of them see.

    Cost:
        seeds * arms * tries * steps training steps, a twentieth as many evaluations of `select`, one of `test`.

    Reference:
        [efron1993bootstrap]

    Example:
        >>> inputs, labels = torch.randn(80, 8, generator=torch.manual_seed(0)), torch.arange(80) % 20
        >>> from metricgrad.tune import ArraySplit, ClassBatchSplit
        >>> part = [labels < 10, (labels >= 10) & (labels < 15), labels >= 15]
        >>> fit = ClassBatchSplit(inputs[part[0]], labels[part[0]], classes_per_batch=8, samples_per_class=4)
        >>> select, test = (ArraySplit(inputs[rows], labels[rows]) for rows in part[1:])
        >>> quiet = lambda event: None
        >>> result = tune(
        ...     nn.Linear(8, 4),
        ...     Splits(fit, select, test),
        ...     metric="recall@1",
        ...     proxy="supcon",
        ...     plan=Plan(steps=5),
        ...     observer=quiet,
        ... )
        >>> result.verdict in {"gain", "no evidence", "worse"}
        True
    """
    setup = _resolve(
        model, splits, metric, proxy, method, plan or Plan(), higher_is_better, seed, settings, proxy_settings,
        start_plan, start_settings,
    )  # fmt: skip
    with joined() as processes:
        path = Path(processes.led(lambda: str(folder or tempfile.mkdtemp(prefix="metricgrad-"))))
        try:
            with opened(path, observer or plain_lines) as opened_folder, StopRequest() as stop:
                run = _Run(setup, opened_folder, stop, task)
                run.go(identity_of(setup, facts or {}, recipe), force=force)
        except ProcessLost as error:
            raise ProcessLost(
                f"{error} The run in {path} can be resumed from its last checkpoint, with any number of processes."
            ) from error
        result = Result(path, temporary=folder is None and processes.leader)
        result.model = setup.build(run.best_seed)
        result.model.load_state_dict(result.weights())
        processes.wait()  # a temporary folder goes with the result of process 0
    return result


def plain_lines(event: Mapping[str, Any]) -> None:
    """Write what matters as plain lines on standard error: the observer of a run that names none."""
    text = {
        "note": "{text}",
        "stage_started": "seed {seed}: {arm} (try {attempt}), {steps} steps",
        "evaluated": "seed {seed}: {arm} step {step}: select {value:.4f} (best {best:.4f} at step {best_step})",
        "tested": "seed {seed}: {arm}: test {value:.4f} over {units} units",
        "verdict": "{sentence}",
    }.get(event["event"])
    if text is not None:
        sys.stderr.write(text.format(**event) + "\n")


def _resolve(
    model: nn.Module | Callable[[int], nn.Module], splits: Splits, metric: Any, proxy: Any, method: str,
    plan: Plan, higher_is_better: bool | None, seed: int | Sequence[int], settings: Mapping[str, Any] | None,
    proxy_settings: Mapping[str, Any] | None,
    start_plan: Plan | None, start_settings: Mapping[str, Any] | None,
) -> Setup:  # fmt: skip
    """Check everything that can be checked before anything is written."""
    if not isinstance(model, nn.Module) and not callable(model):
        raise fail(
            "tune", f"model is {describe(model)}", "a torch.nn.Module or a callable seed -> torch.nn.Module"
        )
    exact = adapt(metric, higher_is_better=higher_is_better)
    if exact.unit == "query":
        check_disjoint(splits)
    if plan.batch is not None:
        if not hasattr(splits.fit, "rebatch"):
            raise fail("tune", f"plan.batch is {plan.batch}, but the fit split is a {type(splits.fit).__name__}",
                       "a split that can change its batch", "Set the batch size where you make the split.")  # fmt: skip
        splits = Splits(splits.fit.rebatch(plan.batch), splits.select, splits.test)  # pyright: ignore
    seeds = [seed] if isinstance(seed, int) else [int(item) for item in seed]
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise fail("tune", f"seed is {seed!r}", "one or several different whole numbers >= 0")
    roads = [road_named(name.strip(), exact, proxy) for name in method.split(",")]
    arms = [Arm("tuned", shared_tries(roads, settings or {}, plan.tries))]
    start = None
    if isinstance(proxy, nn.Module) and proxy.state_dict():
        raise fail(
            "tune",
            f"the proxy {type(proxy).__name__} has weights or buffers of its own",
            "a loss without state, since tune neither trains nor checkpoints a loss",
            "Put them into the model, or give a loss without state.",
        )
    if proxy is not None:
        control = [road_for_loss(proxy)]
        arms.insert(0, Arm("continued", shared_tries(control, proxy_settings or {}, plan.tries)))
        if start_plan is not None:
            start = Arm("start", shared_tries(control, start_settings or {}, 1))
    elif start_plan is not None:
        raise fail("tune", "start_plan without a proxy", "a proxy: the start model is trained with it")
    for arm in [*arms, *([start] if start is not None else [])]:
        for attempt in arm.attempts:
            attempt.make()  # settings that do not fit must fail before anything is trained
    return Setup(SeededModel(model), splits, exact, arms, start, plan, start_plan or Plan(), seeds)


class SeededModel:
    """Builds the start model of a seed, the same one every time: a copy, or what the user's function makes."""

    def __init__(self, model: nn.Module | Callable[[int], nn.Module]) -> None:
        self.model = model

    def __call__(self, seed: int) -> nn.Module:
        """Return the start model of a seed."""
        if isinstance(self.model, nn.Module):
            return copy.deepcopy(self.model)
        seed_everything(seed)
        return self.model(seed)


class _Run:
    """The stages of a run, one after the other, each resumable; then the choice; then the test split."""

    def __init__(self, setup: Setup, folder: RunFolder, stop: StopRequest, task: str | None) -> None:
        self.setup, self.folder, self.stop, self.task = setup, folder, stop, task
        self.evaluator = Evaluator(setup.metric)
        self.marks: list[str] = []
        self.best_seed = setup.seeds[0]

    def go(self, identity: Mapping[str, Any], *, force: bool) -> None:
        """Run, or go on, to the end."""
        began = time.time()
        state = self._open(identity, force=force)
        current().wait()  # nobody writes before everybody has read
        self.evaluator.calls.update(state["metric_calls"])
        if state["finished"]:
            self.best_seed = state["best_seed"]
            return
        stages = stages_of(self.setup, Budget(**state["budget"]))
        for index in range(len(state["values"]), len(stages)):
            self._stage(stages[index], state, state.pop("stage", None))
        if current().leader:
            self._conclude(stages, state, began)
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
        return None if state is None else self._resumed(state, forced, told)

    def _new(self, identity: Mapping[str, Any]) -> dict[str, Any]:
        """Begin the record and decide the budget."""
        self.folder.load()  # no checkpoint: cuts a record without one back to nothing
        self.folder.write_config(identity)
        setup = self.setup
        roads = {arm.name: arm.method for arm in setup.arms}
        splits = {
            name: describe_split(split)
            for name in ("fit", "select", "test")
            if (split := getattr(setup.splits, name)) is not None
        }
        self.folder.emit(
            RunStarted(
                setup.metric.name, setup.metric.description, setup.metric.higher_is_better, setup.metric.unit,
                roads["tuned"], roads.get("continued"), self.task, list(setup.seeds), splits, versions(),
                torch.get_num_threads(),
            )
        )  # fmt: skip
        if current().size > 1:
            self.folder.emit(Note(f"{current().size} processes: each embeds its part of every batch"))
        if setup.splits.test is None:
            self.folder.emit(Note("the run has no test split: nothing will be claimed"))
        budget = budget_of(setup)
        self.folder.emit(budget)
        state = {
            "budget": vars(budget).copy(),
            "values": [],
            "metric_calls": {},
            "marks": [],
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
            stages = stages_of(self.setup, Budget(**state["budget"]))
            stage = stages[min(len(state["values"]), len(stages) - 1)]
            step = state["stage"]["progress"]["step"] if "stage" in state else 0
            self.folder.emit(Resumed(**stage.key, step=step, forced=forced))
        return state

    def _stage(self, stage: Stage, state: dict[str, Any], saved: Mapping[str, Any] | None) -> None:
        """Train one stage, keep its selected weights and move the checkpoint past it."""
        model = self.setup.build(stage.seed)
        if stage.arm != "start" and current().leader:
            model.load_state_dict(load_weights(self.folder.weights(stage.seed, "start", 0)))
        current().same_weights(model)
        if stage.steps == 0:
            value = current().led(lambda: self.evaluator.value(model, self.setup.splits.select, "select"))
            weights = model.state_dict()
        else:
            trainable = self.setup.start_plan.trainable if stage.arm == "start" else self.setup.plan.trainable
            with deterministic(model):
                value, weights = train_stage(
                    stage, model, trainable_parameters(model, trainable), self.setup.method(stage),
                    fit=self.setup.splits.fit, select=self.setup.splits.select, evaluator=self.evaluator,
                    folder=self.folder, base=state, saved=saved, stop=self.stop,
                )  # fmt: skip
        if current().leader:
            save_weights(self.folder.weights(stage.seed, stage.arm, stage.attempt), weights)
        state["values"].append(value)
        state["metric_calls"] = dict(self.evaluator.calls)
        self.folder.save(state)

    def _conclude(self, stages: Sequence[Stage], state: dict[str, Any], began: float) -> None:
        """Choose on select, fsync the choice, only then read test; judge; keep the returned weights."""
        chosen, values = self._choose(stages, state["values"])
        self.folder.emit(chosen, durable=True)
        arms = [arm for arm in ("start", "continued", "tuned") if arm in values]
        models = {
            (seed, arm): self._selected(seed, arm, chosen.attempts[str(seed)][arm])
            for seed in self.setup.seeds
            for arm in arms
        }
        test, statistics = self.setup.splits.test, None
        if test is not None:
            statistics = read_test(models, test, self.evaluator, self.folder)
        method = self._chosen_method(chosen)
        selected = Selected(self.setup.metric, method, values, dict(self.evaluator.calls), state["marks"])
        verdict = judge(selected, statistics, self.setup.seeds)
        self.folder.emit(verdict)
        self.best_seed = chosen.best_seed
        returned = chosen.returned[str(self.best_seed)]
        facts = {"arm": returned, "seed": str(self.best_seed), "metric": self.setup.metric.name}
        best = self.folder.path / "best.safetensors"
        save_weights(best, models[self.best_seed, returned].state_dict(), facts)
        if test is not None and verdict.baseline is not None:
            self._keep_examples(models, verdict.baseline, test)
        self.folder.emit(Finished(returned, best.name, round(time.time() - began, 1)))
        self.folder.save(
            {
                **state,
                "metric_calls": dict(self.evaluator.calls),
                "finished": True,
                "best_seed": self.best_seed,
            }
        )

    def _chosen_method(self, chosen: Chosen) -> str:
        """Name the roads of the tries that stand for the tuned arm."""
        tuned = next(arm for arm in self.setup.arms if arm.name == "tuned")
        attempts = [chosen.attempts[str(seed)]["tuned"] for seed in self.setup.seeds]
        return " or ".join(dict.fromkeys(tuned.attempts[attempt].road.name for attempt in attempts))

    def _keep_examples(self, models: Mapping[tuple[int, str], nn.Module], baseline: str, test: Split) -> None:
        """Keep queries or samples that changed with the first seed, with pictures, for the report."""
        first, metric = self.setup.seeds[0], self.setup.metric
        before, after = models[first, baseline], models[first, "tuned"]
        try:
            if metric.unit == "query":
                write_gallery(before, after, baseline, test, self.folder)
            elif metric.kind is not None:
                write_examples(before, after, baseline, test, metric, self.folder)
        except MissingExtraError as error:
            self.folder.emit(Note(f"no gallery: {error}"))

    def _choose(self, stages: Sequence[Stage], values: Sequence[float]) -> tuple[Chosen, dict[str, float]]:
        """Pick the try of every arm, the arm of every seed and the seed, all by select; earlier arms win ties."""
        select: dict[str, dict[str, float]] = {}
        attempts: dict[str, dict[str, int]] = {}
        for stage, value in zip(stages, values, strict=True):
            of_seed = select.setdefault(str(stage.seed), {})
            if stage.arm not in of_seed or self.evaluator.better(value, of_seed[stage.arm]):
                of_seed[stage.arm] = value
                attempts.setdefault(str(stage.seed), {})[stage.arm] = stage.attempt
        returned = {seed: self._best(of_seed) for seed, of_seed in select.items()}
        best_seed = self._best({seed: select[seed][arm] for seed, arm in returned.items()})
        means = {
            arm: float(np.mean([of_seed[arm] for of_seed in select.values()]))
            for arm in next(iter(select.values()))
        }
        return Chosen(select, attempts, returned, int(best_seed)), means

    def _best(self, values: Mapping[str, float]) -> str:
        names = [name for name in ("start", "continued", "tuned") if name in values] or list(values)
        best = names[0]
        for name in names[1:]:
            best = name if self.evaluator.better(values[name], values[best]) else best
        return best

    def _selected(self, seed: int, arm: str, attempt: int) -> nn.Module:
        model = self.setup.build(seed)
        model.load_state_dict(load_weights(self.folder.weights(seed, arm, attempt)))
        return model.eval()
