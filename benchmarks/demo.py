"""How long the demo's stages take and how much memory its processes hold together, from an empty folder.

python benchmarks/demo.py [--quick] [--json FILE]
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

LIMIT_SECONDS = 300
"""What the demo may take on two cores."""


class Memory(threading.Thread):
    """Peak of the memory that the process and all below it hold, shared pages counted once (PSS)."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.root = psutil.Process(pid)
        self.peak = 0.0
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(1.0):
            self.peak = max(self.peak, self._now())

    def take(self) -> float:
        peak, self.peak = self.peak, 0.0
        return peak

    def _now(self) -> float:
        total = 0
        for process in [self.root, *self.root.children(recursive=True)]:
            try:
                total += process.memory_full_info().pss
            except psutil.Error:
                continue
        return total / 1e6


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "?")
    gigabytes = psutil.virtual_memory().total / 1e9
    return f"{os.cpu_count()} x {model}, {gigabytes:.0f} GB, Python {platform.python_version()}"


def measure(quick: bool) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pipelines.cli", "demo", "--root", folder, "--json"]
        began = time.monotonic()
        run = subprocess.Popen(command + ["--small"] * quick, stdout=subprocess.PIPE, text=True)
        memory = Memory(run.pid)
        memory.start()
        assert run.stdout is not None
        highest = 0.0
        for line in run.stdout:
            event = json.loads(line)
            if event["event"] == "stage_end":
                peak = memory.take()
                highest = max(highest, peak)
                rows.append(row(event["stage"], event["seconds"], peak))
        memory.over.set()
        assert run.wait() == 0, "the demo failed"
        rows.append(row("total", time.monotonic() - began, highest))
        scores = json.loads((Path(folder) / "report/scores.json").read_text())
        print(f"mIoU season {scores['season']['mean_iou']:.3f}, single date {scores['single_date']['mean_iou']:.3f}")
    return rows


def row(name: str, seconds: float, peak: float) -> dict[str, object]:
    ratio = seconds / LIMIT_SECONDS if name == "total" else None
    return {"name": name, "median_s": round(seconds, 2), "ratio_to_limit": ratio, "peak_mb": round(peak)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the small demo")
    parser.add_argument("--json", type=Path, help="write the result there")
    options = parser.parse_args()
    result = {"date": time.strftime("%Y-%m-%d"), "machine": machine(), "rows": measure(options.quick)}
    for entry in result["rows"]:
        print(f"{entry['name']:<10}{entry['median_s']:>9} s{entry['peak_mb']:>8} MB")
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
