"""The run over a table: models in their turn within the minutes, the choice, one reading of test, what is left."""

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from metricgrad._types import Observer
from metricgrad.tabular.choosing import Chosen, Offer, chosen_of, offers_of
from metricgrad.tabular.job import WHOLE, Job
from metricgrad.tabular.judged import Judged, judged
from metricgrad.tabular.models import Models
from metricgrad.tabular.saved import save_table_model
from metricgrad.tabular.turns import trained_in_turn
from metricgrad.tune.checkpoint import write_atomically

__all__ = ["Learned", "digest_of", "learn_table"]


@dataclass(frozen=True)
class Learned:
    """What came out of a table.

    Attributes:
        job: what was learned.
        chosen: what the pool chose.
        judged: what test says.
        notes: what a reader should know.
        words: the rule of what is used, in words.
        folder: that holds model, leaderboard and record.
    """

    job: Job
    chosen: Chosen
    judged: Judged
    notes: list[str]
    words: str
    folder: Path

    @property
    def facts(self) -> dict[str, Any]:
        """Everything as plain values."""
        job, chosen = self.job, self.chosen
        return {
            "metric": job.metric.name,
            "higher_is_better": job.metric.higher_is_better,
            "target": job.target,
            "classes": list(job.classes),
            "positive_class": job.positive,
            "network": "TabM" if job.tabm else "MLP",
            "schema": job.encoder.schema.document(),
            "parts": {
                "words": job.parts.words,
                **{name: len(getattr(job.parts, name)) for name in ("fit", "select", "test")},
            },
            "used": {"name": chosen.used.name, "rule": chosen.used.fitted.rule.name, "words": self.words},
            "choice": {"told": chosen.told, "gain": chosen.gain, "low": chosen.low},
            **self.judged.facts,
            "notes": self.notes,
            "folder": str(self.folder),
        }


def learn_table(
    job: Job,
    folder: Path,
    *,
    minutes: float,
    observer: Observer,
    notes: Sequence[str] = (),
    resamples: int = 2000,
) -> Learned:
    """Train, choose, judge and save.

    Args:
        job: what is learned.
        folder: of the run. Finished models are kept in `parts` and found again by a later call for the same job.
        minutes: of the whole run. The first 200 steps of a network and the first ten rounds of trees are always made.
        observer: is told how far it is.
        notes: what a reader should know of the data.
        resamples: of all intervals.

    Returns:
        What came out; it is written into the folder.

    Raises:
        RunFolderError: the folder cannot be written.
    """
    models = Models(job, folder / "parts")
    told = list(notes)
    if not job.tabm:
        told.append(
            "the network is a plain MLP: the package tabm is not installed (pip install 'metricgrad[table]')"
        )
    arms = trained_in_turn(models, minutes, observer, told)
    observer({"event": "note", "text": "rules and choice on out-of-fold predictions of fit, and select"})
    offers = offers_of(models, arms)
    chosen = chosen_of(job, offers, resamples)
    observer({"event": "note", "text": chosen.told})
    found = judged(models, offers, chosen, resamples)
    told += [f"{offer.name}: {offer.fitted.note}" for offer in offers if offer.ruled and offer.fitted.note]
    learned = Learned(job, chosen, found, told, chosen.used.fitted.rule.words(), folder)
    _save(models, offers, learned)
    return learned


def _save(models: Models, offers: Sequence[Offer], learned: Learned) -> None:
    """Write the model, the leaderboard and the record."""
    job, chosen, folder = learned.job, learned.chosen, learned.folder
    network = models.network()
    states = models.states(chosen.network.arms[0]) if chosen.network.states is None else chosen.network.states
    network.load_state_dict(dict(states[WHOLE]))
    folded = network.folded().eval()
    trees = [one for one in offers if one.trees and one.ruled]
    rules = {"network": chosen.network.fitted.rule}
    if trees:
        rules["trees"] = trees[0].fitted.rule
    save_table_model(
        folder,
        used="trees" if chosen.used.trees else "network",
        encoder=job.encoder,
        network=folded,
        forest=models.forest(WHOLE) if trees else None,
        rules=rules,
        target=job.target,
        metric=job.metric.name,
        classes=job.classes,
    )
    lines = io.StringIO(newline="")
    writer = csv.DictWriter(
        lines, ["name", "rule", "pool", "test", "low", "high", "used"], lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(asdict(line) for line in learned.judged.lines)
    write_atomically(folder / "leaderboard.csv", lines.getvalue().encode())
    content = json.dumps(learned.facts, indent=1, ensure_ascii=False, default=str)
    write_atomically(folder / "result.json", (content + "\n").encode())


def digest_of(table: Mapping[str, Sequence[Any]], *more: Any) -> str:
    """What a run is known by: sha256 of all cells and of what is asked."""
    total = hashlib.sha256(repr(more).encode())
    for name, cells in table.items():
        total.update(repr((name, list(cells))).encode())
    return total.hexdigest()
