"""What a training says of itself: the page, the metrics for programs and TensorBoard, and the line on the terminal."""

import json
import struct
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from made_training import recipe_of, write_patches
from tensorboardX.proto.event_pb2 import Event

from catalogs.root import Root
from catalogs.taxonomy import ten_crops
from cluster.training import alone
from pipelines import training_metrics
from pipelines.live_training import LiveTraining
from pipelines.plan import Plan
from pipelines.project.file import parse_project
from pipelines.project.writing import changed, template
from pipelines.recipe import Recipe
from pipelines.training_curves import HEIGHT, WIDTH, curve, curves_of
from pipelines.training_loop import train
from pipelines.training_report import lacks_report, write_training_report

NAMES = ten_crops().names


def eleven(recipe: Recipe) -> Recipe:
    """The same with the ten crops as classes, most of which do not occur."""
    settings = recipe.card.settings | {"classes": len(NAMES)}
    card = replace(recipe.card, classes=dict(enumerate(NAMES)), settings=settings)
    return replace(recipe, card=card, class_pixels=(*recipe.class_pixels, *[0] * (len(NAMES) - 4)))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Recipe, list[dict]]:
    root = write_patches(Root(str(tmp_path_factory.mktemp("root"))))
    text = changed(template(), {"store.root": root.url, "region.name": "Fields <b>of</b> chance"})
    plan, recipe, posts = Plan(parse_project(text, Path(root.url) / "p.toml")), eleven(recipe_of(root)), []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(training_metrics, "POST_SECONDS", 0.0)
        train(recipe, alone(posts.append))
    assert lacks_report(recipe)
    write_training_report(plan, recipe)
    assert not lacks_report(recipe)
    return plan, recipe, posts


class Page(HTMLParser):
    """Counts elements, keeps the text, and where pictures and links lead."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.count: dict[str, int] = defaultdict(int)
        self.text, self.leads, self.open = "", [], []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.count[tag] += 1
        self.leads += [value for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "line", "polyline", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.count[tag] += 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"<{tag}> is closed and another is open"

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_shows_curves_classes_confusion_and_examples(trained) -> None:
    plan, recipe, _ = trained
    raw = plan.root.read("training/season/index.html").decode()
    page = Page(raw)
    assert not page.open and page.count["svg"] == 4 and page.count["table"] == 2 and page.count["img"] == 18
    assert "Fields <b>of</b> chance" in page.text and "Fields <b>" not in raw
    figures = json.loads(plan.root.read("training/season/figures.json"))
    assert f"{figures['best']['validation_miou']:.3f}" in page.text
    assert "unet with " in page.text and "32 patches to learn from, 8 to watch" in page.text
    for title in ten_crops().titles:
        assert page.text.count(title) >= 3, f"{title} is not in the tables and the legend"
    for lead in page.leads:
        assert plan.root.exists(f"training/season/{lead}"), f"the page leads to {lead}"
    for said in ("Settings: widths", "Training: workers", "8, 16", "Watched"):
        assert said in page.text, said


def test_metrics_have_every_step_and_epoch_once(trained) -> None:
    plan, recipe, _ = trained
    lines = [json.loads(line) for line in plan.root.read("training/season/metrics.jsonl").splitlines()]
    steps = [line for line in lines if "loss" in line]
    assert [line["step"] for line in steps] == list(range(1, 13))
    assert all(
        line["patches_per_second"] > 0 and 0 <= line["device_use"] <= 1 and line["memory_mb"] > 50 for line in steps
    )
    epochs = [line for line in lines if "epoch_loss" in line]
    history = json.loads(plan.root.read("training/season/figures.json"))["history"]
    assert [(line["epoch_loss"], line["validation_miou"]) for line in epochs] == [
        (entry["loss"], entry["validation_miou"]) for entry in history
    ]
    assert [line["step"] for line in epochs] == [4, 8, 12]


def records(data: bytes) -> Iterator[Event]:
    """TFRecord: length, its check sum, the event, its check sum."""
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        yield Event.FromString(data[12 : 12 + length])
        data = data[16 + length :]


def test_tensorboard_finds_the_same_figures(trained) -> None:
    plan, _, _ = trained
    (key,) = [key for key in plan.root.keys("training/season") if "tfevents" in key]
    found = defaultdict(list)
    for event in records(plan.root.read(key)):
        for value in event.summary.value:
            found[value.tag].append((event.step, value.simple_value))
    lines = [json.loads(line) for line in plan.root.read("training/season/metrics.jsonl").splitlines()]
    for name in ("loss", "learning_rate", "validation_miou", "patches_per_second"):
        expected = [(line["step"], pytest.approx(line[name], rel=1e-6)) for line in lines if name in line]
        assert found[name] == expected and expected, name


def test_the_terminal_counts_each_step_once_and_says_how_it_goes(trained) -> None:
    _, recipe, posts = trained
    moved: list[tuple[int, str]] = []
    said: list[str] = []

    class Bar:
        def advance(self, count: int = 1, note: str = "") -> None:
            moved.append((count, note))

    live = LiveTraining(Bar(), said.append)
    for post in [*posts, *posts[-3:], {"say": "a line"}]:  # some again, as after a worker died
        live.show(post)
    live.end([recipe])
    assert sum(count for count, _ in moved) == recipe.steps and said == ["a line"]
    last = moved[-1][1]
    assert last.startswith("season: epoch 3 of 3, loss ") and "mIoU" in last and "patches/s, device" in last
    assert "mIoU" not in moved[0][1]


def test_a_training_that_stopped_early_fills_the_bar(trained) -> None:
    _, recipe, posts = trained
    moved: list[int] = []

    class Bar:
        def advance(self, count: int = 1, note: str = "") -> None:
            moved.append(count)

    live = LiveTraining(Bar(), print)
    live.show(posts[0])
    live.end([recipe])
    assert moved == [1, recipe.steps - 1]


def test_curves_fill_their_box_and_have_round_numbers() -> None:
    found = curve("Loss", "", {"a": [(1, 3.7), (100, 0.2)], "b": [(50, 1.0)]})
    assert found is not None
    assert [text for _, text in found.rows] == ["0", "1", "2", "3", "4"]
    assert found.rows[0][0] == HEIGHT and found.rows[-1][0] == 0
    (_, first), (_, second) = found.lines
    assert first.split()[-1] == f"{WIDTH:.1f},{HEIGHT * 0.95:.1f}" and second == f"{WIDTH / 2:.1f},{HEIGHT * 0.75:.1f}"
    assert [text for _, text in found.columns] == ["0", "20", "40", "60", "80", "100"]
    long = curve("", "", {"a": [(step, 1.0) for step in range(1, 10_001)]})
    assert (
        long is not None
        and 300 < len(long.lines[0][1].split()) <= 402
        and long.lines[0][1].split()[-1].startswith("560.0")
    )
    assert curves_of([]) == [] and curve("", "", {"a": []}) is None
    assert curve("", "", {"a": [(5, 0.0)]}) is not None, "a line of zeros has a box too"
