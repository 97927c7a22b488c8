"""A rule that was saved and loaded decides as before; a file that somebody changed is refused."""

import json

import jaxtyping
import onnxruntime
import pytest
import torch
from torch import nn

from metricgrad.decision import (
    Argmax,
    ClassBiases,
    CutPoints,
    LabelThresholds,
    Midpoint,
    PriorShift,
    Rounding,
    Rule,
    SlopeDecode,
    Threshold,
    load_rule,
    save_rule,
)
from metricgrad.errors import InputError
from tests.decision.data import pool


@pytest.fixture
def unchecked_shapes():
    """Axes of a graph that is being written are symbols, which the checks of shapes would fix."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)


def example(kind: type[Rule]) -> tuple[Rule, torch.Tensor]:
    """A fitted rule, and what it was fitted to."""
    if kind in (CutPoints, Rounding):
        logits, y = pool(0, 80, 3)
        values = logits @ torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
        return kind().fit(values, y, "macro_f1"), values
    if kind in (LabelThresholds, Midpoint):
        p = torch.rand(80, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        return kind().fit(p, (p > 0.7).long(), "multilabel_f1_macro"), p
    logits, y = pool(0, 300, 2 if kind is Threshold else 3)
    names = ["a", "b", "c"][: logits.shape[1]]
    return kind(class_names=names).fit(logits.softmax(1), y, "macro_f1"), logits.softmax(1)


KINDS = [
    Argmax,
    Threshold,
    SlopeDecode,
    PriorShift,
    ClassBiases,
    CutPoints,
    Rounding,
    LabelThresholds,
    Midpoint,
]


@pytest.mark.parametrize("suffix", ["json", "safetensors"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_rule_decides_the_same(kind: type[Rule], suffix: str, tmp_path):
    """And says the same of itself."""
    rule, scores = example(kind)
    loaded = load_rule(save_rule(rule, tmp_path / f"rule.{suffix}"))
    assert torch.equal(loaded.decide(scores), rule.decide(scores))
    assert loaded.words() == rule.words()
    assert (loaded.metric, loaded.class_names, loaded.inputs) == (rule.metric, rule.class_names, rule.inputs)


@pytest.mark.slow
@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize("kind", KINDS)
def test_onnx_decides_the_same(kind: type[Rule], tmp_path):
    """The graph takes float32 scores and any number of items."""
    rule, scores = example(kind)
    session = onnxruntime.InferenceSession(rule.to_onnx(tmp_path / "rule.onnx"))
    narrow = scores.float()
    (found,) = session.run(["classes"], {session.get_inputs()[0].name: narrow.numpy()})
    assert torch.equal(torch.from_numpy(found), rule(narrow))
    assert (torch.from_numpy(found) == rule.decide(scores)).double().mean() > 0.98


@pytest.mark.slow
@pytest.mark.usefixtures("unchecked_shapes")
def test_a_network_and_its_rule_are_one_graph(tmp_path):
    """Inputs of the network in, classes out."""
    torch.manual_seed(0)
    network, inputs = nn.Sequential(nn.Linear(6, 3), nn.Dropout()).eval(), torch.randn(200, 6)
    scores = network(inputs).detach()
    rule = SlopeDecode().fit(scores, (scores + torch.randn(200, 3)).argmax(1), "macro_f1")
    path = rule.to_onnx(tmp_path / "whole.onnx", network=network, inputs=inputs[:2])
    session = onnxruntime.InferenceSession(path)
    (found,) = session.run(["classes"], {"inputs": inputs.numpy()})
    expected = nn.Sequential(network, rule)(inputs)
    assert (torch.from_numpy(found) == expected).double().mean() > 0.99
    with pytest.raises(InputError, match="without inputs"):
        rule.to_onnx(tmp_path / "whole.onnx", network=network)


def changed(content: dict, key: str, value) -> dict:
    """The content with another value at a dotted key; None takes it out."""
    *path, last = key.split(".")
    place = content
    for part in path:
        place = place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return content


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("rule", "eval", "the rule is 'eval'"),
        ("rule", 3, "rule: Input should be a valid string"),
        ("metric", None, "metric: Field required"),
        ("more", 1, "more: Extra inputs are not permitted"),
        ("metricgrad_rule", 2, "its format is 2"),
        ("classes", 10**9, "classes"),
        ("classes", True, "classes"),
        ("inputs", "pixels", "inputs"),
        ("class_names", ["a"], "class_names has 1 names"),
        ("arrays", None, "its arrays are NoneType"),
        ("arrays.slopes", [[1.0]], "'slopes' does not fit"),
        ("arrays.slopes", [[1.0, 2.0, "3"]] * 3, "'slopes' does not fit"),
        ("arrays.slopes", [[1.0, 2.0, float("nan")]] * 3, "'slopes' does not fit"),
        ("arrays.seen", [1, 1, 1], "'seen' does not fit"),
        ("arrays.seen", [False] * 3, "none of a fitted slope"),
        ("arrays.tau", 1.0, r"its arrays are \['seen', 'slopes', 'tau'\]"),
    ],
)
def test_a_changed_file_is_refused(key, value, said, tmp_path):
    """Every field is checked before a rule is made of it."""
    path = save_rule(example(SlopeDecode)[0], tmp_path / "rule.json")
    path.write_text(json.dumps(changed(json.loads(path.read_text()), key, value)))
    with pytest.raises(InputError, match=said):
        load_rule(path)


@pytest.mark.parametrize("content", [b"[]", b"{", b"\xff\xfe", b'{"arrays": {}}'])
@pytest.mark.parametrize("name", ["rule.json", "rule.safetensors"])
def test_what_is_no_rule_file_is_refused(name, content, tmp_path):
    """One sentence, whatever is in it."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="rule file"):
        load_rule(tmp_path / name)
    with pytest.raises(InputError, match="cannot be read"):
        load_rule(tmp_path / "missing.json")


