"""However a command's process ends, its parent says so and leaves with the right status."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

CODE = """
import os, signal, sys, time
import pipelines.supervision as supervision
supervision.GRACE = {grace}

def work():
    {work}

supervision.supervised(work, lambda what, status: print(what, status, flush=True), 130)
"""


def start(work: str, grace: int = 30) -> "subprocess.Popen[str]":
    code = CODE.format(work="\n    ".join(work.splitlines()), grace=grace)
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip


def finish(process: "subprocess.Popen[str]") -> tuple[int, str]:
    output, _ = process.communicate(timeout=60)
    return process.returncode, output


@pytest.mark.parametrize("status", [0, 1, 2])
def test_the_status_of_the_work_is_the_commands(status):
    assert finish(start(f"sys.exit({status})")) == (status, "")


def test_a_killed_child_is_told_with_the_likely_reason():
    status, output = finish(start("os.kill(os.getpid(), signal.SIGKILL)"))
    assert status == 137 and "SIGKILL, as happens when memory runs out" in output


def test_a_child_that_a_library_aborts_is_told():
    status, output = finish(start("os.abort()"))
    assert status == 134 and "SIGABRT, as Ray ends one whose cluster is lost" in output


@pytest.mark.parametrize("status", [0, 1])
def test_a_child_that_a_library_ends_without_a_word_is_told_and_has_not_succeeded(status):
    ended, output = finish(start(f"os._exit({status})"))
    assert ended == 1 and "ended without a word" in output


def test_work_that_leaves_at_once_has_spoken():
    assert finish(start("supervision.leave_at_once(1)")) == (1, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("to_group", [True, False])
def test_work_that_stops_when_told_says_so_itself(number, to_group):
    process = start("try:\n  print('up', flush=True)\n  time.sleep(60)\nexcept KeyboardInterrupt: sys.exit(130)")
    assert process.stdout.readline() == "up\n"
    (os.killpg if to_group else os.kill)(process.pid, number)
    assert finish(process) == (130, "")


@pytest.mark.parametrize("stubborn", ["pass", "sys.exit(15)", "os._exit(1)"])
def test_work_that_swallows_the_signal_or_dies_of_it_is_ended_and_told(stubborn):
    once = f"try: print('up', flush=True); time.sleep(60)\n  except KeyboardInterrupt: {stubborn}"
    process = start(f"while True:\n  {once}", grace=1)
    assert process.stdout.readline() == "up\n"
    os.killpg(process.pid, signal.SIGTERM)
    status, output = finish(process)
    assert status == 130 and "stopped 130" in output


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_the_work_does_not_outlive_a_killed_parent(tmp_path):
    pipe = tmp_path / "alive"
    os.mkfifo(pipe)
    process = start(f"held = open({str(pipe)!r}, 'w')\nheld.write('x')\nheld.flush()\ntime.sleep(60)")
    with Path(pipe).open() as alive:
        assert alive.read(1) == "x"
        process.kill()
        assert alive.read() == ""  # the end comes only when the last holder of the other end is gone
    process.wait()
