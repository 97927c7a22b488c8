"""What a command printed and how it ended."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest


@dataclass(frozen=True)
class Outcome:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The standard output as strict JSON."""
        return json.loads(self.out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))

    def refused(self, *words: str) -> None:
        """Assert exit code 2, nothing on stdout and one line on stderr that holds the words."""
        assert self.code == 2, (self.code, self.out, self.err)
        lines = [line for line in self.err.splitlines() if line.startswith("metricgrad: ")]
        assert len(lines) == 1, self.err
        assert self.err.rstrip("\n").endswith(lines[0])
        assert self.out == ""
        assert "Traceback" not in self.err
        for word in words:
            assert word in lines[0], (word, lines[0])


Command = Callable[..., Outcome]

QUICK = (
    "--steps", "6", "--seeds", "1", "--set", "plan.evaluate_every=3", "--set", "plan.checkpoint_every=2",
    "--set", "start.plan.steps=4", "--set", "start.plan.evaluate_every=4",
)  # fmt: skip
"""A run of the digits in a few seconds."""
