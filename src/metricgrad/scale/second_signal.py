"""A process that waits for another one can be ended: the second SIGINT or SIGTERM ends it, whatever it waits in.

Python runs the handler of a signal when the main thread comes back from whatever it called. A collective that waits for
a process that is stuck (stopped by a debugger, on a frozen machine) does not come back for half an hour. So another
thread counts the signals as the operating system delivers them.
"""

import contextlib
import os
import select
import signal
import socket
import threading
from collections.abc import Iterator

__all__ = ["ended_by_second_signal"]

GRACE = 2.0
"""Seconds that are left after the second signal to end in good order."""


@contextlib.contextmanager
def ended_by_second_signal(grace: float = GRACE) -> Iterator[None]:
    """Watch over what is done inside, in the main thread (elsewhere signals are not ours).

    The first signal is left to its handler. After the second one the process has `grace` seconds to leave; then it ends
    with the exit code of that signal. A checkpoint is replaced in one moment, so that nothing is lost by it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    told, heard = socket.socketpair()
    told.setblocking(False)
    before = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    watcher = threading.Thread(target=_watch, args=(heard, grace), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        told.close()
        watcher.join()
        heard.close()


def _watch(heard: socket.socket, grace: float) -> None:
    """Count signals until the other end is closed, or end the process."""
    asked = [signal.SIGINT, signal.SIGTERM]
    count, last = 0, 0
    while count < 2:
        numbers = heard.recv(64)
        if not numbers:
            return
        count, last = count + sum(number in asked for number in numbers), numbers[-1]
    closed = False
    while not closed and select.select([heard], [], [], grace)[0]:
        closed = not heard.recv(64)
    if not closed:
        os.write(
            2,
            b"metricgrad: ended by the second signal, in the middle of something; the last checkpoint is unharmed\n",
        )
        os._exit(128 + last)
