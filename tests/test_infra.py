"""The cluster files are well-formed and say what their README promises; the examples and the demo agree."""

from pathlib import Path

import yaml

from pipelines.demo import DEMO
from pipelines.project import load_project

HOUSE = Path(__file__).parents[1]


def test_the_kubernetes_cluster_asks_for_tokens_and_closes_its_network():
    cluster, policy = yaml.safe_load_all((HOUSE / "infra/kuberay.yaml").read_text())
    assert cluster["kind"] == "RayCluster" and cluster["spec"]["authOptions"] == {"mode": "token"}
    assert policy["kind"] == "NetworkPolicy" and policy["spec"]["policyTypes"] == ["Ingress"]
    assert all("podSelector" in peer for rule in policy["spec"]["ingress"] for peer in rule["from"])
    pinned = (HOUSE / "constraints.txt").read_text()
    assert f"ray=={cluster['spec']['rayVersion']}" in pinned


def test_the_cloud_cluster_asks_for_tokens():
    cluster = yaml.safe_load((HOUSE / "infra/ray-cluster.yaml").read_text())
    for command in cluster["head_start_ray_commands"] + cluster["worker_start_ray_commands"]:
        assert "ray start" not in command or command.startswith("RAY_AUTH_MODE=token ")


def test_the_container_copies_every_package():
    text = (HOUSE / "infra/Containerfile").read_text()
    assert all(f"COPY {room} {room}" in text for room in ("catalogs", "models", "cluster", "pipelines"))


def test_the_synthetic_example_is_the_demos_project():
    example = load_project(HOUSE / "examples/synthetic.toml")
    for dotted, value in DEMO.items():
        table, name = dotted.split(".")
        if name not in ("boundary", "catalog", "file", "root"):
            given = getattr(getattr(example, table), name)
            assert (list(given) if isinstance(given, tuple) else given) == value, dotted
    assert Path(example.root).name == "furrow-demo" and str(example.catalog).startswith(example.root)
