"""The end of a run: the choice on select, the one reading of test, the verdict, and what is kept."""

import time
from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor, nn

from metricgrad._records import Chosen, Finished, Progress
from metricgrad.tune.choice import attempts_of, chosen_method, chosen_of, without_value
from metricgrad.tune.evaluator import Evaluator
from metricgrad.tune.evidence import Selected, favourite, judge, opponent, read_test
from metricgrad.tune.falls import Beside, held_back, told_of
from metricgrad.tune.folder import RunFolder
from metricgrad.tune.groups import grouping_of
from metricgrad.tune.pictures import keep_pictures
from metricgrad.tune.setup import Setup
from metricgrad.tune.stage import Stage
from metricgrad.tune.state import RunState
from metricgrad.tune.weights import load_model, save_model

__all__ = ["Conclusion"]


class Conclusion:
    """What becomes of the trained stages of a run; process 0 alone draws it.

    Args:
        setup: of the run.
        folder: of the run.
        evaluator: measures, and counts.
        began: seconds since the epoch when the call began.
    """

    def __init__(self, setup: Setup, folder: RunFolder, evaluator: Evaluator, began: float) -> None:
        self.setup, self.folder, self.evaluator, self.began = setup, folder, evaluator, began
        self.beside = Beside(setup.side_metrics, folder)

    def conclude(self, stages: Sequence[Stage], state: RunState) -> int:
        """Choose on select, fsync the choice, only then read test; judge; keep the returned weights; their seed."""
        select, attempts = attempts_of(stages, state.values, self.evaluator.better)
        arms = [arm.name for arm in self.setup.every_arm]
        every = [(seed, arm) for seed in self.setup.seeds for arm in arms]
        resamples = state.budget.resamples or self.setup.plan.resamples

        def model_of(seed: int, arm: str) -> nn.Module:
            return self._selected(seed, arm, attempts[str(seed)][arm])

        falls = self.beside.falls(
            every,
            model_of,
            self.evaluator.outputs,
            self.setup.splits,
            start=self.setup.start.name,
            resamples=resamples,
        )
        chosen = chosen_of(select, attempts, held_back(falls), self.evaluator.better)
        self.folder.emit(chosen, durable=True)
        values = {arm: float(np.mean([of_seed[arm] for of_seed in select.values()])) for arm in arms}
        marks = [*state.marks, *told_of(falls), *without_value(chosen)]
        test, read = self.setup.splits.test, None
        contender = self.setup.arm(favourite(self.setup.metric, values, self.setup.entrants))
        pictured = (opponent(self.setup.metric, values, self.setup.entrants), contender.name)
        if test is not None:
            keep = pictured if getattr(test, "pictures", None) is not None else ()
            read = read_test(
                every, model_of, test, self.evaluator, self.folder, keep=keep, beside=self.beside
            )
        statistics = None if read is None else read.statistics
        marks += self._unchanged(stages, chosen, statistics)
        marks += self.beside.failed
        method = chosen_method(chosen, contender)
        calls = {**self.evaluator.calls, **self.beside.calls}
        selected = Selected(self.setup.metric, method, values, calls, marks, self.setup.entrants)
        verdict = judge(
            selected, statistics, self.setup.seeds,
            grouping=grouping_of("test", self.setup.splits, self.setup.metric),
            resamples=resamples,
            watch=lambda done, total: self.folder.emit(Progress("resamples of test", done, total, "resample")),
        )  # fmt: skip
        self.folder.emit(verdict)
        returned = chosen.returned[str(chosen.best_seed)]
        facts = {"arm": returned, "seed": str(chosen.best_seed), "metric": self.setup.metric.name}
        best = self.folder.path / "best.safetensors"
        save_model(best, model_of(chosen.best_seed, returned), facts)
        if test is not None and read is not None and read.outputs:
            keep_pictures(read, pictured, test, self.setup.metric, self.folder)
        self.folder.emit(Finished(returned, best.name, round(time.time() - self.began, 1)))
        return chosen.best_seed

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

    def _selected(self, seed: int, arm: str, attempt: int) -> nn.Module:
        model = self.setup.build(seed)
        load_model(self.folder.weights(seed, arm, attempt), model)
        return model.eval()
