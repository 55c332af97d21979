"""Runs one contestant in a fresh process and measures from outside: seconds, CPU, memory of all its processes."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

EVERY = 0.2
"""Seconds between two looks at the memory."""


@dataclass(frozen=True)
class Measured:
    """One timed part of a contestant's run."""

    seconds: float
    cpu_seconds: float
    """Of the process and all that it started."""
    peak_mb: float
    """Of the same, during the timed part; shared pages counted once (PSS)."""


class Watch(threading.Thread):
    """Looks at a tree of processes until told to stop."""

    def __init__(self, process: psutil.Process) -> None:
        super().__init__(daemon=True)
        self.process = process
        self.before = self._cpu()
        self.peak = 0.0
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.is_set():
            self.peak = max(self.peak, sum(_pss(process.pid) for process in self._tree()))
            self.over.wait(EVERY)

    def stop(self, seconds: float) -> Measured:
        cpu = self._cpu() - self.before
        self.over.set()
        self.join()
        return Measured(seconds, cpu, self.peak)

    def _tree(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]

    def _cpu(self) -> float:
        return sum(_cpu(process) for process in self._tree())


def measure(command: list[str]) -> tuple[list[Measured], dict[str, Any]]:
    """Run a contestant, which prints `began` and `ended` around each part that counts, and notes besides."""
    parts: list[Measured] = []
    notes: dict[str, Any] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        watch = None
        for event in _events(process.stdout):
            if event["event"] == "began":
                watch = Watch(psutil.Process(process.pid))
                watch.start()
            elif event["event"] == "ended" and watch:
                parts.append(watch.stop(event["seconds"]))
            else:
                notes |= event
    if process.returncode:
        raise SystemExit(f"{command[2][:40]}... failed with status {process.returncode}")
    return parts, notes


@contextmanager
def serving(folder: Path, script: str = "range_server.py", *more: str) -> Iterator[str]:
    """The address at which a process of its own serves the folder, as long as it is needed."""
    server = Path(__file__).with_name(script)
    command = [sys.executable, str(server), str(folder), *more]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def _events(lines: Any) -> Iterator[dict[str, Any]]:
    """Those of our own lines; libraries print what they like."""
    return (json.loads(line) for line in lines if line.startswith('{"event"'))


def _cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:  # it has just ended
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)  # and of its dead


def _pss(pid: int) -> float:
    """Megabytes of one process; 0 when it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1000 for line in lines if line.startswith("Pss:")), 0.0)
