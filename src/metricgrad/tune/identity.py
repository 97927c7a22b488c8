"""Which run a folder holds: what was asked for, and what must not have changed when it goes on."""

import hashlib
import platform
import re
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from metricgrad._documents import yaml_document
from metricgrad._types import Metric
from metricgrad.errors import CheckpointError, RunFolderError
from metricgrad.metrics.command import program_of
from metricgrad.relax.kernels import chosen
from metricgrad.scale import current
from metricgrad.tune.contents import Contents
from metricgrad.tune.fingerprint import fingerprint
from metricgrad.tune.folder import RunFolder, read_config
from metricgrad.tune.groups import groups_digest
from metricgrad.tune.setup import Setup

__all__ = ["check_identity", "differing", "identity_of", "note_changes", "versions"]


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    return {
        "metricgrad": metadata.version("metricgrad"),
        "torch": str(torch.__version__),
        "numpy": metadata.version("numpy"),
        "numba": metadata.version("numba"),
        "python": platform.python_version(),
    }


FORMAT = 2
"""Of config.yaml: 1 knew neither weights nor code nor the data of loaders."""
CHANGES = "changes as it is called"
"""Stands in the place of the hash of what a metric or proxy holds, where that is not the same after a run."""


def identity_of(
    setup: Setup, contents: Mapping[str, Contents], facts: Mapping[str, str], recipe: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return what `config.yaml` holds: `asked` (must be equal), `found` (must be equal or forced) and the recipe."""
    arms = {
        arm.name: {
            "role": arm.role,
            "method": arm.method,
            "tries": [{"method": one.road.name, **one.settings.model_dump()} for one in arm.attempts],
            **({"members": list(arm.members)} if arm.members else {}),
        }
        for arm in setup.arms
    }
    if setup.start.attempts:
        arms[setup.start.name] = {
            "method": setup.start.method,
            "tries": [setup.start.attempts[0].settings.model_dump()],
            "plan": setup.start_plan.model_dump(),
        }
    device = next((value.device for value in setup.build(setup.seeds[0]).parameters()), torch.device("cpu"))
    code, unread = _code_of(setup)
    identity = {
        "format": FORMAT,
        "recipe": None if recipe is None else dict(recipe),
        "asked": {
            "metric": setup.metric.name,
            "direction": "higher" if setup.metric.higher_is_better else "lower",
            "seeds": list(setup.seeds),
            "plan": _plan_of(setup),
            "arms": arms,
            "equal": setup.equal,
            **({} if setup.deciding is None else {"decision": setup.deciding.name}),
            **({"side_metrics": _sides(setup)} if _sides(setup) else {}),
        },
        "found": {
            "versions": versions(),
            "device": device.type,
            "kernel": chosen(device),
            "threads": torch.get_num_threads(),
            "processes": current().size,
            **code,
            "data": {"test": "none", **{name: one.digest for name, one in contents.items()}},
            **({"groups": groups_digest(setup.splits)} if setup.splits.groups else {}),
            **facts,
        },
        "not compared": unread,
    }
    return yaml_document(
        yaml.safe_dump(identity), own=True
    ).value  # as the file gives it back: tuples are lists


def _plan_of(setup: Setup) -> dict[str, Any]:
    """The plan without resamples, which train nothing, and without a patience that is not there."""
    plan = setup.plan.model_dump(exclude={"resamples"})
    return {name: value for name, value in plan.items() if name != "patience" or value is not None}


def _sides(setup: Setup) -> dict[str, Any]:
    """Direction and limit of the side metrics that can hold an arm back; what is only measured changes nothing."""
    return {
        side.metric.name: {
            "direction": "higher" if side.metric.higher_is_better else "lower",
            "may_fall": side.may_fall,
        }
        for side in setup.side_metrics
        if side.holds_back
    }


def _code_of(setup: Setup) -> tuple[dict[str, Any], list[str]]:
    """Hashes of metric, proxy and the start model of every seed, and what of them could not be read."""
    given = getattr(setup.build, "model", setup.build)
    whole = isinstance(given, nn.Module)  # the same for every seed
    models = [fingerprint(setup.build(seed)) for seed in (setup.seeds[:1] if whole else setup.seeds)]
    made = "" if whole else fingerprint(given).code
    read = {name: fingerprint(value) for name, value in _given(setup).items()}
    code = {name: {"code": one.code, "values": one.values} for name, one in read.items()}
    for name, value in _given(setup).items():
        if isinstance(value, Metric) and (program := program_of(value)) is not None:
            code[name]["program"] = program.line
    code["model"] = {
        "code": _together(made, *(one.code for one in models)),
        "values": _together(*(one.values for one in models)),
    }
    read |= {"model": models[0]}
    return code, [f"{what} in the {name}" for name, one in read.items() for what in one.unread]


def _given(setup: Setup) -> dict[str, Any]:
    """Code of the user that a run is known by, beside its model; a side metric that is only measured is none of it."""
    sides = {f"side metric {side.metric.name}": side.metric for side in setup.side_metrics if side.holds_back}
    rule = None if setup.deciding is None else setup.deciding.rule
    rules = {"decision": rule} if isinstance(rule, nn.Module) else {}
    roads = [one.road for arm in setup.arms for one in arm.attempts]
    losses = {f"loss of {road.name}": road.code for road in roads if road.code is not None}
    return {"metric": setup.metric, "proxy": setup.proxy, **losses, **rules, **sides}


def _together(*hashes: str) -> str:
    return hashlib.sha256(" ".join(hashes).encode()).hexdigest()


def note_changes(folder: RunFolder, setup: Setup, identity: Mapping[str, Any]) -> None:
    """Write into `config.yaml` that metric, proxy or side metrics hold something else than before the run, if so.

    A list of their own calls, say. The next call would otherwise be taken for another run.
    """
    config, given = read_config(folder.path), _given(setup)
    if config is None or any(config["found"].get(name) != identity["found"][name] for name in given):
        return
    found = dict(config["found"])
    for name, value in given.items():
        if fingerprint(value).values != found[name]["values"]:
            found[name] = {**found[name], "values": CHANGES}
    if found != config["found"]:
        folder.write_config({**config, "found": found})


def differing(texts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name what is not the same in the identities that the processes of a run have."""
    flat = [_flat({key: each[key] for key in ("asked", "found")}) for each in texts]
    own = ("found.threads",)  # each process has its own number
    return sorted(
        {key for each in flat for key in each.keys() | flat[0].keys() if each.get(key) != flat[0].get(key)}
        - {*own}
    )


def check_identity(
    folder: Path, config: Mapping[str, Any], identity: Mapping[str, Any], *, force: bool
) -> tuple[list[str], list[str]]:
    """Compare the run of the folder with the run that is asked for.

    Returns:
        What differs and was overridden with `force`, as sentences; and what may differ but must be told: the number
        of processes, with their threads. Both are empty where all is equal.

    Raises:
        RunFolderError: the folder holds another run.
        CheckpointError: the same run, but data, feature cache, versions or thread count have changed.
    """
    if config.get("format") != FORMAT:
        raise RunFolderError(
            f"the run folder {folder} is of an earlier metricgrad, which did not keep what a run must be known by "
            "(weights, code, the data of loaders): it can be neither resumed nor taken for this run. Choose another "
            "folder; its report can be drawn as before."
        )
    asked, before_asked = identity["asked"], config["asked"]
    different = [
        key for key in (*asked, *(before_asked.keys() - asked)) if before_asked.get(key) != asked.get(key)
    ]
    if different:
        raise RunFolderError(
            f"the run folder {folder} holds another run: {', '.join(different)} differ. Choose another folder, or "
            "repeat the call that made it (its settings stand in config.yaml)."
        )
    before, now = {"processes": 1, **_flat(config["found"])}, _flat(identity["found"])
    told = []
    if before["processes"] != now["processes"]:
        told.append(
            f"begun with {_processes(before)}, resumed with {_processes(now)}: sums are rounded "
            "otherwise and dropout draws other masks, so the run is not the uninterrupted one bit for bit"
        )
        for key in ("processes", "threads"):  # fewer processes have more threads each
            before.pop(key, None)
            now.pop(key)
    changed = [
        f"{key} was {_short(before.get(key))} and is {_short(now.get(key))}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) not in (now.get(key), CHANGES)
    ]
    if changed and not force:
        advice = _advice(changed, identity["found"])
        raise CheckpointError(
            f"cannot resume {folder}: {'; '.join(changed)}; expected the same, or the resumed run would differ from an "
            f"uninterrupted one. Restore it, or resume with force (--force), which marks the run.{advice}"
        )
    return changed, told


def _advice(changed: Sequence[str], found: Mapping[str, Any]) -> str:
    """What helps where an object has the same code and holds something else: perhaps the time at which it was made."""
    names = [
        name
        for name in found
        if name != "model" and any(item.startswith(f"{name}.values ") for item in changed)
    ]
    names = [name for name in names if not any(item.startswith(f"{name}.code ") for item in changed)]
    if not names:
        return ""
    if all("program" in found[name] for name in names):
        return " A program is known by its words, and by the content of the files that these name."
    return (
        f" Does the {' or the '.join(names)} hold something that every process makes anew, such as the time? A method "
        "identity_parts() of its class returns what it is to be known by."
    )


def _short(value: Any) -> str:
    """A value for a message, the first digits of a hash."""
    return re.sub(r"\b([0-9a-f]{12})[0-9a-f]{52,}", r"\1...", repr(value))


def _processes(found: Mapping[str, Any]) -> str:
    return "1 process" if found["processes"] == 1 else f"{found['processes']} processes"


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
