"""How fast the training loop steps, beside the same step fed from memory (the limit) and a plain loop.

python benchmarks/train.py [--quick] [--variants "fp32; bf16"] [--workers 1,2] [--rounds N] [--json FILE]
"""

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from demo import machine
from measuring import Measured, measure
from train_contestant import Task, write_patches

CONTESTANT = Path(__file__).with_name("train_contestant.py")
AIM = 0.95

VARIANTS: dict[str, dict[str, Any]] = {
    "fp32": {},
    "bf16": {"precision": "bf16"},
    "compiled": {"compile": True},
    "bf16, compiled": {"precision": "bf16", "compile": True},
}
ON_TWO = ("limit", "furrow")
"""Those that run on two workers as well, where there is no GPU."""

NOTES = (
    "A U-Net of 16 to 128 channels on 6 periods of 128 x 128 pixels, 8 patches a step (a wider one on a GPU). Each "
    "worker has one thread for the network, as Ray gives it one core, and one that prepares patches.",
    "limit: the loop's own step (loss over all workers, clipping, AdamW) on patches that lie in memory, ready.",
    "furrow: the whole loop, that is reading, decoding, varying, normalising, metrics and states, from the moment that "
    "an epoch's stream is opened; the validation between epochs is not timed, nor is the first epoch.",
    "plain: the same network with PyTorch's cross-entropy and AdamW on patches in memory, without Dice or clipping.",
    "ratio_to_limit: steps a second over the limit's of the same variant and workers, the median over the rounds.",
    "peak_mb: memory of all processes while time counts (PSS); on a GPU gpu_mb is the most that PyTorch had there.",
)

Key = tuple[str, str, int]
"""A variant, a contestant and how many workers it has."""


def main() -> None:
    options = _options()
    began = {"date": time.strftime("%Y-%m-%d"), "machine": _machine(), "load_before": os.getloadavg()[0]}
    measured: dict[Key, list[tuple[Measured, dict[str, Any]]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        task = _task(options.quick, folder)
        write_patches(task)
        for _ in range(options.rounds):
            for variant in options.variants:
                for name, workers in _pairs(variant, options.on):
                    one = replace(task, contestant=name, workers=workers, **VARIANTS[variant])
                    measured.setdefault((variant, name, workers), []).append(_run(variant, one))
    rows = [_row(key, measured, task) for key in measured]
    result = began | {"cores": os.cpu_count(), "rounds": options.rounds, "notes": NOTES, "rows": rows}
    if options.json:
        result["rows"] = _with_earlier(options.json, rows)
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    print(printed(result))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few steps, one round: shows that it works, not how fast")
    parser.add_argument("--variants", default="fp32", help="; ".join(VARIANTS) + " (fp32), several between semicolons")
    parser.add_argument("--workers", default="1,2", help="on how many (1,2)")
    parser.add_argument("--rounds", type=int, default=None, help="times that everything is measured, in turn (5)")
    parser.add_argument("--json", type=Path, help="write the result there; rows of other variants stay")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.variants = [variant.strip() for variant in options.variants.split(";")]
    options.on = [int(number) for number in options.workers.split(",")]
    return options


def _task(quick: bool, folder: str) -> Task:
    task = Task("limit", folder)
    if _has_gpu():
        task = replace(task, patches=1024, batch=64, widths=(32, 64, 128, 256), epochs=4)
    return replace(task, patches=16, epochs=2) if quick else task


def _pairs(variant: str, on: list[int]) -> list[tuple[str, int]]:
    """Compiling takes minutes, so that only the step itself is compared; on one GPU there is one worker."""
    if VARIANTS[variant].get("compile"):
        return [("limit", 1)]
    alone = [(name, 1) for name in ("limit", "furrow", "plain")]
    two = [(name, 2) for name in ON_TWO] if variant == "fp32" and not _has_gpu() else []
    return [pair for pair in alone + two if pair[1] in on]


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _machine() -> str:
    import torch

    return f"{machine()}, torch {torch.__version__}" + (f", {torch.cuda.get_device_name()}" if _has_gpu() else "")


def _run(variant: str, task: Task) -> tuple[Measured, dict[str, Any]]:
    (found,), notes = measure([sys.executable, str(CONTESTANT), task.encode()])
    said = f"{variant}, {task.contestant}, {task.workers} workers: {task.steps / found.seconds:.2f} steps/s"
    print(said, file=sys.stderr, flush=True)
    return found, notes


def _row(key: Key, measured: dict[Key, list[tuple[Measured, dict[str, Any]]]], task: Task) -> dict[str, Any]:
    variant, name, workers = key
    own = [found for found, _ in measured[key]]
    limits = [found for found, _ in measured[variant, "limit", workers]]
    ratios = [best.seconds / mine.seconds for mine, best in zip(own, limits, strict=True)]
    gpu = {"gpu_mb": max(notes["memory_mb"] for _, notes in measured[key])} if _has_gpu() else {}
    return {
        "name": f"{variant}: {name}, {workers} worker{'s' if workers > 1 else ''}",
        "median_s": round(median(one.seconds for one in own), 3),
        "steps_per_s": round(median(task.steps / one.seconds for one in own), 3),
        "patches_per_s": round(median(task.steps * task.batch / one.seconds for one in own), 1),
        "ratio_to_limit": round(median(ratios), 3),
        "cpu_s_per_step": round(median(one.cpu_seconds for one in own) / task.steps, 3),
        "peak_mb": round(max(one.peak_mb for one in own)),
        "rounds_s": [round(one.seconds, 3) for one in own],
    } | gpu


def _with_earlier(path: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of variants that were measured before and not now, then these."""
    earlier = json.loads(path.read_text())["rows"] if path.exists() else []
    new = {row["name"] for row in rows}
    return [row for row in earlier if row["name"] not in new] + rows


def printed(result: dict[str, Any]) -> str:
    lines = [f"{result['machine']}; load before: {result['load_before']:.1f}"]
    lines += [f"* {note}" for note in result["notes"]]
    lines.append(f"\n{'':<36}{'steps/s':>9}{'patches/s':>11}{'of limit':>10}{'CPU s':>8}{'peak MB':>9}")
    for row in result["rows"]:
        lines.append(
            f"{row['name']:<36}{row['steps_per_s']:>9.2f}{row['patches_per_s']:>11.1f}{row['ratio_to_limit']:>10.3f}"
            f"{row['cpu_s_per_step']:>8.2f}{row['peak_mb']:>9}"
        )
    own = {row["name"]: row["ratio_to_limit"] for row in result["rows"] if ": furrow," in row["name"]}
    return "\n".join([*lines, "", *(f"{ratio:.3f}  {name} over the limit (aim: {AIM})" for name, ratio in own.items())])


if __name__ == "__main__":
    main()
