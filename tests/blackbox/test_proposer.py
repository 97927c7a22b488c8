"""Proposals: in order, the same ones after a resume, and none lost or counted twice when a worker is killed."""

import json
import math
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from metricgrad.blackbox import (
    OptunaProposer,
    Proposer,
    as_candidate,
    as_numbers,
    default_sampler,
    elite_mean,
)
from metricgrad.errors import InputError, MissingExtraError
from tests.blackbox import shared_study

pytest.importorskip("optuna", reason="it comes with the extra search")
NAN = float("nan")
SLOW_SAMPLER = pytest.param("gp", marks=pytest.mark.slow)


def _value(candidate: dict[str, float]) -> float:
    """A hill at 1, and a corner where the metric fails."""
    numbers = as_numbers(candidate)
    return NAN if numbers[0] > 2 else -float((numbers - 1).square().sum())


def _search(proposer: OptunaProposer, trials: int) -> list[tuple[tuple[float, ...], str]]:
    for _ in range(trials):
        candidate = proposer.ask()
        proposer.tell(candidate, _value(candidate))
    return [(tuple(one.candidate.values()), repr(one.value)) for one in proposer.tried()]


def _begun(sampler, seed: int = 3) -> OptunaProposer:
    proposer = OptunaProposer(2, sampler, seed=seed)
    proposer.enqueue(torch.tensor([0.5, 9.0]))
    proposer.enqueue({"a0": 2.5, "a1": 0.0})
    return proposer


@pytest.mark.parametrize("sampler", ["random", "tpe", "cmaes", SLOW_SAMPLER])
def test_resumed_is_uninterrupted(sampler):
    """With queued and failed trials, through JSON, at any moment; the same seed gives the same search."""
    length = 13 if sampler == "gp" else 24
    whole = _search(_begun(sampler), length)
    assert len({point for point, _ in whole}) == length
    assert whole[0][0] == (0.5, 3.0)  # clipped
    assert whole[1] == ((2.5, 0.0), "nan")
    for stop in (1, 11) if sampler == "gp" else (0, 1, 7, 17):
        first = _begun(sampler)
        _search(first, stop)
        state = json.loads(json.dumps(first.state_dict()))
        resumed = OptunaProposer(2, sampler, seed=3)
        resumed.load_state_dict(state)
        assert resumed.state_dict() == state
        assert _search(resumed, length - stop) == whole


def test_resumed_between_ask_and_tell():
    """What was asked and not told can be told after the resume."""
    first = _begun("cmaes")
    _search(first, 4)
    candidate = first.ask()
    resumed = OptunaProposer(2, "cmaes", seed=3)
    resumed.load_state_dict(first.state_dict())
    for proposer in (first, resumed):
        proposer.tell(candidate, 0.25)
    assert _search(first, 6) == _search(resumed, 6)


@pytest.mark.parametrize("sampler", ["random", "tpe", "cmaes"])
def test_seeds_differ(sampler):
    """Another seed is another search."""
    assert _search(_begun(sampler), 8) != _search(_begun(sampler, seed=4), 8)


