"""What metricgrad raises on purpose.

Every message says what was called, what came, what was expected and what to do next. The command line turns
`MetricgradError` into one line and exit code 2; anything else is a defect of ours and keeps its traceback.
"""

__all__ = [
    "CheckpointError",
    "Collapsed",
    "ComparisonMismatch",
    "Distrusted",
    "Diverged",
    "InputError",
    "Interrupted",
    "JudgeEnded",
    "LawBroken",
    "MetricFailed",
    "MetricgradError",
    "MissingExtraError",
    "RunFolderError",
    "TrialFailed",
]


class MetricgradError(Exception):
    """Base of every error that metricgrad raises on purpose."""


class InputError(MetricgradError, ValueError):
    """An argument, file or recipe of the user does not fit; the message says which and how to mend it."""


class MetricFailed(InputError):
    """A metric of the user raised, or returned no number that could be compared; the message says which and what."""


class ComparisonMismatch(InputError):
    """A metric of comparisons asked another number of them than before: it may not depend on the values."""


class MissingExtraError(MetricgradError, ImportError):
    """An optional dependency is missing; the message ends with the one line that installs it."""


class RunFolderError(MetricgradError, OSError):
    """A run folder cannot be used: it is read-only, full, locked by another run or holds something else."""


class CheckpointError(MetricgradError, RuntimeError):
    """A checkpoint cannot be read or does not belong to this run (other data, version or thread count)."""


class Interrupted(MetricgradError):
    """The run was asked to stop (SIGINT, SIGTERM); its checkpoint is written and it can be resumed."""


class Collapsed(MetricgradError):
    """Training has destroyed what it trains (all scores became equal); the stage ends with the best weights so far."""


class Diverged(InputError):
    """The loss, a weight or an output is NaN or infinite; the try ends with its best weights so far."""


class TrialFailed(MetricgradError):
    """A method asked for the exact metric on the pool and got none: it raised, or is NaN. The trial has no value."""


class JudgeEnded(MetricgradError):
    """A method may not ask for the exact metric any more (its calls are spent, or fail); the stage ends there."""


class Distrusted(MetricgradError):
    """A learned surrogate does not agree with the metric and must not touch the model; the stage ends there."""


class LawBroken(MetricgradError, AssertionError):
    """A loss or metric under `metricgrad.testing` breaks a law; the message is the report, which is also `report`."""

    def __init__(self, report: object) -> None:
        super().__init__(str(report))
        self.report = report
