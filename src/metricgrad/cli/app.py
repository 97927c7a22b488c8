"""The application `metricgrad`: commands, exit codes and the one line that an error becomes.

Exit codes: 0 done; 2 something the user gave does not fit (one line on stderr); 130 interrupted, resumable;
1 with a traceback: a defect of ours.
"""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from metricgrad.cli import (
    adapt,
    bench,
    bench_blackbox,
    bench_losses,
    cite,
    compare,
    decide,
    doctor,
    evaluate,
    explain,
    listing,
    predict,
    report,
    run,
    settings,
)
from metricgrad.cli.output import complain, examples
from metricgrad.errors import Interrupted, MetricgradError

__all__ = ["app"]


class _Commands(TyperGroup):
    """Turns what metricgrad raises on purpose into one line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except Interrupted as error:
            complain(error)
            raise typer.Exit(130) from error
        except MetricgradError as error:
            complain(error)
            raise typer.Exit(2) from error
        except KeyboardInterrupt as error:
            complain(
                KeyboardInterrupt(
                    "interrupted; what was finished is kept, the same command goes on from there"
                )
            )
            raise typer.Exit(130) from error


app = typer.Typer(
    name="metricgrad",
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "metricgrad tune emoji --metric recall@1",
        "metricgrad evaluate --embeddings x.npy --labels y.csv --metric recall@1",
        "metricgrad compare old.csv new.csv --metric f1",
        "metricgrad list",
    ),
)


def _show_version(asked: bool) -> bool:
    if asked:
        from importlib.metadata import version

        typer.echo(f"metricgrad {version('metricgrad')}")
        raise typer.Exit
    return asked


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Train for the metric you report: tune a model for a metric that has no gradient, with held-out evidence."""


app.command("tune", epilog=run.TUNE_EXAMPLES)(run.tune)
app.command("adapt", epilog=adapt.EXAMPLES)(adapt.adapt)
app.command("settings", epilog=settings.EXAMPLES)(settings.settings)
app.command("resume", epilog=run.RESUME_EXAMPLES)(run.resume)
app.command("report", epilog=report.EXAMPLES)(report.report)
app.command("evaluate", epilog=evaluate.EXAMPLES)(evaluate.evaluate)
app.command("compare", epilog=compare.EXAMPLES)(compare.compare)
app.command("decide", epilog=decide.EXAMPLES)(decide.decide)
app.command("predict", epilog=predict.EXAMPLES)(predict.predict)
app.command("list", epilog=listing.EXAMPLES)(listing.list_names)
app.command("explain", epilog=explain.EXAMPLES)(explain.explain)
app.command("cite", epilog=cite.EXAMPLES)(cite.cite)
app.command("doctor", epilog=doctor.EXAMPLES)(doctor.doctor)
bench.commands.command("losses", epilog=bench_losses.EXAMPLES)(bench_losses.losses)
bench.commands.command("blackbox", epilog=bench_blackbox.EXAMPLES)(bench_blackbox.blackbox)
app.add_typer(bench.commands)
