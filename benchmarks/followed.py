"""A whole process and what it took: seconds, and its largest memory with and without the pages of files.

The memory of a process (Linux, /proc/PID/status) is of two kinds. Anonymous pages (RssAnon) are its own: a machine must
have them. Pages of files that it maps (RssFile) count for it while they are in memory, but the system takes them back
when it needs them. The most of both together is kept by the system (VmHWM); the most of the first is what was seen,
every hundredth of a second.
"""

import re
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Followed", "follow"]

PAUSE = 0.01


@dataclass(frozen=True)
class Followed:
    """A process that has ended well.

    Attributes:
        seconds: from its start to its end.
        peak_bytes: the most memory that it had, with pages of mapped files.
        own_bytes: the most memory of its own that was seen.
        printed: on its standard output.
    """

    seconds: float
    peak_bytes: int
    own_bytes: int
    printed: str


def follow(command: Sequence[str], *, folder: Path, environment: Mapping[str, str]) -> Followed:
    """Run a command in a folder, and look at its memory until it ends.

    Raises:
        RuntimeError: it failed; with the end of what it wrote.
    """
    peak = own = 0
    with tempfile.TemporaryFile("w+") as printed, tempfile.TemporaryFile("w+") as errors:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=printed, stderr=errors, cwd=folder, env=dict(environment))
        while process.poll() is None:
            found = _memory(process.pid)
            peak, own = max(peak, found.get("VmHWM", 0)), max(own, found.get("RssAnon", 0))
            time.sleep(PAUSE)
        seconds = time.perf_counter() - began
        printed.seek(0)
        errors.seek(0)
        if process.returncode:
            raise RuntimeError(
                f"{' '.join(command)} ended with {process.returncode}: {errors.read()[-2000:]}"
            )
        return Followed(seconds, peak, own, printed.read())


def _memory(number: int) -> dict[str, int]:
    """Figures of a process by name, in bytes; none where it has just ended."""
    try:
        text = Path(f"/proc/{number}/status").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return {
        name: int(value) * 1024 for name, value in re.findall(r"^(VmHWM|RssAnon):\s+(\d+) kB", text, re.M)
    }