def test_nothing_outside_is_touched(capfd):
    """No global generator, no output, no level of logging."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.INFO)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    for sampler in ("random", "tpe", "cmaes"):
        _search(_begun(sampler), 12)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == np.random.get_state()[1].tolist()  # noqa: NPY002
    assert optuna.logging.get_verbosity() == optuna.logging.INFO
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("sampler", ["tpe", "cmaes", SLOW_SAMPLER])
def test_it_finds_the_hill(sampler):
    """The elite mean is near the top, which lies a sixth of the box away from its middle."""
    proposer = OptunaProposer(2, sampler, seed=1)
    _search(proposer, 25 if sampler == "gp" else 60)
    assert float((elite_mean(*proposer.observed()) - 1).norm()) < 0.4


def test_lower_may_be_better():
    """Minimising the negative is the same search."""
    up, down = OptunaProposer(2, "tpe", seed=2), OptunaProposer(2, "tpe", seed=2, maximize=False)
    for _ in range(20):
        one, other = up.ask(), down.ask()
        assert one == other
        up.tell(one, _value(one))
        down.tell(other, -_value(other))


def test_failures_are_no_values():
    """NaN and infinity are told as failures, and the elite mean does not see them."""
    proposer = OptunaProposer(1, "random")
    for value in (NAN, math.inf, 0.5):
        proposer.tell(proposer.ask(), value)
    values = proposer.observed()[1]
    assert values.isnan().tolist() == [True, True, False]


def test_asked_twice_before_told():
    """Several candidates may be open; each is told once, and only what was asked."""
    proposer = OptunaProposer(2, "random", seed=0)
    one, other = proposer.ask(), proposer.ask()
    proposer.tell(other, 2.0)
    proposer.tell(one, 1.0)
    assert [trial.value for trial in proposer.tried()] == [1, 2]
    for wrong in (one, as_candidate([0.0, 0.0]), {"a0": 0.0}):
        with pytest.raises(InputError, match="asked and not told yet"):
            proposer.tell(wrong, 1.0)


def test_the_protocol_is_two_calls():
    """Ours fits it, and so does anything with ask and tell."""
    assert isinstance(OptunaProposer(1, "random"), Proposer)
    assert default_sampler(1, 1000) == "gp"


# ------------------------------------------------------------------------------------------ one study, several workers


@pytest.mark.parametrize(
    "trials", [2, pytest.param(11, marks=pytest.mark.slow)]
)  # from 10 on the history counts
def test_a_stored_search_goes_on(tmp_path: Path, trials: int):
    """Closed in the middle of a trial and opened again: the same search, the open trial asked again."""
    whole = _search(OptunaProposer(2, "tpe", seed=7), trials + 3)
    first = OptunaProposer(2, "tpe", seed=7, storage=tmp_path / "search.db")
    _search(first, trials)
    left = first.ask()
    first.close()
    with pytest.raises(InputError, match="closed"):
        first.ask()
    second = OptunaProposer(2, "tpe", seed=7, storage=f"sqlite:///{tmp_path}/search.db")
    second.load_state_dict(first.state_dict())
    assert second.ask() == left
    second.tell(left, _value(left))
    assert _search(second, 2) == whole
    second.close()
    assert not [one for one in (tmp_path / "search.db.workers").iterdir() if one.name != "turn"]


def test_open_trials_of_the_living_stay_theirs(tmp_path: Path):
    """Two workers of one process: none takes what the other evaluates; queued candidates go to one of them."""
    one, other = (OptunaProposer(2, "tpe", seed=7, storage=tmp_path / "search.db") for _ in range(2))
    for proposer in (one, other):
        proposer.enqueue([0.0, 1.0])
    first, second = one.ask(), other.ask()
    assert first == as_candidate([0.0, 1.0]) != second
    other.tell(second, 0.5)
    one.tell(first, 0.25)
    assert [trial.value for trial in one.tried()] == [trial.value for trial in other.tried()] == [0.25, 0.5]
    one.close()
    other.close()


def test_a_candidate_that_was_half_drawn_was_never_tried(tmp_path: Path):
    """Killed while the sampler wrote its numbers: the trial is no candidate of anybody."""
    proposer = OptunaProposer(2, "tpe", seed=7, storage=tmp_path / "search.db")
    _search(proposer, 3)
    proposer.ask()
    proposer.close()
    with sqlite3.connect(tmp_path / "search.db") as database:
        database.execute("DELETE FROM trial_params WHERE param_id = (SELECT MAX(param_id) FROM trial_params)")
    database.close()
    again = OptunaProposer(2, "tpe", seed=7, storage=tmp_path / "search.db")
    assert len(_search(again, 2)) == 5
    again.close()


def test_a_study_of_another_search_is_refused(tmp_path: Path):
    """Other settings under the same name; another name is another study."""
    file = tmp_path / "search.db"
    OptunaProposer(2, "tpe", storage=file).close()
    for other in ({"size": 3}, {"seed": 1}, {"maximize": False}, {"clip": 2.0}, {"sampler": "random"}):
        settings = {"size": 2, "sampler": "tpe", **other}
        with pytest.raises(InputError, match="another name"):
            OptunaProposer(**settings, storage=file)
        OptunaProposer(**settings, storage=file, study=f"of {other}").close()


def test_no_pickle_is_stored(tmp_path: Path):
    """CMA-ES keeps one in the study, so that it works in memory alone."""
    with pytest.raises(InputError, match="pickle"):
        OptunaProposer(2, "cmaes", storage=tmp_path / "search.db")


@pytest.mark.slow
def test_a_killed_worker_loses_nothing(tmp_path: Path):
    """Two processes on one study; one hangs in a trial and is killed with -9. The other ends with all trials, once."""
    trials = 24

    def worker(name: str, hang_at: int) -> subprocess.Popen:
        arguments = [str(tmp_path / "search.db"), str(tmp_path / name), str(trials), str(hang_at)]
        return subprocess.Popen([sys.executable, shared_study.__file__, *arguments])

    def log(name: str, word: str) -> list[str]:
        path = tmp_path / name
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [line.partition(" ")[2] for line in lines if line.startswith(f"{word} ")]

    doomed, other = worker("doomed", 4), worker("other", 0)
    end = time.monotonic() + 60
    while len(log("doomed", "asked")) < 4 and time.monotonic() < end:
        time.sleep(0.01)
    doomed.send_signal(signal.SIGKILL)
    doomed.wait()
    assert other.wait(timeout=60) == 0
    (lost,) = set(log("doomed", "asked")) - set(log("doomed", "told"))
    assert log("other", "asked").count(lost) == log("other", "told").count(lost) == 1
    told = log("doomed", "told") + log("other", "told")
    proposer = OptunaProposer(2, "tpe", seed=5, storage=tmp_path / "search.db")
    tried = proposer.tried()
    assert sorted(" ".join(map(str, one.candidate.values())) for one in tried) == sorted(told)
    assert len(tried) == len(set(told)) == trials
    assert all(one.value == shared_study.value(one.candidate) for one in tried)
    assert [list(one.candidate.values()) for one in tried[:3]] == shared_study.CANDIDATES
    with sqlite3.connect(tmp_path / "search.db") as database:
        assert database.execute("SELECT DISTINCT state FROM trials").fetchall() == [("COMPLETE",)]
    database.close()
    proposer.close()


# --------------------------------------------------------------------------------------------------------- refused


def test_without_optuna(monkeypatch):
    """The line that installs the extra."""
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"metricgrad\[search\]"):
        OptunaProposer(2)
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "cmaes", None)
    with pytest.raises(MissingExtraError, match=r"'cmaes'.*metricgrad\[search\]"):
        OptunaProposer(2, "cmaes")


@pytest.mark.parametrize(
    "call",
    [
        lambda: OptunaProposer(0),
        lambda: OptunaProposer(2, "grid"),
        lambda: OptunaProposer(1, "cmaes"),
        lambda: OptunaProposer(2, "tpe", clip=0),
        lambda: OptunaProposer(2, "tpe", storage="what?.db"),
        lambda: OptunaProposer(2, "tpe").enqueue([0.0]),
        lambda: OptunaProposer(2, "tpe").enqueue([0.0, NAN]),
        lambda: OptunaProposer(2, "tpe").load_state_dict(OptunaProposer(2, "tpe", seed=1).state_dict()),
        lambda: _begun("tpe").load_state_dict(_begun("tpe").state_dict()),
    ],
)
def test_refused(call):
    """Each with a message."""
    with pytest.raises(InputError, match="expected"):
        call()
