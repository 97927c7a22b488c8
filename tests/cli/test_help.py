"""Every command explains itself with examples, and starting up loads nothing heavy."""

import subprocess
import sys

import pytest

from metricgrad.cli.main import app
from tests.cli.outcome import Command

COMMANDS = sorted(item.name for item in app.registered_commands if item.name)


def test_all_commands_are_there() -> None:
    """The commands that the README and the design name exist."""
    assert COMMANDS == [
        "adapt",
        "cite",
        "compare",
        "decide",
        "doctor",
        "evaluate",
        "explain",
        "list",
        "predict",
        "report",
        "resume",
        "settings",
        "tune",
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples(command: Command, name: str) -> None:
    """`--help` of every command shows at least two lines that can be copied, and ends with 0."""
    outcome = command(name, "--help")
    assert outcome.code == 0
    _, heading, copied = outcome.out.partition("Examples")
    assert heading and copied.count(f"metricgrad {name}") >= 2


def test_help_without_a_command(command: Command) -> None:
    """`metricgrad` alone and `metricgrad --help` list the commands."""
    for arguments in ((), ("--help",), ("-h",)):
        text = command(*arguments).out
        assert all(name in text for name in COMMANDS)


def test_version(command: Command) -> None:
    """`--version` prints the version."""
    from importlib.metadata import version

    assert command("--version").out == f"metricgrad {version('metricgrad')}\n"


def test_usage_errors_exit_with_2(command: Command) -> None:
    """An unknown command or option and a missing argument are the user's to mend: 2."""
    for arguments in (
        ("tunee",),
        ("tune", "--no-such-option"),
        ("explain",),
        ("tune", "digits", "--steps", "many"),
    ):
        outcome = command(*arguments)
        assert outcome.code == 2
        assert "Traceback" not in outcome.err


def test_start_loads_nothing_heavy() -> None:
    """Importing the command line imports neither torch nor anything else that is slow."""
    heavy = (
        "torch",
        "numpy",
        "pydantic",
        "jinja2",
        "yaml",
        "pandas",
        "sklearn",
        "safetensors",
        "jaxtyping",
    )
    program = f"import sys, metricgrad.cli.app; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_module_is_the_command() -> None:
    """`python -m metricgrad` is `metricgrad`: one line for an error, exit code 2."""
    arguments = [sys.executable, "-m", "metricgrad", "report", "no/such/run"]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "metricgrad: there is no run folder no/such/run; expected a folder that `metricgrad tune` wrote."
    ]