def test_only_a_fitted_rule_is_saved(tmp_path):
    """And under a known suffix."""
    with pytest.raises(InputError, match="not fitted"):
        save_rule(Threshold(), tmp_path / "rule.json")
    with pytest.raises(InputError, match=r"\.json or \.safetensors"):
        save_rule(example(Argmax)[0], tmp_path / "rule.pkl")


def test_a_file_that_cannot_be_written_and_what_is_no_rule(tmp_path):
    """In a sentence, as what cannot be read."""
    rule, _ = example(Threshold)
    with pytest.raises(InputError, match="cannot be written: No such file"):
        save_rule(rule, tmp_path / "nowhere" / "rule.json")
    with pytest.raises(InputError, match="the rule is Linear"):
        save_rule(nn.Linear(1, 1), tmp_path / "rule.json")  # pyright: ignore[reportArgumentType]


def test_names_are_different_and_shares_sum_to_one(tmp_path):
    """In a rule and in a file."""
    rule, scores = example(PriorShift)
    content = json.loads(save_rule(rule, tmp_path / "rule.json").read_text("utf-8"))
    content["arrays"]["prior"] = [1.0, 1.0, 1.0]
    (tmp_path / "shares.json").write_text(json.dumps(content), "utf-8")
    with pytest.raises(InputError, match="none of a fitted prior"):
        load_rule(tmp_path / "shares.json")
    content["class_names"] = ["a", "a", "b"]
    (tmp_path / "names.json").write_text(json.dumps(content), "utf-8")
    with pytest.raises(InputError, match="3 names, 2 of them different"):
        load_rule(tmp_path / "names.json")
    with pytest.raises(InputError, match="3 names, 2 of them different"):
        Argmax(class_names=["a", "a", "b"]).fit(scores, torch.zeros(len(scores)), "macro_f1")
