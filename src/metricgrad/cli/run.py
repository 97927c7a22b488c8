"""`metricgrad tune` and `resume`."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from metricgrad.cli.options import (
    DecisionOption,
    DirectionOption,
    FolderOption,
    GroupNamesOption,
    MetricTimeoutOption,
    ProcessesOption,
    RayOption,
    TrustOption,
)
from metricgrad.cli.output import (
    AssignmentsOption,
    JsonOption,
    QuietOption,
    examples,
)
from metricgrad.cli.report import RunArgument, require_run_folder
from metricgrad.errors import InputError

__all__ = ["RESUME_EXAMPLES", "TUNE_EXAMPLES", "resume", "tune"]

TUNE_EXAMPLES = examples(
    "metricgrad tune emoji --metric recall@1",
    "metricgrad tune emoji --metric recall@1 --minutes 5 --seeds 3 --run runs/first",
    "metricgrad tune digits --steps 100 --set settings.learning_rate=1e-3 --json > result.json",
    "metricgrad tune examples/emoji-recall.yaml",
    "metricgrad tune examples/field/sop.yaml --data folders/SOP --dry-run",
)
RESUME_EXAMPLES = examples(
    "metricgrad resume runs/first",
    "metricgrad resume runs/first --force",
    "metricgrad resume runs/contest --processes 4",
    "metricgrad resume runs/contest --ray auto",
)


MetricOption = Annotated[
    str | None,
    typer.Option(help="A name (see list), package.module:name, or cmd: and a program; else the task's."),
]
SideMetricOption = Annotated[
    list[str] | None, typer.Option(help="A metric that must not get worse, measured for every arm.")
]
MethodOption = Annotated[
    str | None, typer.Option(help="auto, or family:objective; several, with commas, share the tries.")
]
MayFallOption = Annotated[
    float | None,
    typer.Option(
        help="How far each side metric may fall on select; an arm that falls further is not returned."
    ),
]


ClosedFormsOption = Annotated[
    bool | None,
    typer.Option(
        "--closed-forms/--no-closed-forms",
        help="For embeddings: whether raw inputs and the best closed form (LDA, ...) are controls, too.",
    ),
]


WhatArgument = Annotated[
    str,
    typer.Argument(metavar="TASK|RECIPE.yaml", help="A task, package.module:load of your own, or a recipe."),
]
FirstSeedOption = Annotated[
    int | None, typer.Option(min=0, max=2**32 - 1, help="The first seed; the others count up from it.")
]
SeedsOption = Annotated[
    int | None, typer.Option(min=1, max=1000, help="How many seeds; else the recipe's, else 3.")
]
ChunkOption = Annotated[
    str | None,
    typer.Option(
        help="Items embedded at once where the batch is larger than memory; or: auto.",
    ),
]
DeviceOption = Annotated[
    str | None, typer.Option(help="Where the network is trained: cpu, cuda, cuda:1, ...")
]
DataOption = Annotated[
    Path | None, typer.Option(help="Data of the task, where it can read others than its own.")
]
DryRunOption = Annotated[
    bool,
    typer.Option("--dry-run", help="Check, count the splits, make the first batch; train and write nothing."),
]
MinutesOption = Annotated[float | None, typer.Option(help="Budget of all arms, seeds and tries together.")]


def tune(
    what: WhatArgument,
    metric: MetricOption = None,
    higher_is_better: DirectionOption = None,
    metric_timeout: MetricTimeoutOption = None,
    side_metric: SideMetricOption = None,
    may_fall: MayFallOption = None,
    decision: DecisionOption = None,
    closed_forms: ClosedFormsOption = None,
    group_names: GroupNamesOption = None,
    method: MethodOption = None,
    seed: FirstSeedOption = None,
    seeds: SeedsOption = None,
    minutes: MinutesOption = None,
    steps: Annotated[int | None, typer.Option(help="Training steps of each arm.")] = None,
    batch: Annotated[int | None, typer.Option(help="Items of a training batch.")] = None,
    chunk: ChunkOption = None,
    device: DeviceOption = None,
    tries: Annotated[int | None, typer.Option(help="Settings that each arm may try; select decides.")] = None,
    run: FolderOption = None,
    data: DataOption = None,
    dry_run: DryRunOption = False,
    assignments: AssignmentsOption = None,
    trust: TrustOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Tune a model for a metric: start, continued and tuned arms, chosen on select, claimed on a locked test split.

    Ctrl-C writes the checkpoint and stops; resume goes on from there, also after a crash or a kill.
    """
    plan = {
        "minutes": minutes,
        "steps": steps,
        "batch": batch,
        "chunk": _number_or_text(chunk),
        "tries": tries,
    }
    options: dict[str, Any] = {
        "metric": metric,
        "higher_is_better": higher_is_better,
        "metric_timeout": metric_timeout,
        "side_metrics": side_metric,
        "may_fall": may_fall,
        "decision": decision,
        "closed_forms": closed_forms,
        "group_names": group_names,
        "method": method,
        "device": device,
        "plan": plan,
        "data": {"data": data and str(data)},
    }
    from metricgrad.cli.clustered import carry_out_on
    from metricgrad.cli.trust import trusted_keys

    given = trusted_keys(what, options, assignments or [], trusted=trust)
    if given.get("methods") is not None:
        raise InputError(f"tune: {what} names several methods; `metricgrad compare {what}` trains them all.")
    if dry_run:
        from metricgrad.cli.dry_run import rehearse

        rehearse(given, run, as_json=as_json, quiet=quiet, first_seed=seed, seeds=seeds)
        return
    carry_out_on(None, None, given, run, as_json=as_json, quiet=quiet, first_seed=seed, seeds=seeds)


def resume(
    run: RunArgument,
    force: Annotated[
        bool,
        typer.Option("--force", help="Go on although data, versions or thread count changed; marks the run."),
    ] = False,
    trust: Annotated[
        bool,
        typer.Option(
            "--trust", help="Import the modules, run the programs and use the files that config.yaml names."
        ),
    ] = False,
    ray: RayOption = None,
    processes: ProcessesOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Go on with a run that was interrupted; a run that is finished is shown again."""
    from metricgrad.cli.clustered import carry_out_on
    from metricgrad.cli.recipe import stored_recipe
    from metricgrad.cli.trust import require_trust

    require_run_folder(run, "config.yaml")
    recipe = stored_recipe(run)
    require_trust(recipe, run, trusted=trust)
    carry_out_on(ray, processes, recipe, run, as_json=as_json, quiet=quiet, force=force, stored=True)


def _number_or_text(text: str | None) -> Any:
    """A number as a recipe has it; anything else is the plan's to judge."""
    return int(text) if text is not None and re.fullmatch(r"\d{1,12}", text) else text
