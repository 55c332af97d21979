"""Before anything is composed, every scene's pixels are asked whether its catalogue is right about their offset."""

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from catalogs.dark_pixels import JUDGED, Evidence, confirm, judge, offset_seen
from catalogs.description import identity
from catalogs.errors import BadInput
from catalogs.failures import UnreadableFile
from catalogs.ledger import Ledger
from catalogs.overview import read_overview
from catalogs.root import Root
from catalogs.scenes import Scene, SceneList
from catalogs.stac.access import Access
from cluster.items import item_workers
from cluster.progress import Progress
from pipelines.outcomes import Unfinished, disk_full, is_disk_full
from pipelines.plan import Plan
from pipelines.scene_search import access_of

SHOWN = 3
"""Scenes that an error describes; the report has all."""

READERS = 16
"""Records that are read at a time: each is a small object, far away if the root is."""


@dataclass(frozen=True)
class Sampling:
    """Everything a worker needs to judge one scene."""

    root: Root
    scene: Scene
    access: Access


def check_offsets(plan: Plan, scenes: SceneList, progress: Progress) -> SceneList:
    """The scenes with the offsets that their pixels hold; stops at a contradiction unless it is to be corrected."""
    evidence = _gather(plan, scenes, progress)
    contradicted = [scene for scene in scenes.scenes if _contradicts(scene, evidence[scene.id])]
    if not contradicted:
        return scenes
    if plan.project.imagery.offset_conflict == "stop":
        raise _stopped_by(contradicted, evidence)
    progress.say(f"offsets: {len(contradicted)} scenes contradict their catalogue and are read as their pixels say")
    corrected = tuple(_as_seen(scene, evidence[scene.id]) for scene in scenes.scenes)
    return SceneList(corrected, scenes.left_out)


def offset_decisions(plan: Plan, scenes: SceneList) -> list[dict[str, Any]]:
    """What was decided for each scene and why. `scenes` are those that were found, before `check_offsets`."""
    ledger, known = _ledger(plan.root), _known(plan.root, scenes.scenes)
    failed = {unit: ledger.reason(unit) for unit in ledger.failed()}
    return [
        _decision(scene, known.get(scene.id) or Evidence("undecided", failed.get(_unit(scene), "was not sampled")))
        for scene in scenes.scenes
    ]


def sample(sampling: Sampling) -> Evidence:
    """Judge one scene and keep the verdict, also on one that cannot be read: a cube must not outlive its offsets."""
    scene = sampling.scene
    try:
        evidence = judge(read_overview(scene, sampling.access, (*JUDGED, "SCL")))
    except UnreadableFile as error:
        evidence = Evidence("undecided", f"could not be read ({error})")
    _ledger(sampling.root).commit(_unit(scene), {"evidence": evidence.record, "links": _links(scene)})
    return evidence


def _gather(plan: Plan, scenes: SceneList, progress: Progress) -> dict[str, Evidence]:
    evidence = _known(plan.root, scenes.scenes)
    missing = [scene for scene in scenes.scenes if scene.id not in evidence]
    unanswered: list[str] = []
    with progress.stage("offsets", len(scenes.scenes), "scenes", already=len(evidence)) as bar:
        if missing:
            access = access_of(plan)
            samplings = (Sampling(plan.root, scene, access) for scene in missing)
            with item_workers(plan.project.compute.address, plan.workers) as each:
                for sampling, outcome in each(sample, samplings):
                    evidence[sampling.scene.id] = _evidence(plan.root, sampling.scene, outcome)
                    unanswered += [sampling.scene.id] * isinstance(outcome, Exception)
                    bar.advance()
    if unanswered:  # a cube begun now would change under the verdict of a later run
        raise Unfinished(f"the offsets of {len(unanswered)} scenes were not tested: {', '.join(unanswered[:SHOWN])}")
    return evidence


def _evidence(root: Root, scene: Scene, outcome: Evidence | Exception) -> Evidence:
    if isinstance(outcome, Evidence):
        return outcome
    if isinstance(outcome, BadInput):
        raise outcome
    if is_disk_full(outcome):
        raise disk_full(f"store root {root.url}") from outcome
    return _failed(root, scene, f"could not be sampled ({type(outcome).__name__}: {outcome})")


def _known(root: Root, scenes: Sequence[Scene]) -> dict[str, Evidence]:
    """What earlier runs saw in these very files."""
    ledger = _ledger(root)
    done = ledger.done()
    seen = [scene for scene in scenes if _unit(scene) in done]
    with ThreadPoolExecutor(READERS) as readers:
        records = list(readers.map(lambda scene: ledger.record(_unit(scene)), seen))
    return {
        scene.id: Evidence.from_record(record["evidence"])
        for scene, record in zip(seen, records, strict=True)
        if record["links"] == _links(scene)
    }


def _failed(root: Root, scene: Scene, why: str) -> Evidence:
    _ledger(root).fail(_unit(scene), why)
    return Evidence("undecided", why)


def _contradicts(scene: Scene, evidence: Evidence) -> bool:
    return confirm(scene.offset, evidence) == "contradicts"


def _as_seen(scene: Scene, evidence: Evidence) -> Scene:
    if not _contradicts(scene, evidence):
        return scene
    reason = f"{scene.offset_reason}; contradicted by its pixels: {evidence.why}"
    return replace(scene, offset=offset_seen(evidence), offset_reason=reason)


def _decision(scene: Scene, evidence: Evidence) -> dict[str, Any]:
    return {
        "scene": scene.id,
        "metadata": scene.offset,
        "reason": scene.offset_reason,
        "verdict": confirm(scene.offset, evidence),
        "used": _as_seen(scene, evidence).offset,
        "figures": evidence.record,
    }


def _stopped_by(scenes: Sequence[Scene], evidence: Mapping[str, Evidence]) -> BadInput:
    said = [
        f"{scene.id}: {scene.offset} counts by its catalogue ({scene.offset_reason}), "
        f"{offset_seen(evidence[scene.id])} by its pixels ({evidence[scene.id]})"
        for scene in scenes[:SHOWN]
    ]
    more = f"; and {len(scenes) - SHOWN} more" if len(scenes) > SHOWN else ""
    return BadInput(
        f"the offset of {len(scenes)} scene{'s' * (len(scenes) > 1)}",
        f"is not what the catalogue says. {'; '.join(said)}{more}.",
        'Write offset_conflict = "correct" in [imagery] to go by the pixels, or take the scenes out of the catalogue.',
    )


def _ledger(root: Root) -> Ledger:
    return Ledger(root, "offsets")


def _unit(scene: Scene) -> str:
    """The scene's id where it can name a file."""
    if re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}", scene.id):
        return scene.id
    return sha256(scene.id.encode()).hexdigest()[:32]


def _links(scene: Scene) -> str:
    """A digest of where the pixels lie, without what signs a link."""
    return identity({band: href.split("?")[0] for band, href in sorted(scene.hrefs.items())})
