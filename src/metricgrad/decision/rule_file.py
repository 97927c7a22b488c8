"""A fitted rule as a file: JSON that a reader can check, or safetensors as for weights of a network; never a pickle.

Both hold the same: facts (which rule, for which metric, the classes, how scores are read) and arrays. A file of others
is read within bounds, and every field is checked before a rule is made of it.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from metricgrad._checks import describe, fail
from metricgrad._documents import Unreadable, WholeField, content_of, json_value
from metricgrad.decision.known import RULES
from metricgrad.decision.rule import Rule
from metricgrad.decision.scores import Kind

__all__ = ["document_of", "load_rule", "rule_of_document", "save_rule"]

FORMAT = 1
_KEY = "metricgrad_rule"
_MOST_CLASSES = 10_000
_MOST_BYTES = 2**28


class _Facts(BaseModel):
    """What a rule file says beside its arrays."""

    model_config = ConfigDict(extra="forbid", strict=True)
    metricgrad_rule: WholeField
    rule: str
    metric: str = Field(max_length=1_000)
    classes: WholeField = Field(ge=1, le=_MOST_CLASSES)
    class_names: list[str]
    inputs: Kind


def save_rule(rule: Rule, path: Path | str) -> Path:
    """Write a fitted rule as `.json` or `.safetensors`, by the suffix.

    Raises:
        InputError: no rule, one that was not fitted, another suffix, a file that cannot be written.

    Example:
        >>> import tempfile
        >>> from metricgrad.decision import Threshold, load_rule
        >>> rule = Threshold().fit([0.1, 0.3, 0.35, 0.8], [0, 1, 1, 1], "f1")
        >>> path = save_rule(rule, Path(tempfile.mkdtemp()) / "rule.json")
        >>> load_rule(path).decide([0.1, 0.25, 0.9])
        tensor([0, 1, 1])
    """
    path = Path(path)
    if not isinstance(rule, Rule):
        raise fail("save_rule", f"the rule is {describe(rule)}", "a rule of metricgrad.decision")
    if path.suffix == ".json":
        content = (json.dumps(document_of(rule), indent=1, ensure_ascii=False) + "\n").encode()
    elif path.suffix == ".safetensors":
        content = save(arrays_of(rule), {_KEY: json.dumps(facts_of(rule))})
    else:
        raise fail("save_rule", f"the file is {path.name!r}", "a name that ends in .json or .safetensors")
    try:
        path.write_bytes(content)
    except OSError as error:
        raise fail(
            "save_rule", f"{path} cannot be written: {error.strerror}", "a folder to write into"
        ) from error
    return path


def load_rule(path: Path | str) -> Rule:
    """Read a rule that `save_rule` wrote; it decides as the one that was saved.

    Raises:
        InputError: no such file, another format, or a field that does not fit.
    """
    path = Path(path)
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                facts = json_value((file.metadata() or {}).get(_KEY, "{}"))
                arrays = {name: file.get_tensor(name) for name in file.keys()}
        else:
            return rule_of_document(json_value(content_of(path, most=_MOST_BYTES, linked=True)))
        return rule_of(facts, arrays)
    except (Unreadable, SafetensorError, OSError) as error:
        raise fail(
            f"the rule file {path}", f"it cannot be read: {error}", "a file that save_rule wrote"
        ) from error


def facts_of(rule: Rule) -> dict[str, Any]:
    """What a rule is, beside its arrays, as JSON writes it."""
    if not rule.classes:
        raise fail("a rule file", "the rule was not fitted", "a fitted rule")
    return {
        _KEY: FORMAT,
        "rule": rule.name,
        "metric": rule.metric,
        "classes": rule.classes,
        "class_names": list(rule.class_names),
        "inputs": rule.inputs,
    }


def arrays_of(rule: Rule) -> dict[str, Tensor]:
    """Arrays of a rule by name, on the CPU."""
    return {name: array.detach().cpu().contiguous() for name, array in rule.state_dict().items()}


def document_of(rule: Rule) -> dict[str, Any]:
    """A rule as JSON writes it: facts and arrays."""
    lists = {name: array.tolist() for name, array in arrays_of(rule).items()}
    return {**facts_of(rule), "arrays": lists}


def rule_of_document(document: Any) -> Rule:
    """Make a rule of what `document_of` returned; InputError as `rule_of`."""
    if not isinstance(document, dict):
        return rule_of(document, None)
    facts = {name: value for name, value in document.items() if name != "arrays"}
    return rule_of(facts, document.get("arrays"))


def rule_of(facts: Any, arrays: Any) -> Rule:
    """Make a rule of facts and of arrays, which are tensors or nested lists.

    Raises:
        InputError: a field that is missing, unknown, of another type or shape, or no finite number.
    """
    caller = "a rule file"
    try:
        read = _Facts.model_validate(facts)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise fail(caller, f"{where}: {first['msg']}", "the fields that save_rule writes") from error
    if read.metricgrad_rule != FORMAT:
        raise fail(caller, f"its format is {read.metricgrad_rule}", f"format {FORMAT}")
    if read.rule not in RULES:
        raise fail(caller, f"the rule is {read.rule!r}", f"one of {', '.join(RULES)}")
    rule = RULES[read.rule](inputs=read.inputs, class_names=read.class_names)
    rule.classes, rule.metric = read.classes, read.metric
    rule.check_names(caller)
    _put(rule, arrays)
    return rule


def _put(rule: Rule, arrays: Any) -> None:
    """Set the buffers of a rule to arrays of the right names, types and shapes."""
    wanted = rule.shapes()
    if not isinstance(arrays, Mapping) or set(arrays) != set(wanted):
        came = sorted(map(str, arrays)) if isinstance(arrays, Mapping) else type(arrays).__name__
        raise fail("a rule file", f"its arrays are {came}", f"{sorted(wanted)}")
    for name, shape in wanted.items():
        dtype = rule.get_buffer(name).dtype
        setattr(rule, name, _array(name, arrays[name], shape, dtype))
    if not rule.is_sound():
        raise fail("a rule file", f"its arrays are none of a fitted {rule.name}", "those of a fitted rule")


def _array(name: str, given: Any, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """One array, checked."""
    expected = f"{'true or false' if dtype == torch.bool else 'finite numbers'} of shape {shape}"
    kind = bool if dtype == torch.bool else float
    if isinstance(given, Tensor):
        fits = given.shape == shape and given.dtype == dtype and bool(torch.isfinite(given).all())
        array = given
    else:
        flat = _flat(given, shape, kind)
        fits = flat is not None
        array = torch.tensor(flat or [], dtype=dtype).reshape(shape if fits else (0,))
    if not fits:
        raise fail("a rule file", f"the array {name!r} does not fit", expected)
    return array.clone()


def _flat(given: Any, shape: tuple[int, ...], kind: type) -> list[Any] | None:
    """The numbers of nested lists of that shape; None where they are something else."""
    level = [given]
    for size in shape:
        if not all(isinstance(item, list) and len(item) == size for item in level):
            return None
        level = [value for item in level for value in item]
    if kind is bool:
        return level if all(isinstance(value, bool) for value in level) else None
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in level)
    return [float(value) for value in level] if numbers and all(map(math.isfinite, level)) else None
