"""`metricgrad doctor`: what is installed, what is missing, what commonly goes wrong on a machine."""

import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from metricgrad.cli.output import JsonOption, console, examples, print_json

__all__ = ["EXAMPLES", "doctor", "findings"]

EXAMPLES = examples("metricgrad doctor", "metricgrad doctor --json > machine.json")

_PACKAGES = ("metricgrad", "torch", "numpy", "safetensors", "pydantic", "jinja2", "typer", "rich")
_NOT_FOR_USERS = {"dev", "docs"}
_ROOM_FOR_A_RUN = 500_000_000  # bytes


def doctor(as_json: JsonOption = False) -> None:
    """Look at this machine: versions, threads, device, cache, extras with the line that installs the missing ones.

    Problems are listed at the end, each with its remedy. The exit code is 1 where something must be mended before
    a run can succeed, else 0.
    """
    found = findings()
    if as_json:
        print_json(found)
    else:
        _draw(found)
    if any(problem["serious"] for problem in found["problems"]):
        raise typer.Exit(1)


def findings() -> dict[str, Any]:
    """Return everything that is found, ready for JSON."""
    import torch

    found: dict[str, Any] = {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "threads": {
            "torch": torch.get_num_threads(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
        },
        "device": torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu",
        "extras": dict(_extras()),
        "cache": _folder_state(_cache_folder()),
        "here": _folder_state(Path.cwd()),
    }
    found["problems"] = list(_problems(found))
    return found


def _version(name: str) -> str | None:
    from importlib import metadata  # not at the top: it would slow every command's start

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _extras() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each extra of this installation with its packages, the missing ones and the line that installs them."""
    from importlib import metadata

    packages: dict[str, list[str]] = {}
    for line in metadata.requires("metricgrad") or []:
        found = re.match(r"([A-Za-z0-9_.-]+).*extra\s*==\s*['\"]([\w-]+)['\"]", line)
        if found and found[2] not in _NOT_FOR_USERS:
            packages.setdefault(found[2], []).append(found[1])
    for extra, names in packages.items():
        missing = [name for name in names if _version(name) is None]
        install = f"pip install 'metricgrad[{extra}]'" if missing else None
        yield (
            extra,
            {"packages": {name: _version(name) for name in names}, "missing": missing, "install": install},
        )


def _cache_folder() -> Path:
    from metricgrad.tasks.folders import cache_folder

    return Path(cache_folder())


def _folder_state(folder: Path) -> dict[str, Any]:
    """Say whether a folder, or the nearest one above that exists, can be written to, and how much room it has."""
    standing = next(place for place in (folder, *folder.parents) if place.exists())
    writable = standing.is_dir() and os.access(standing, os.W_OK)
    return {"path": str(folder), "writable": writable, "free_bytes": shutil.disk_usage(standing).free}


def _problems(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what commonly goes wrong, each with its remedy."""
    for name, place in (("cache", found["cache"]), ("current", found["here"])):
        remedy = "set METRICGRAD_CACHE to" if name == "cache" else "change to"
        if not place["writable"]:
            text = f"the {name} folder {place['path']} cannot be written to"
            yield _problem(text, f"{remedy} a folder that can", serious=name == "cache")
        elif place["free_bytes"] < _ROOM_FOR_A_RUN:
            text = f"the {name} folder {place['path']} has {place['free_bytes'] / 1e6:.0f} MB left"
            yield _problem(text, f"free some space or {remedy} another folder", serious=False)
    threads = found["threads"]
    if threads["torch"] > threads["cores"]:
        text = (
            f"torch uses {threads['torch']} threads on {threads['cores']} cores, which slows everything down"
        )
        yield _problem(text, f"export OMP_NUM_THREADS={threads['cores']}", serious=False)
    if sys.byteorder != "little":
        yield _problem(
            "this machine is big-endian", "weights in safetensors need a little-endian one", serious=True
        )
    yield from _torch_problems(found["device"])


def _torch_problems(device: str) -> Iterator[dict[str, Any]]:
    import torch

    if device == "cpu" and torch.version.cuda:
        text = f"this torch is built for CUDA {torch.version.cuda} but finds no device"
        yield _problem(
            text, "look at the driver (nvidia-smi), or install the smaller CPU build", serious=False
        )
    if torch.get_default_dtype() != torch.float32:
        yield _problem(
            f"torch's default type is {torch.get_default_dtype()}", "set it back to float32", serious=False
        )


def _problem(text: str, remedy: str, *, serious: bool) -> dict[str, Any]:
    return {"problem": text, "remedy": remedy, "serious": serious}


def _draw(found: dict[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, version in found["versions"].items():
        table.add_row(name, version or "missing")
    threads = found["threads"]
    table.add_row("system", found["system"])
    table.add_row("device", found["device"])
    table.add_row("threads", f"{threads['torch']} of torch, {threads['cores']} cores")
    for name, place in (("cache folder", found["cache"]), ("current folder", found["here"])):
        state = "writable" if place["writable"] else "not writable"
        table.add_row(name, f"{place['path']} ({state}, {place['free_bytes'] / 1e9:.1f} GB free)")
    for extra, state in found["extras"].items():
        missing = f"missing {', '.join(state['missing'])}; install with: {state['install']}"
        table.add_row(f"extra {extra}", Text("installed" if not state["missing"] else missing))
    out = console()
    out.print(table)
    for problem in found["problems"]:
        out.print(
            Text(f"{'PROBLEM' if problem['serious'] else 'note'}: {problem['problem']}; {problem['remedy']}.")
        )
    if not found["problems"]:
        out.print(Text("No problem found."))
