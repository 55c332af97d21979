"""references check: whether a download of PASTIS or DACIA5 is whole, and what is wrong with it if not."""

from pathlib import Path
from typing import Any

from catalogs.references.checking import Published, begin
from catalogs.references.findings import Findings
from cluster.progress import Progress
from pipelines.exits import OK, UNFINISHED

SHOWN = 20
"""Sentences of a kind that are said; the result has all."""


def check(folder: Path, progress: Progress, quick: bool = False, published: Published | None = None) -> dict[str, Any]:
    """Look at every file, or at headers only; says what is wrong and returns the same as figures."""
    todo, findings = begin(folder, quick, published), Findings()
    progress.say(f"references: {todo.place} is {todo.dataset}")
    with progress.stage("references", len(todo.steps), "steps") as bar:
        for step in todo.steps:
            step(findings)
            bar.advance()
    _say(findings, todo.dataset, quick, progress)
    return {"dataset": todo.dataset, "place": todo.place, "whole": findings.whole, "quick": quick, **_plain(findings)}


def status_of(found: dict[str, Any]) -> int:
    """The exit status of the command."""
    return OK if found["whole"] else UNFINISHED


def _say(findings: Findings, dataset: str, quick: bool, progress: Progress) -> None:
    for name, value in findings.counts.items():
        progress.say(f"  {name}: {value}")
    for note in findings.notes:
        progress.say(f"  {note}")
    for kind in ("missing", "damaged", "surplus"):
        sentences = getattr(findings, kind)
        for sentence in sentences[:SHOWN]:
            progress.say(f"  {kind}: {sentence}")
        if len(sentences) > SHOWN:
            progress.say(f"  {kind}: and {len(sentences) - SHOWN} more")
    depth = "as far as headers tell" if quick else "every value was read"
    verdict = f"is whole ({depth})" if findings.whole else "is not whole"
    progress.say(f"references: {dataset} {verdict}")


def _plain(findings: Findings) -> dict[str, Any]:
    return {name: getattr(findings, name) for name in ("missing", "damaged", "surplus", "notes", "counts")}
