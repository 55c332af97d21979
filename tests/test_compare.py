"""Models compared: scored as `validate` would, what is done stays done, and the table says what each cost."""

import json
import shutil
from io import StringIO
from pathlib import Path

import pytest

from catalogs.errors import BadInput
from cluster.progress import LineProgress
from pipelines.checkpoints import card_in
from pipelines.plan import Plan, make_plan
from pipelines.project import parse_project
from pipelines.run import call

pytestmark = pytest.mark.slow

MODELS = ("forest-spectral-best", "forest-context", "unet-best", "unet")


def plan_with(root: Path, *models: str) -> Plan:
    text = (root.parent / "project.toml").read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("root = ")]
    named = ", ".join(f'"{model}"' for model in models)
    text = text.replace(line, f'root = "{root}"') + f"\n[compare]\nmodels = [{named}]\n"
    return make_plan(parse_project(text, root.parent / "project.toml"))


@pytest.fixture(scope="module")
def compared(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("compared") / "root"
    shutil.copytree(finished, root)
    shutil.copy(finished.parent / "project.toml", root.parent)
    call("compare", plan_with(root, *MODELS), LineProgress(StringIO()))
    return root


def table_of(root: Path) -> dict:
    return json.loads((root / "compare/table.json").read_text())


def test_scores_are_those_of_validate(compared: Path) -> None:
    """The project's own network and its single-date twin are trained anew here, from the same seed."""
    rows = {row["name"]: row for row in table_of(compared)["models"]}
    scores = json.loads((compared / "report/scores.json").read_text())
    for name, scored in (("unet", scores["season"]), ("unet-best", scores["single_date"])):
        assert rows[name]["mean_iou"]["value"] == pytest.approx(scored["mean_iou"], abs=1e-12)
        assert rows[name]["pixels"] == scored["pixels"]
        assert rows[name]["classes"] == {label: row["iou"] for label, row in scored["classes"].items()}


def test_the_table_is_ordered_and_whole(compared: Path) -> None:
    table = table_of(compared)
    values = [row["mean_iou"]["value"] for row in table["models"]]
    assert values == sorted(values, reverse=True) and {row["name"] for row in table["models"]} == set(MODELS)
    for row in table["models"]:
        assert row["training_seconds"] > 0 and row["mpx_per_second"] > 0 and row["numbers"] > 100
        assert (row["parameters"] is None) == row["name"].startswith("forest")
        assert row["sees"] == (1 if row["name"].endswith("-best") else 3)
        assert row["mean_iou"]["low"] <= row["mean_iou"]["value"] <= row["mean_iou"]["high"]
    assert table["models"][0]["behind_best"]["value"] == 0
    page = (compared / "compare/index.html").read_text()
    assert all(f"<th>{name}</th>" in page for name in MODELS)


def test_what_is_done_stays_done(compared: Path) -> None:
    def times() -> dict[Path, int]:
        done = [*compared.glob("checkpoints/*/*"), *compared.glob("compare/scores/*")]
        return {path: path.stat().st_mtime_ns for path in done}

    before, table = times(), table_of(compared)
    call("compare", plan_with(compared, *MODELS), LineProgress(StringIO()))
    assert times() == before and len(before) >= 3 * len(MODELS)
    assert table_of(compared) == table


def test_a_forest_card_says_what_it_was_made_from(compared: Path) -> None:
    plan = plan_with(compared, *MODELS)
    card = card_in(plan.root, "compare-forest-context")
    assert card is not None and card.architecture == "forest-context"
    assert card.training["pixels"] > 100 and 0 <= card.scores["validation_miou"] <= 1


def test_a_model_that_nobody_knows_is_refused(compared: Path) -> None:
    with pytest.raises(BadInput, match=r"compare\.models: 'unett'.*Did you mean 'unet'"):
        call("compare", plan_with(compared, "unett"), LineProgress(StringIO()))
