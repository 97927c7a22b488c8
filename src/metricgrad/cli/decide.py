"""`metricgrad decide`: the rule that turns scores of a file into classes, fitted for a metric, judged and applied."""

from pathlib import Path
from typing import Annotated

import typer

from metricgrad.cli.options import (
    ColumnOption,
    ConfidenceOption,
    DecimalCommaOption,
    DelimiterOption,
    DirectionOption,
    ForceOption,
    IdOption,
    MetricTimeoutOption,
    PositiveClassOption,
    ResamplesOption,
)
from metricgrad.cli.output import JsonOption, QuietOption, examples, noted, print_json
from metricgrad.errors import InputError

__all__ = ["EXAMPLES", "decide"]

EXAMPLES = examples(
    "metricgrad decide predictions.csv --metric f1",
    "metricgrad decide predictions.parquet --metric quadratic_kappa --groups patient --json",
    "metricgrad decide select.csv --test test.csv --metric macro_f1 --out rule.json",
    "metricgrad decide predictions.csv --metric 'cmd:reads=classes: ./score.sh {predictions}' --higher-is-better",
    "metricgrad decide new.csv --rule rule.json",
)

PredictionsArgument = Annotated[
    Path,
    typer.Argument(
        metavar="PREDICTIONS", help="A .csv or .parquet file: target, and score or score_NAME of each class."
    ),
]
MetricOption = Annotated[
    str | None,
    typer.Option(help="Of decided classes: a name (see list), package.module:name, or cmd: and a program."),
]
TestOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Judge the rule on this file; fit it on all PREDICTIONS.")
]
TestFractionOption = Annotated[
    float | None, typer.Option(help="Share of PREDICTIONS that judges the rule; 0.5 if nothing is said.")
]
RuleOption = Annotated[
    str | None,
    typer.Option(
        metavar="auto|NAME|FILE",
        help="Fit threshold, slope, prior, biases or cuts; or apply the rule in this file (.json, .safetensors).",
    ),
]
InputsOption = Annotated[
    str,
    typer.Option(metavar="auto|probabilities|logits", help="What the scores are; auto looks at them."),
]
GroupOption = Annotated[
    str | None,
    typer.Option(
        "--groups", "--group", metavar="COLUMN", help="Rows of one group (a patient) stay in one part."
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write the rule there (.json); else beside PREDICTIONS."),
]
DecidedOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write the decisions there (.csv); else beside the rule."),
]
SeedOption = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed of the parts and of the draws.")]


def decide(
    predictions: PredictionsArgument,
    metric: MetricOption = None,
    rule: RuleOption = None,
    test: TestOption = None,
    test_fraction: TestFractionOption = None,
    groups: GroupOption = None,
    ids: IdOption = None,
    inputs: InputsOption = "auto",
    out: OutOption = None,
    decided: DecidedOption = None,
    force: ForceOption = False,
    higher_is_better: DirectionOption = None,
    metric_timeout: MetricTimeoutOption = None,
    positive_class: PositiveClassOption = None,
    delimiter: DelimiterOption = None,
    column: ColumnOption = None,
    decimal_comma: DecimalCommaOption = False,
    confidence: ConfidenceOption = 0.95,
    resamples: ResamplesOption = 2000,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Fit the rule that turns scores into classes for a metric, and say what it gains on other rows.

    Without a rule the largest score decides (of one score: above one half).
    That is right for accuracy; for F1, kappa, Matthews or costs mostly not.
    The model stays as it is; only its scores are read.

    PREDICTIONS: a table as `metricgrad evaluate` reads it. target is the true
    class; score_NAME the probability or logit of each class, or score one
    number per row, higher for the positive class.

    One part of the rows fits the rule, the other judges it: the metric of both
    decisions, the interval of the difference over the same rows, a verdict.
    The rule is written as .json, the decisions of the judging rows as .csv;
    a file that is there already is written over with --force alone.

    With --rule FILE the rule of an earlier call decides; no target is needed.
    """
    given = dict(locals())
    from metricgrad.cli.decide_apply import apply_file
    from metricgrad.cli.decide_fit import fit_file
    from metricgrad.cli.decide_text import draw, draw_applied
    from metricgrad.cli.progress import Drawing

    applied = rule is not None and Path(rule).suffix in (".json", ".safetensors")
    if metric is None and not applied:
        raise InputError(
            "decide: no --metric is given; expected a name that `metricgrad list metrics` knows, or with --rule the "
            "file of a rule, .json or .safetensors."
        )
    if not 0 < confidence < 1:
        raise InputError(
            f"decide: --confidence is {confidence}; expected a share between 0 and 1, such as 0.95."
        )
    with noted(quiet=quiet) as notes, Drawing(quiet=quiet) as progress:
        found = apply_file(given) if applied else fit_file(given, progress)
    if as_json:
        print_json({**found, "notes": notes})
    else:
        (draw_applied if applied else draw)(found)
