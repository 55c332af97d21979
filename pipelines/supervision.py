"""A small parent process that answers Ctrl-C and SIGTERM while the work, in a child, may be deep in a library.

Ray takes over SIGTERM while it starts, imports swallow KeyboardInterrupt, and a signal to the whole process group fells
Ray's own processes, after which a goodbye to them may never return. The parent loads none of that.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import NoReturn

GRACE = 10
"""Seconds that work has to stop in order; killing it loses no more than what a killed machine would."""

STOP = signal.SIGUSR1
"""How the parent tells the child, which is deaf to the signals that a terminal sends to the whole group."""

ASKING = (signal.SIGINT, signal.SIGTERM)

WHY: dict[int, str] = {
    signal.SIGKILL: ", as happens when memory runs out",
    signal.SIGABRT: ", as Ray ends one whose cluster is lost",
}

PR_SET_PDEATHSIG = 1
"""Linux's prctl(2): the signal that a process gets when its parent dies."""


def supervised(work: Callable[[], None], on_lost: Callable[[str, int], None], interrupted: int) -> None:
    """Run `work` in a child, which is to leave with `interrupted` if it is told to stop.

    Returns in the child only. The parent leaves with the child's status, or with `interrupted` when it was asked to
    stop; where the child could not say how it ended, `on_lost` is told what happened.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    parent, (hearing, speaking) = os.getpid(), os.pipe()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*ASKING, signal.SIGALRM, signal.SIGCHLD, STOP})
    child = os.fork()
    if child == 0:
        _be_child_of(parent)
        _speaking.append(speaking)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        try:
            work()
        finally:
            _speak()
        return
    status, asked = _attend(child)
    code, spoke = os.waitstatus_to_exitcode(status), _heard(hearing)
    if asked and code != interrupted:
        code = interrupted
        on_lost("stopped", code)
    elif code < 0:
        number, code = -code, 128 - code
        on_lost(f"its process was ended by {signal.Signals(number).name}{WHY.get(number, '')}", code)
    elif not spoke and code != interrupted:
        code = code or 1
        on_lost("its process ended without a word, as Ray ends one whose cluster is lost", code)
    sys.exit(code)


def leave_at_once(status: int) -> NoReturn:
    """End now, without the goodbyes of libraries: they may wait for what is no more."""
    sys.stdout.flush()
    sys.stderr.flush()
    _speak()
    os._exit(status)


_speaking: list[int] = []
"""The pipe on which the parent hears that the work has come to its end, and has said what there was to say."""


def _speak() -> None:
    for pipe in _speaking:
        os.write(pipe, b".")


def _heard(pipe: int) -> bool:
    os.set_blocking(pipe, False)  # processes that the child has left behind may hold its other end
    try:
        return os.read(pipe, 1) != b""
    except BlockingIOError:
        return False


def _be_child_of(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked to be told
        os._exit(1)
    for number in ASKING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _leave_it_to_the_parent)  # a handler, not SIG_IGN, which our children would inherit
    signal.signal(STOP, _stop)


def _attend(child: int) -> tuple[int, bool]:
    """Wait for the child; returns its status and whether it was asked to stop.

    Signals stay blocked and are waited for one by one: a handler's could come just before a wait that it should end.
    """
    signal.signal(signal.SIGCHLD, lambda number, frame: None)  # ignored ones need not be told
    heard = {signal.SIGCHLD, signal.SIGALRM, *(n for n in ASKING if signal.getsignal(n) != signal.SIG_IGN)}
    asked = 0
    while True:
        number = signal.sigwait(heard)
        if number == signal.SIGCHLD:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return status, asked > 0
            continue
        asked += number in ASKING
        with suppress(ProcessLookupError):  # it has just ended by itself
            os.kill(child, STOP if number in ASKING and asked == 1 else signal.SIGKILL)
        signal.alarm(GRACE)


def _leave_it_to_the_parent(number: int, frame: FrameType | None) -> None:
    """The parent has heard it too, or is the one it was meant for."""


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
