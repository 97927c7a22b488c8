"""The life of a run: from the keys of a recipe to what came out, whichever command asked for it."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metricgrad.cli.progress import Drawing
from metricgrad.cli.rebuilt import asked_again, recipe_of
from metricgrad.cli.report import conclude
from metricgrad.cli.resolve import resolve
from metricgrad.cli.run_folder import new_folder, resumable
from metricgrad.scale import joined
from metricgrad.tune import Comparison, compare, tune

__all__ = ["carry_out"]


def carry_out(
    given: Mapping[str, Any],
    folder: Path | None,
    *,
    as_json: bool,
    quiet: bool,
    first_seed: int | None = None,
    seeds: int | None = None,
    force: bool = False,
    stored: bool = False,
    csv: Path | None = None,
    ray: str | None = None,
    processes: int | None = None,
) -> None:
    """Resolve a recipe, run it, and show what came out.

    Args:
        given: the keys of the recipe. One with `methods` is a contest of all of them.
        folder: of the run; None for a new one.
        as_json: print JSON.
        quiet: draw no progress.
        first_seed: the seeds count up from here.
        seeds: how many.
        force: go on although data, versions or thread count changed.
        stored: whether the keys are those of a run folder.
        csv: where the table of a contest goes, too.
        ray: address of the Ray cluster that trains the cells of a contest.
        processes: of this machine that train them; each makes the run anew of its recipe.
    """
    if stored:
        given = {"closed_forms": False, **given}  # a run of a version that did not know them has none
    recipe = recipe_of(given, f"{folder}/config.yaml" if stored else "the recipe")
    with joined() as together, Drawing(quiet=quiet or not together.leader) as observer:
        with together.leader_first():  # it may fill a cache
            job = resolve(recipe, observer, first_seed=first_seed, seeds=seeds)
        place = Path(together.led(lambda: str(folder or new_folder(job.task, job.metric))))
        if not quiet:
            observer({"event": "note", "text": f"run folder {place}"})
        arguments = {**job.arguments, "recipe": dict(given)} if stored else job.arguments
        with resumable(place, given, new=folder is None, leader=together.leader):
            if recipe.methods is None:
                result = tune(**arguments, folder=place, observer=observer, force=force)
            else:
                result = compare(
                    **arguments,
                    folder=place,
                    observer=observer,
                    force=force,
                    ray=ray,
                    processes=processes,
                    again=functools.partial(asked_again, job.recipe),
                ).result
    if together.leader:
        conclude(result, result.report, as_json=as_json)
        if csv is not None:
            Comparison(result).to_csv(csv)
