"""The page of a self-training: what was accepted and rejected by which rule, and which round is kept."""

import json
from collections.abc import Mapping
from typing import Any

from models.self_training_guards import drift_between
from pipelines.pages import template_shelf
from pipelines.plan import Plan

LOG, PAGE = "selftrain/log.json", "selftrain/index.html"

RULES = {
    "small": "fewer pixels than `least_pixels`",
    "divided": "its pixels name several classes",
    "no_cropland": "no cropland",
    "unsure": "no pixel is sure of its class",
    "lower_rank": "more confident fields fill the quota",
    "over_cap": "its class has enough labels",
    "views_differ": "the views name several classes",
    "doubtful": "the mean probability is too even",
    "other_class": "another class than its field's",
}
REASONS = {
    "": "All rounds that were asked for are done.",
    "agreement_fell": "Agreement with what is known fell.",
    "drifted": "Too much of the held-out ground changed class in one round.",
    "class_vanished": "A class has nearly vanished.",
}


def write_report(plan: Plan, log: Mapping[str, Any]) -> None:
    plan.root.write(LOG, (json.dumps(log, indent=1) + "\n").encode())
    plan.root.write(PAGE, render(plan, log))


def render(plan: Plan, log: Mapping[str, Any]) -> bytes:
    page = template_shelf().get_template("selftrain_report.html")
    titles, colours = plan.taxonomy.titles, plan.taxonomy.colours
    return page.render(
        log=log,
        rounds=round_rows(log),
        reason=REASONS[log["verdict"]["reason"]],
        stages=[{"name": stage["name"], "rows": stage_rows(stage, titles, colours)} for stage in log["stages"]],
        field_rules=[(rule, RULES[rule]) for rule in log["stages"][0]["rejected_fields"]] if log["stages"] else [],
        pixel_rules=[(rule, RULES[rule]) for rule in log["stages"][0]["ignored_pixels"]] if log["stages"] else [],
        classes=list(zip(titles, colours, strict=True)),
        made_up=plan.root.exists("catalog/catalog.json"),
    ).encode()


def round_rows(log: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The teachers' round first; drift is from the round before."""
    names = ["teachers", *(f"student of stage {stage['name']}" for stage in log["stages"])]
    rows: list[dict[str, Any]] = []
    before = None
    for place, (name, found) in enumerate(zip(names, log["rounds"], strict=True)):
        pixels = found["held_out_pixels"]
        shares = [count / max(sum(pixels), 1) for count in pixels]
        drift = drift_between(before, pixels) if before else None
        rows.append({"name": name, "kept": place == log["kept"], "drift": drift, "shares": shares, **found})
        before = pixels
    return rows


def stage_rows(stage: Mapping[str, Any], titles: tuple[str, ...], colours: tuple[str, ...]) -> list[dict[str, Any]]:
    """A row for each class."""
    return [
        {
            "title": title,
            "colour": colours[k],
            "share": stage["share"][k],
            "accepted": stage["accepted_fields"][k],
            "rejected": [counts[k] for counts in stage["rejected_fields"].values()],
            "pixels": stage["labelled_pixels"][k],
            "ignored": [counts[k] for counts in stage["ignored_pixels"].values()],
        }
        for k, title in enumerate(titles)
    ]
