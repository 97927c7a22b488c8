"""The connection to a Ray cluster that is there already: how it is found, and what is said where it is not."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from metricgrad._checks import describe, extra, fail
from metricgrad.scale import current

__all__ = ["connected"]

AUTO = "auto"
"""The address of the cluster that runs on this machine, or that RAY_ADDRESS names."""
SECONDS_TO_REACH, SECONDS_TO_ANSWER = 10.0, 60.0
"""How long an address may take until something listens there, and until that answers as a Ray cluster."""

_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[\w.-]+):([0-9]{1,5})")
_PROBE = """\
import sys
import ray
try:
    ray.init(address=sys.argv[1], log_to_driver=False, logging_level="CRITICAL")
except ConnectionError if sys.argv[1] == "auto" else ():
    sys.exit("reason: none runs on this machine, and RAY_ADDRESS names none")
except Exception as error:
    sys.exit("reason: " + " ".join(str(error).split()))
ray.shutdown()
"""
"""What asks for an answer, in a process that can be ended: Ray itself waits for minutes, and ends the program then."""

_ours: str | None = None


@contextlib.contextmanager
def connected(address: str | None, name: str = "ray") -> Iterator[ModuleType | None]:
    """Connect to a running Ray cluster, and leave it at the end.

    Args:
        address: `auto` or `HOST:PORT`; None connects to nothing.
        name: of the argument or option, for messages.

    Yields:
        The module `ray`, connected; None without an address. Inside another `connected`, and where the caller's program
        has called `ray.init`, that connection, which is left as it is.

    Raises:
        MissingExtraError: Ray is not installed.
        InputError: no address, nobody listens there, or no Ray cluster answers.
    """
    global _ours
    if address is None:
        yield None
        return
    _check_form(address, name)
    ray = extra("ray", "cluster", f"{name} {address}: training on a Ray cluster")
    if current().size > 1:
        raise fail(
            name, f"{address} with {current().size} processes of torchrun", "one process: its cells go to Ray"
        )
    if ray.is_initialized():
        if address not in (AUTO, _ours):
            raise fail(
                name,
                f"{address}, and this program is connected to Ray already",
                f"{AUTO!r}, which uses that connection",
                "Or end it first: ray.shutdown().",
            )
        yield ray
        return
    found = os.environ.get("RAY_ADDRESS") or AUTO if address == AUTO else address
    _check_form(found, "RAY_ADDRESS")
    _check_answer(found, name)
    try:
        with _own_handlers():
            ray.init(address=found, log_to_driver=False, logging_level="CRITICAL")
        _ours = address
        yield ray
    finally:
        _ours = None
        with _own_handlers():
            ray.shutdown()


def _check_form(address: Any, name: str) -> None:
    port = _ADDRESS.fullmatch(address) if isinstance(address, str) else None
    if address == AUTO or (port is not None and 0 < int(port[2]) < 65536):
        return
    raise fail(
        name,
        describe(address) if not isinstance(address, str) else repr(address),
        "auto, or HOST:PORT of a running Ray cluster",
        "`ray start --head` begins one and prints its address; the others join it by `ray start --address=HOST:PORT`.",
    )


def _check_answer(address: str, name: str) -> None:
    """Raise InputError, within a bounded time, unless a Ray cluster answers."""
    if address != AUTO:
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), SECONDS_TO_REACH).close()
        except OSError as error:
            raise _unanswered(address, name, f"nothing listens there ({error.strerror or error})") from error
    try:
        probe = subprocess.run(
            [sys.executable, "-c", _PROBE, address],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS_TO_ANSWER,
        )
    except subprocess.TimeoutExpired as error:
        reason = f"it has not answered as a Ray cluster within {SECONDS_TO_ANSWER:.0f} seconds"
        raise _unanswered(address, name, reason) from error
    if probe.returncode:
        lines = [line for line in probe.stderr.splitlines() if line.strip()]
        told = [line.removeprefix("reason: ") for line in lines if line.startswith("reason: ")] or lines[-1:]
        raise _unanswered(address, name, (told or ["the attempt ended without a word"])[0][:300])


def _unanswered(address: str, name: str, reason: str) -> Exception:
    return fail(
        name,
        f"{address}: {reason}",
        "the address of a running Ray cluster",
        "`ray start --head` begins one and prints its address; without this the cells are trained in this process.",
    )


@contextlib.contextmanager
def _own_handlers() -> Iterator[None]:
    """Keep the handlers of signals: Ray puts its own in their place, and a run answers signals by its checkpoint."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)
