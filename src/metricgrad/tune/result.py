"""What a run leaves: its verdict, its record, its weights."""

import shutil
import stat
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from torch import nn

from metricgrad._checks import fail
from metricgrad._documents import Unreadable
from metricgrad._layout import check_layout
from metricgrad._record_file import read_record
from metricgrad._records import record_of
from metricgrad.decision.plain_rules import is_plain
from metricgrad.decision.rule import Rule
from metricgrad.errors import InputError, RunFolderError
from metricgrad.tune.kept_rule import network_and_rule, predicted
from metricgrad.tune.networks import SeededModel
from metricgrad.tune.projected import Form, as_kept, head_of

__all__ = ["Result"]

BEST = "best.safetensors"


class Result:
    """The outcome of a run, read from its folder.

    Args:
        folder: a run folder.
        model: the network with the returned weights, where the caller has one.
        temporary: the folder is removed with the result, so `summary` names no place in it (`save` keeps it).

    Attributes:
        events: the record, in order.
        verdict: `gain`, `no evidence`, `worse` or `nothing claimed`; None while the run is unfinished.
        returned: the arm that `select` prefers among those that no side metric holds back; its weights are
            `best.safetensors`.

    Raises:
        InputError: the folder holds no record, or one that cannot be read.
        RunFolderError: a link or a pipe in the place of a file (see `check_layout`).
    """

    renderer: ClassVar[Callable[[Path], Path] | None] = None
    """Draws `report.html` from a run folder; the package root sets it (the report is a floor that tune cannot see)."""
    summariser: ClassVar[Callable[..., str] | None] = None
    """`(events, *, folder) -> text`: the closing table; the package root sets it."""

    def __init__(
        self,
        folder: Path,
        *,
        model: nn.Module | None = None,
        temporary: bool = False,
    ) -> None:
        self.folder, self.model = Path(folder), model
        self._temporary: weakref.finalize | None = None
        if temporary:
            self._temporary = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        check_layout(self.folder)
        if not (self.folder / "record.jsonl").is_file():
            raise InputError(
                f"Result: {folder} has no record.jsonl; expected a run folder (see `metricgrad tune`)."
            )
        self.events = list(read_record(self.folder / "record.jsonl"))
        for number, event in enumerate(self.events, start=1):
            try:
                record_of(event)
            except Unreadable as error:
                raise InputError(
                    f"Result: {folder}/record.jsonl line {number} ({event['event']}) is {error}; expected it as `tune` "
                    "writes it. The file is damaged: resume the run, which mends its record, or restore the file."
                ) from error

    @classmethod
    def load(
        cls, folder: str | Path, *, model: nn.Module | Callable[[int], nn.Module] | None = None
    ) -> "Result":
        """Read the result of a run folder and, where its network is given, put the returned weights into it.

        Args:
            folder: a run folder.
            model: the network that was tuned (it is copied, never changed), or `seed -> network`. The result's
                `model` is then this network with the returned weights; None: it has no `model`, only `weights()`.

        Raises:
            InputError: the folder holds no record, or a model was given and the run is not finished.
            CheckpointError: the weights are of another network, or damaged.
        """
        result = cls(Path(folder))
        if model is not None:
            chosen = result.event("chosen")
            if chosen is None or result.returned is None:
                raise fail(
                    "Result.load",
                    f"the run in {folder} is not finished",
                    "a run that returned weights",
                    "Finish it: make the same call of tune again, or `metricgrad resume`.",
                )
            result.take(SeededModel(model)(record_of(chosen).best_seed))
        return result

    def take(self, model: nn.Module) -> None:
        """Make a network the result's `model`, with the returned weights, and the closed form where one is returned."""
        self.model = as_kept(self.folder / BEST, model)

    def event(self, name: str) -> Mapping[str, Any] | None:
        """Return the last event of that name, or None."""
        return next((event for event in reversed(self.events) if event["event"] == name), None)

    @property
    def verdict(self) -> str | None:
        """The verdict, or None while the run is unfinished."""
        event = self.event("verdict")
        return None if event is None else event["verdict"]

    @property
    def returned(self) -> str | None:
        """The arm whose weights are returned, or None while the run is unfinished."""
        event = self.event("finished")
        return None if event is None else event["returned"]

    def weights(self) -> dict[str, Any]:
        """Return the state dict of the returned network (of the seed that `select` prefers), under its own names.

        Where a closed form is returned, it is that of the start: see `projection`.
        """
        return network_and_rule(self.folder / BEST)[0]

    @property
    def projection(self) -> Form | None:
        """The closed form that is returned, of the outputs or the inputs; None where a trained network or `raw` is.

        Of a run over pairs it is a `projection.PairProjection`, one map for each side.
        """
        head = head_of(self.folder / BEST)
        return None if head is None else head.projection

    @property
    def rule(self) -> Rule | None:
        """The rule of the returned model; None where it decides without one, or nothing is decided."""
        rule = network_and_rule(self.folder / BEST)[1]
        return None if rule is None or is_plain(rule) else rule

    def predict(self, inputs: Any) -> Any:
        """Return what the returned model says of a batch: decisions where a rule decides, such as classes [item].

        Args:
            inputs: as the network takes them.

        Returns:
            Classes by the rule of the run, or by argmax where that was kept; 0 and 1 [item, label] by a rule of labels.
            For any other metric, and for a run with `decision="argmax"`, the outputs of the network.

        Raises:
            InputError: the result has no network: it was loaded without one.

        For an ONNX graph of both see `rule.to_onnx(path, network=result.model, inputs=...)`.
        """
        if self.model is None:
            raise fail(
                "Result.predict",
                f"the result of {self.folder} has no network",
                "one: Result.load(folder, model=...)",
            )
        return predicted(self.model, network_and_rule(self.folder / BEST)[1], inputs)

    def summary(self) -> str:
        """Return the closing table as plain text."""
        if Result.summariser is None:
            event = self.event("verdict")
            return "unfinished run" if event is None else str(event["sentence"])
        if self._temporary is None:
            return Result.summariser(self.events, folder=self.folder)
        text = Result.summariser(self.events, folder=None)
        return f"{text}\nNothing of this is kept: save(folder) keeps weights, record and report."

    def save(self, path: str | Path) -> Path:
        """Copy the run folder to `path` (which must not exist or be empty), draw its report and stay with the copy.

        Links and pipes in the folder are left out: what they lead to is no part of the run.

        Raises:
            RunFolderError: something stands at `path`, or it cannot be written.
        """
        path = Path(path)
        try:
            taken = path.exists() and (not path.is_dir() or any(path.iterdir()))
            if not taken:
                shutil.copytree(self.folder, path, symlinks=True, dirs_exist_ok=True, ignore=_no_part)
        except (OSError, ValueError) as error:  # ValueError: a null character in the path
            raise RunFolderError(
                f"Result.save: {self.folder} cannot be copied to {path} ({error}); expected a folder that can be "
                "written to, with room. The run is still where it was."
            ) from error
        if taken:
            raise RunFolderError(f"Result.save: {path} exists and is not empty; choose another folder.")
        self.folder = path
        if self._temporary is not None:
            self._temporary()
            self._temporary = None
        if Result.renderer is not None:
            self.report()
        return path

    def report(self) -> Path:
        """Draw `report.html` in the run folder and return its path."""
        if Result.renderer is None:
            raise InputError("Result.report: no renderer is set; import metricgrad, which sets it.")
        return Result.renderer(self.folder)


def _no_part(folder: str, names: list[str]) -> list[str]:
    """Return the entries of a folder that are not copied: the lock, and what is neither a file nor a folder itself."""
    modes = {name: (Path(folder) / name).lstat().st_mode for name in names}
    return [
        name
        for name, mode in modes.items()
        if name == ".lock" or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
    ]
