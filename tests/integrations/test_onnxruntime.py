"""What leaves PyTorch gives the same in onnxruntime."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

import metricgrad as mg
from metricgrad.projection import LDA
from tests.integrations.pages import run_page

pytestmark = pytest.mark.integration("onnxruntime")


def session(path: Path) -> onnxruntime.InferenceSession:
    """The graph, on the CPU."""
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.mark.filterwarnings("ignore")  # of the exporter of torch, about its own parts
def test_embeddings_have_the_same_metric(tmp_path: Path):
    """A network by torch.onnx.export: outputs to 1e-5, and the exact metric of both."""
    torch.manual_seed(0)
    labels = torch.arange(60) % 6
    inputs = torch.randn(60, 8) + torch.eye(6, 8)[labels]
    network = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)).eval()
    rows = ({0: torch.export.Dim("row")},)
    program = torch.onnx.export(
        network, (inputs[:2],), input_names=["inputs"], dynamic_shapes=rows, dynamo=True
    )
    program.save(tmp_path / "network.onnx")
    (found,) = session(tmp_path / "network.onnx").run(None, {"inputs": inputs.numpy()})
    found = torch.from_numpy(found)
    torch.testing.assert_close(found, network(inputs).detach(), rtol=1e-5, atol=1e-5)
    recall = mg.metrics.metric_by_name("recall@1")
    values = [recall.summarise(recall.measure(one, labels)) for one in (found, network(inputs).detach())]
    assert values[0] == values[1]


def test_map_of_vectors(tmp_path: Path):
    """The graph of a closed form gives its rows."""
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 4
    rows = (generator.normal(size=(60, 6)) + np.eye(4, 6)[labels]).astype("float32")
    form = LDA(0.1, 3).fit(rows, labels)
    form.to_onnx(tmp_path / "map.onnx")
    graph = session(tmp_path / "map.onnx")
    (found,) = graph.run(None, {graph.get_inputs()[0].name: rows})
    np.testing.assert_allclose(found, np.asarray(form(torch.from_numpy(rows))), rtol=1e-4, atol=1e-5)


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """docs/integrations/onnx.md is a program: a rule that is not argmax, and the same classes for all rows."""
    page = run_page("onnx.md", tmp_path, monkeypatch)
    assert page.rule.name == "threshold"
    np.testing.assert_array_equal(page.classes, page.result.predict(page.inputs).numpy())
    (few,) = page.session.run(None, {"inputs": page.inputs[:3].numpy()})
    np.testing.assert_array_equal(few, page.classes[:3])
