"""The options of an architecture in a project file: passed on, and wrong ones told by their key."""

import subprocess
import sys
from pathlib import Path

import pytest

from catalogs.errors import BadInput
from models.architectures import NETWORKS
from models.swift import SwiftSettings
from models.unet import UNetSettings
from pipelines.model_settings import network_settings
from pipelines.project.file import Project, parse_project
from pipelines.project.writing import changed, template

HOUSE = Path(__file__).parents[1]
HERE = Path("/somewhere/demo.toml")


def project(architecture: str = "unet", **settings: object) -> Project:
    changes = {"model.architecture": architecture, "model.settings": settings}
    return parse_project(changed(template(), changes), HERE)


def test_options_reach_the_network_and_the_rest_is_its_own_choice() -> None:
    found = network_settings(project(widths=[8, 16], norm="group"), bands=10, periods=3, classes=5)
    assert found == UNetSettings(bands=10, periods=3, classes=5, widths=(8, 16), norm="group")
    assert network_settings(project(), 10, 3, 5) == UNetSettings(bands=10, periods=3, classes=5)


def test_a_table_of_its_own_says_the_same() -> None:
    lines = (
        template()
        .replace("settings = {}\n", "")
        .replace("[training]", "[model.settings]\nwidths = [8, 16]\n[training]")
    )
    found = network_settings(parse_project(lines, HERE), 10, 3, 5)
    assert found == SwiftSettings(bands=10, periods=3, classes=5, widths=(8, 16))


@pytest.mark.parametrize(
    ("settings", "given", "why", "remedy"),
    [
        ({"wdths": [8, 16]}, "model.settings.wdths = [8, 16]", "has no such setting", "Did you mean 'widths'?"),
        ({"xyz": 1}, "model.settings.xyz = 1", "'unet' has no such setting", "write one of: widths, norm"),
        ({"bands": 3}, "model.settings.bands = 3", "follows from the data", "Take it out"),
        ({"widths": 8}, "model.settings.widths = 8", "of another kind", "widths = [32, 64"),
        ({"widths": ["a", "b"]}, "model.settings.widths", "of another kind", "widths = [32, 64"),
        ({"widths": [8.5, 16]}, "model.settings.widths", "of another kind", "widths = [32, 64"),
        ({"norm": True}, "model.settings.norm = true", "of another kind", 'norm = "batch"'),
        ({"norm": "layer"}, "model.settings: norm 'layer'", "no such normalisation", "batch, group"),
        ({"widths": [8]}, "model.settings: widths (8,)", "two resolutions or more", "32, 64"),
    ],
)
def test_wrong_options_are_told_by_their_key(settings: dict, given: str, why: str, remedy: str) -> None:
    with pytest.raises(BadInput) as caught:
        network_settings(project(**settings), 10, 3, 5)
    assert (
        caught.value.given.startswith(f"{HERE}, {given}") and why in caught.value.why and remedy in caught.value.remedy
    )


def test_an_architecture_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(BadInput, match="Did you mean 'unet'") as caught:
        network_settings(project("u-net"), 10, 3, 5)
    assert 'model.architecture = "u-net"' in caught.value.given
    with pytest.raises(BadInput, match=", ".join(NETWORKS)):
        network_settings(project("zzz"), 10, 3, 5)


def test_a_plan_that_is_only_read_loads_no_torch() -> None:
    code = (
        "import sys; from pipelines.plan import make_plan; from pipelines.project import load_project;"
        f"plan = make_plan(load_project({str(HOUSE / 'examples/austria-2021.toml')!r})); print('torch' in sys.modules);"
        "print(plan.model.periods, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=HOUSE, capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert (first, second.split()[1]) == ("False", "True")
