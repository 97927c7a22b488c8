"""A worker of a shared study, started by `test_proposer.py`: what it asks and tells goes to a log of its own."""

import sys
import time
from pathlib import Path

from metricgrad.blackbox import OptunaProposer, as_numbers

CANDIDATES = [[0.0, 0.0], [3.0, -3.0], [-3.0, 3.0]]


def value(candidate: dict[str, float]) -> float:
    """What is searched."""
    return -float((as_numbers(candidate) - 1).square().sum())


def main(storage: str, log: str, trials: int, hang_at: int) -> None:
    """Work until the study has enough finished trials; hang in the given one before it is told."""
    proposer = OptunaProposer(2, "tpe", seed=5, storage=storage)
    for one in CANDIDATES:
        proposer.enqueue(one)
    with Path(log).open("a", encoding="utf-8") as lines:
        asked = 0
        while len(proposer.tried()) < trials:
            candidate = proposer.ask()
            asked += 1
            print("asked", *candidate.values(), file=lines, flush=True)
            time.sleep(600 if asked == hang_at else 0.02)
            proposer.tell(candidate, value(candidate))
            print("told", *candidate.values(), file=lines, flush=True)
    proposer.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
