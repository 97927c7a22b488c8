"""Which run a folder holds: what was asked for, and what must not have changed when it goes on."""

import hashlib
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
import yaml

from metricgrad.errors import CheckpointError, RunFolderError
from metricgrad.scale import current
from metricgrad.tune.arms import Setup
from metricgrad.tune.splits import split_digest

__all__ = ["check_identity", "identity_of", "read_config", "versions"]


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    return {
        "metricgrad": metadata.version("metricgrad"),
        "torch": str(torch.__version__),
        "numpy": metadata.version("numpy"),
        "python": platform.python_version(),
    }


def identity_of(setup: Setup, facts: Mapping[str, str], recipe: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what `config.yaml` holds: `asked` (must be equal), `found` (must be equal or forced) and the recipe."""
    arms = {
        arm.name: {
            "method": arm.method,
            "tries": [{"method": one.road.name, **one.settings.model_dump()} for one in arm.attempts],
        }
        for arm in setup.arms
    }
    if setup.start is not None:
        arms["start"] = {
            "method": setup.start.method,
            "tries": [setup.start.attempts[0].settings.model_dump()],
            "plan": setup.start_plan.model_dump(),
        }
    identity = {
        "recipe": None if recipe is None else dict(recipe),
        "asked": {
            "metric": setup.metric.name,
            "seeds": list(setup.seeds),
            "plan": setup.plan.model_dump(),
            "arms": arms,
        },
        "found": {
            "versions": versions(),
            "threads": torch.get_num_threads(),
            "processes": current().size,
            "model": hashlib.sha256(repr(setup.build(setup.seeds[0])).encode()).hexdigest(),
            "data": {name: split_digest(getattr(setup.splits, name)) for name in ("fit", "select", "test")},
            **facts,
        },
    }
    return yaml.safe_load(yaml.safe_dump(identity))  # as the file gives it back: tuples are lists


def read_config(folder: Path) -> dict[str, Any] | None:
    """Return what `config.yaml` of a run folder holds, or None where there is none.

    Raises:
        RunFolderError: the file is not a run's settings.
    """
    path = folder / "config.yaml"
    if not path.exists():
        return None
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not {"asked", "found"} <= set(config):
            raise ValueError("it lacks `asked` or `found`")
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        raise RunFolderError(
            f"{path} is not the settings of a run: {error}. Choose another folder."
        ) from error
    return config


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
    different = [key for key in identity["asked"] if config["asked"].get(key) != identity["asked"][key]]
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
        f"{key} was {before.get(key)!r} and is {now.get(key)!r}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ]
    if changed and not force:
        raise CheckpointError(
            f"cannot resume {folder}: {'; '.join(changed)}; expected the same, or the resumed run would differ from an "
            "uninterrupted one. Restore it, or resume with force (--force), which marks the run."
        )
    return changed, told


def _processes(found: Mapping[str, Any]) -> str:
    return "1 process" if found["processes"] == 1 else f"{found['processes']} processes"


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
