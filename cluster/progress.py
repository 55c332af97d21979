"""What a person or a program sees while work runs: bars on a terminal, plain lines in a log, or JSON lines."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol, TextIO

LINE_EVERY = 10.0
"""Seconds between two plain lines of one stage."""


class Bar(Protocol):
    """The running count of one stage."""

    def advance(self, count: int = 1, note: str = "") -> None: ...


class Progress(Protocol):
    """Where stages report. Every kind shows the same: what was done, how fast, and how long it will still take."""

    def stage(self, name: str, total: int, unit: str, already: int = 0) -> AbstractContextManager[Bar]: ...

    def say(self, text: str) -> None: ...

    def result(self, values: dict[str, Any]) -> None:
        """What a verb made, for programs."""
        ...


def progress_for(stream: TextIO, as_json: bool) -> Progress:
    if as_json:
        return JsonProgress(sys.stdout)
    return TerminalProgress() if stream.isatty() else LineProgress(stream)


class Rate:
    """Units per second and seconds left, counted from this start and not from earlier runs."""

    def __init__(self, total: int, already: int) -> None:
        self.done, self.total, self.already = already, total, already
        self.began = time.monotonic()

    def advance(self, count: int) -> None:
        self.done += count

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    @property
    def per_second(self) -> float:
        return (self.done - self.already) / max(self.seconds, 1e-6)

    @property
    def left(self) -> float:
        return (self.total - self.done) / self.per_second if self.done > self.already else float("inf")


class _Line:
    def __init__(self, owner: "LineProgress", name: str, unit: str, rate: Rate) -> None:
        self.owner, self.name, self.unit, self.rate = owner, name, unit, rate
        self.spoke = time.monotonic()

    def advance(self, count: int = 1, note: str = "") -> None:
        self.rate.advance(count)
        if time.monotonic() - self.spoke >= LINE_EVERY:
            self.spoke = time.monotonic()
            self.owner.say(f"{self.name}: {_standing(self.rate, self.unit)}{' · ' + note if note else ''}")


class LineProgress:
    """Plain lines for logs: one at the start of a stage, one every few seconds, one at its end."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    @contextmanager
    def stage(self, name: str, total: int, unit: str, already: int = 0) -> Iterator[Bar]:
        rate = Rate(total, already)
        self.say(f"{name}: {total} {unit}" + (f", {already} done before" if already else ""))
        yield _Line(self, name, unit, rate)
        if total > already:
            self.say(f"{name}: {rate.done} of {total} {unit} in {_clock(rate.seconds)}")

    def say(self, text: str) -> None:
        print(text, file=self.stream, flush=True)

    def result(self, values: dict[str, Any]) -> None:
        pass


class JsonProgress:
    """One JSON object a line; `event` says which kind."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    @contextmanager
    def stage(self, name: str, total: int, unit: str, already: int = 0) -> Iterator[Bar]:
        rate = Rate(total, already)
        self._emit("stage", stage=name, total=total, unit=unit, done=already)
        yield _JsonBar(self, name, rate)
        self._emit("stage_end", stage=name, done=rate.done, total=total, seconds=round(rate.seconds, 3))

    def say(self, text: str) -> None:
        self._emit("note", text=text)

    def result(self, values: dict[str, Any]) -> None:
        self._emit("result", **values)

    def progress(self, name: str, rate: Rate, note: str) -> None:
        extra = {"note": note} if note else {}
        self._emit("progress", stage=name, done=rate.done, total=rate.total, per_second=rate.per_second, **extra)

    def _emit(self, event: str, **values: Any) -> None:
        print(json.dumps({"event": event, **values}, default=str), file=self.stream, flush=True)


class _JsonBar:
    def __init__(self, owner: JsonProgress, name: str, rate: Rate) -> None:
        self.owner, self.name, self.rate = owner, name, rate

    def advance(self, count: int = 1, note: str = "") -> None:
        self.rate.advance(count)
        self.owner.progress(self.name, self.rate, note)


class TerminalProgress:
    """A live bar for each stage, with rate and time left."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True)

    @contextmanager
    def stage(self, name: str, total: int, unit: str, already: int = 0) -> Iterator[Bar]:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        rate = Rate(total, already)
        columns = (
            TextColumn("[bold]{task.description:<9}"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[standing]}"),
        )
        with RichProgress(*columns, console=self.console) as live:
            task = live.add_task(name, total=total, completed=already, unit=unit, standing="")
            yield _TerminalBar(live, task, rate, unit)

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def result(self, values: dict[str, Any]) -> None:
        pass


class _TerminalBar:
    def __init__(self, live: Any, task: Any, rate: Rate, unit: str) -> None:
        self.live, self.task, self.rate, self.unit = live, task, rate, unit

    def advance(self, count: int = 1, note: str = "") -> None:
        self.rate.advance(count)
        standing = f"{self.rate.per_second:.1f}/s, {_clock(self.rate.left)} left" + (f" · {note}" if note else "")
        self.live.update(self.task, advance=count, standing=standing)


def _standing(rate: Rate, unit: str) -> str:
    return f"{rate.done} of {rate.total} {unit}, {rate.per_second:.2f}/s, {_clock(rate.left)} left"


def _clock(seconds: float) -> str:
    if seconds == float("inf"):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
