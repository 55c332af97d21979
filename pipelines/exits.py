"""How a command ends: its result, or one screen that says what is wrong and what to do, and an exit status."""

import errno
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any

from catalogs.errors import BadInput
from catalogs.no_answer import is_no_answer
from cluster.head import ClusterLost
from cluster.progress import Progress, progress_for
from cluster.session import ClusterUnreachable
from models.errors import Misfit
from pipelines.outcomes import Unfinished, disk_full, is_disk_full

NOT_OURS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR, errno.EIO}
"""What the system refuses for reasons that a person can mend."""

OK, UNFINISHED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


class Exit(SystemExit):
    """Leaves with a status; at once where Ray's own goodbye may wait for processes that are no more."""

    def __init__(self, status: int, at_once: bool = False) -> None:
        super().__init__(status)
        self.status, self.at_once = status, at_once


def go(work: Callable[[Progress], dict[str, Any]], as_json: bool, again: str) -> None:
    """Do the work of a command; 0 only if what was asked for exists.

    `again` is the command that goes on after an interruption.
    """
    progress = progress_for(sys.stderr, as_json)
    try:
        progress.result(work(progress))
    except KeyboardInterrupt:
        _tell(as_json, INTERRUPTED, f"stopped. {_go_on(again)}")
        raise Exit(INTERRUPTED, at_once=True) from None
    except Exception as error:
        status, *lines = _explained(error, again)
        _tell(as_json, status, *lines)
        raise Exit(status, at_once=isinstance(error, ClusterLost)) from None


def again_with(*words: str) -> str:
    """A command as a person types it."""
    return shlex.join(["furrow", *words])


def say_lost(words: Sequence[str], what: str, status: int) -> None:
    """What became of a command, given by its words, that could not say it itself."""
    _tell("--json" in words, status, f"{what}. {_go_on(again_with(*words))}")


def _go_on(again: str) -> str:
    return f"What was finished is kept; to go on: {again}"


def _explained(error: Exception, again: str) -> tuple[Any, ...]:
    """Status and lines for an error that a person can do something about; others keep their traceback."""
    if isinstance(error, OSError) and is_disk_full(error):
        error = disk_full(str(error.filename or "the store root"))
    if isinstance(error, OSError) and error.errno in NOT_OURS and error.filename:
        error = BadInput(
            str(error.filename), f"{error.strerror}.", "Check what is there, and who may read and write it."
        )
    if isinstance(error, BadInput | Misfit):
        return BAD_INPUT, f"given:  {error.given}", f"why:    {error.why}", f"do:     {error.remedy}"
    if isinstance(error, Unfinished | ClusterLost):
        return UNFINISHED, f"not finished: {error}", f"do:     {again}"
    if isinstance(error, ClusterUnreachable):
        return BAD_INPUT, str(error)
    if is_no_answer(error):
        said = f"{type(error).__name__}: {error}"[:300]
        return UNFINISHED, f"not finished: the object store did not answer as it should ({said})", f"do:     {again}"
    raise error


def _tell(as_json: bool, status: int, *lines: str) -> None:
    if as_json:
        print(json.dumps({"event": "error", "status": status, "text": list(lines)}), flush=True)
    else:
        print("furrow: " + "\n  ".join(["cannot go on"] * (len(lines) > 1) + list(lines)), file=sys.stderr, flush=True)
