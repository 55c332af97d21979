"""What a cluster gets of us: the packages, and nothing that lies beside them; and which cluster a run has."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.session import sources

ASK = """
import json, sys
from pathlib import Path

import pytest
from ray._private.runtime_env.packaging import _get_excludes

root, excludes, names = json.loads(sys.argv[1])
is_left_out = _get_excludes(Path(root), excludes)
print(json.dumps([name for name in names if is_left_out(Path(root, name))]))
"""
"""In a process of its own: Ray keeps the settings that it finds when it is first loaded."""


def test_packages_travel_and_hidden_folders_do_not() -> None:
    """As Ray itself sees it, which asks of the folder, too, whether it is to be left out."""
    here = sources()
    travels = [".", "pipelines", "pipelines/cli.py", "models/swift.py"]
    stays = [".git", ".venv", ".ci", "tests", "docs", "benchmarks", "furrow-demo"]
    asked = json.dumps([here["working_dir"], here["excludes"], travels + stays])
    command = [sys.executable, "-c", ASK, asked]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout) == stays
    assert Path(here["working_dir"], "pipelines", "cli.py").exists()


OWN = """
from cluster.session import ray_session

with ray_session("", 1) as ray:
    print(ray.cluster_resources()["CPU"])
"""


def test_a_run_of_its_own_takes_no_notice_of_another_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which Ray would rather join wherever it finds one, in the environment or on this machine."""
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")  # where nobody answers
    answer = subprocess.run([sys.executable, "-c", OWN], capture_output=True, text=True, timeout=120)
    assert answer.stdout.strip() == "1.0", answer.stderr
