"""Cells on a Ray cluster of two nodes: the figures of one process, also where a node is killed."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from metricgrad.errors import InputError
from metricgrad.tune import Comparison
from metricgrad.tune.ray_cluster import connected
from tests.tune.test_side_by_side import equal, notes

pytestmark = [pytest.mark.integration("ray"), pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
SMALL = {"num_cpus": 1, "object_store_memory": 100 * 2**20}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster whose head has one CPU; it reports nothing to anybody."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.delenv("RAY_ADDRESS", raising=False)
        from ray.cluster_utils import Cluster

        found = Cluster(initialize_head=True, head_node_args={**SMALL, "include_dashboard": False})
        yield found
        found.shutdown()


@pytest.fixture
def second(cluster: Any) -> Iterator[Any]:
    """A second node with one CPU, for one test."""
    node = cluster.add_node(**SMALL)
    cluster.wait_for_nodes()
    yield node
    cluster.remove_node(node, allow_graceful=False)


def begun(*arguments: object) -> "subprocess.Popen[str]":
    """Begin the program of `ray_run`, which is checked by nothing but itself, as a user's is."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.integrations.ray_run", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    )


def told(*arguments: object) -> str:
    """What the program says at its end; nothing where all went well."""
    program = begun(*arguments)
    _, text = program.communicate()
    assert program.returncode == bool(text.strip()), text
    return text


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """The contest in one process."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    assert told(folder, "here") == ""
    return Comparison.load(folder)


def test_two_nodes_give_the_figures_of_one_process(
    cluster: Any, second: Any, undisturbed: Comparison, tmp_path: Path
) -> None:
    """Table, record and weights are the same; the record names the cluster."""
    assert told(tmp_path / "run", cluster.address) == ""
    equal(Comparison.load(tmp_path / "run"), undisturbed)
    assert any("Ray cluster (nodes: 2, CPUs: 2)" in text for text in notes(tmp_path / "run"))


def test_a_killed_node_loses_no_finished_cell(
    cluster: Any, second: Any, undisturbed: Comparison, tmp_path: Path
) -> None:
    """SIGKILL to a node and its worker while a cell trains there: it is trained again, and that shows nowhere else."""
    raylet = second.all_processes["raylet"][0].process.pid
    program = begun(tmp_path / "run", cluster.address, "held")
    waits = tmp_path / "run-told" / f"held-{raylet}"
    while not waits.exists():  # until a cell is under way on the second node
        assert program.poll() is None, program.communicate()[1]
        time.sleep(0.05)
    assert list((tmp_path / "run").rglob("*.safetensors"))  # of cells that have ended
    node = psutil.Process(raylet)
    for process in [node, *node.children(recursive=True)]:
        process.kill()
    waits.with_name("hold").unlink()
    assert program.communicate()[1] == "" and program.returncode == 0
    equal(Comparison.load(tmp_path / "run"), undisturbed)
    (lost,) = (text for text in notes(tmp_path / "run") if "was lost with its worker" in text)
    assert lost.endswith("and is trained again")


def test_an_interrupted_contest_goes_on_here(cluster: Any, undisturbed: Comparison, tmp_path: Path) -> None:
    """Ctrl-C: what has ended is kept, and one process without a cluster finishes the contest."""
    assert "Interrupted: stopped by SIGINT with 5 cells" in told(
        tmp_path / "run", cluster.address, "interrupted"
    )
    assert told(tmp_path / "run", "here") == ""
    equal(Comparison.load(tmp_path / "run"), undisturbed)


def test_a_connection_of_the_program_is_used_and_left(
    cluster: Any, undisturbed: Comparison, tmp_path: Path
) -> None:
    """`auto` is that one."""
    assert told(tmp_path / "run", cluster.address, "connected") == ""
    equal(Comparison.load(tmp_path / "run"), undisturbed)


def test_an_error_of_the_user_is_the_one_that_is_raised_here(cluster: Any, tmp_path: Path) -> None:
    """Type and text, from a worker as from this process."""
    said = [told(tmp_path / name, name, "failing") for name in ("here", cluster.address)]
    assert said[0] == said[1] and "LookupError: no such class: 7" in said[0]


def test_what_cannot_travel_is_refused(cluster: Any, tmp_path: Path) -> None:
    """A metric with a lock, one that is another in every process, more threads than any node has CPUs: a line each."""
    locked, elsewhere, threads = told(tmp_path / "run", cluster.address, "refused").splitlines()
    assert "cannot be sent to another process" in locked and "lock" in locked
    assert "found.metric.values differ. Expected the same versions, code and files" in elsewhere
    assert "a cluster whose largest node has 1 CPUs; expected 2" in threads and "OMP_NUM_THREADS=1" in threads


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port where no Ray cluster is, a closed one, and that from the environment: one sentence each."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr("metricgrad.tune.ray_cluster.SECONDS_TO_ANSWER", 8.0)
        silent = "has not answered as a Ray cluster within 8 seconds; expected the address"
        with pytest.raises(InputError, match=silent), connected(f"127.0.0.1:{port}"):
            pass
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
    for address in (f"127.0.0.1:{port}", "auto"):
        with pytest.raises(InputError, match="nothing listens there"), connected(address):
            pass


def test_the_command(cluster: Any, tmp_path: Path) -> None:
    """`compare --ray` prints the table of `compare`; `resume --ray` shows it again."""
    arguments = (
        "compare digits --methods surrogate:recall_at_k,surrogate:ndcg --controls continued --steps 6 --seeds 1 "
        "--json --quiet --set plan.evaluate_every=3 --set start.plan.steps=4 --set start.plan.evaluate_every=4"
    ).split()
    tables = []
    for name, more in (("here", []), ("there", ["--ray", cluster.address])):
        ended = _command(tmp_path, *arguments, "--run", name, *more)
        assert ended.returncode == 0, ended.stderr
        rows = json.loads(ended.stdout)["comparison"]["table"]
        tables.append([{key: value for key, value in row.items() if key != "seconds"} for row in rows])
    assert tables[0] == tables[1]
    again = _command(tmp_path, "resume", "there", "--ray", cluster.address, "--json", "--quiet")
    assert again.returncode == 0 and json.loads(again.stdout)["comparison"]["table"], again.stderr


def _command(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "metricgrad", *arguments],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "METRICGRAD_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
    )
