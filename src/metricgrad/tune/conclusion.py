"""The end of a run: the choice on select, the one reading of test, the verdict, and what is kept."""

import time
from collections.abc import Sequence

from metricgrad._records import Chosen, Finished, Progress
from metricgrad.tune.evaluator import Evaluator
from metricgrad.tune.evidence import Reading, read_test
from metricgrad.tune.falls import Beside
from metricgrad.tune.finalists import Finalists
from metricgrad.tune.folder import RunFolder
from metricgrad.tune.pictures import keep_pictures
from metricgrad.tune.selection import selected
from metricgrad.tune.setup import Setup
from metricgrad.tune.stage import Stage
from metricgrad.tune.state import RunState
from metricgrad.tune.verdict import judged, spoken_of

__all__ = ["Conclusion"]

BEST = "best.safetensors"


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
        setup = self.setup
        found = selected(setup, self.folder, self.evaluator, self.beside, stages, state)
        chosen, finalists = found.chosen, found.finalists
        pictured = spoken_of(setup, chosen)
        read = self._read(chosen, finalists, pictured)
        marks = [*state.marks, *found.marks, *self._unchanged(stages, chosen, read), *self.beside.failed]
        found_on_test = judged(
            setup,
            chosen,
            read,
            calls={**self.evaluator.calls, **self.beside.calls},
            marks=marks,
            rules=finalists.rule_names,
            resamples=state.budget.resamples or setup.plan.resamples,
            watch=self._watch,
        )
        for record in found_on_test:
            if record is not None:
                self.folder.emit(record)
        self._keep(chosen, finalists)
        finalists.show_rule(*_best(chosen), None if read is None else read.outputs)
        test = setup.splits.test
        if test is not None and read is not None and getattr(test, "pictures", None) is not None:
            keep_pictures(read, setup.seeds[0], pictured, test, setup.metric, self.folder)
        self.folder.emit(Finished(_best(chosen)[1], BEST, round(time.time() - self.began, 1)))
        return chosen.best_seed

    def _read(self, chosen: Chosen, finalists: Finalists, pictured: tuple[str, str]) -> Reading | None:
        """Read test once with every model; None without a test split."""
        test = self.setup.splits.test
        if test is None:
            return None
        every = [(seed, arm.name) for seed in self.setup.seeds for arm in self.setup.every_arm]
        keep = {_best(chosen)} if finalists.rules else set()
        if getattr(test, "pictures", None) is not None:
            keep |= {(self.setup.seeds[0], arm) for arm in pictured}
        return read_test(every, finalists.on_test, self.evaluator, self.folder, keep=keep, beside=self.beside)

    def _watch(self, done: int, total: int) -> None:
        self.folder.emit(Progress("resamples of test", done, total, "resample"))

    def _keep(self, chosen: Chosen, finalists: Finalists) -> None:
        """Keep the weights that are returned, with their rule."""
        seed, arm = _best(chosen)
        facts = {"arm": arm, "seed": str(seed), "metric": self.setup.metric.name}
        finalists.save(self.folder.path / BEST, seed, arm, facts)

    def _unchanged(self, stages: Sequence[Stage], chosen: Chosen, read: Reading | None) -> list[str]:
        """Name the arms whose training changed no figure of the metric, with the learning rate that was too small."""
        values = {
            arm: [float(self.setup.metric.summarise(table)) for table in tables]
            for arm, tables in ({} if read is None else read.statistics).items()
        }
        marks, start = [], self.setup.start.name
        for arm in [arm.name for arm in self.setup.trained]:
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


def _best(chosen: Chosen) -> tuple[int, str]:
    """Seed and arm of the model that is returned."""
    return chosen.best_seed, chosen.returned[str(chosen.best_seed)]
