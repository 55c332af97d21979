"""A verb as a job of a real Ray cluster: its log arrives line by line, and how it ended."""

import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_map import write_cube

from catalogs.crops import MAP
from catalogs.errors import BadInput
from catalogs.stores import Store
from cluster.jobs import hand_over
from cluster.progress import LineProgress
from cluster.session import ClusterUnreachable
from pipelines.outcomes import Unfinished
from pipelines.plan import make_plan
from pipelines.project import load_project
from pipelines.run import check_verb
from pipelines.stored import units_of
from pipelines.submit import submit

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dashboard() -> Iterator[str]:
    """Where a cluster of one machine takes jobs."""
    settings = {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    with pytest.MonkeyPatch.context() as environment:
        for name, value in settings.items():
            environment.setenv(name, value)
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 2, "include_dashboard": True, "dashboard_port": 0}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            yield f"http://{cluster.head_node.webui_url}"
        finally:
            cluster.shutdown()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    path = write_cube(tmp_path, str(tmp_path / "root"))
    path.write_text(path.read_text().replace("workers = 2", 'workers = 2\naddress = "auto"'))
    return path


def test_a_job_maps_and_its_log_is_here(dashboard: str, project: Path) -> None:
    said = io.StringIO()
    found = submit(load_project(project), "map", dashboard, "", "", LineProgress(said))
    plan = make_plan(load_project(project))
    assert found["status"] == "SUCCEEDED" and not Store(plan.root, MAP).missing(units_of(plan, MAP))
    assert "map: 28 of 28 tiles" in said.getvalue(), said.getvalue()
    again = io.StringIO()
    assert submit(load_project(project), "map", dashboard, "", found["job"], LineProgress(again))["job"] == found["job"]
    assert "map: 28 of 28 tiles" in again.getvalue()


def test_a_job_that_fails_is_told_with_its_log(dashboard: str, project: Path, tmp_path: Path) -> None:
    os.remove(tmp_path / "root" / "checkpoints" / "season" / "weights.safetensors")
    said = io.StringIO()
    with pytest.raises(Unfinished, match="failed"):
        submit(load_project(project), "map", dashboard, "", "", LineProgress(said))
    assert "furrow train" in said.getvalue(), said.getvalue()


def test_what_cannot_be_handed_over(project: Path) -> None:
    with pytest.raises(ClusterUnreachable, match="no Ray dashboard"):
        hand_over("http://127.0.0.1:9", ["true"], {})
    project.write_text(project.read_text().replace('address = "auto"', ""))
    with pytest.raises(BadInput, match="join the cluster"):
        submit(load_project(project), "map", "http://127.0.0.1:9", "", "", LineProgress(io.StringIO()))
    with pytest.raises(BadInput, match="there is none of that name"):
        check_verb("mapp")
