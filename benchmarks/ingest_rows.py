"""From the rounds of the ingest benchmark to its rows: medians, and ratios within a round so that load cancels out."""

from dataclasses import dataclass, field
from statistics import median
from typing import Any

from measuring import Measured
from speed_scenes import Land

Row = dict[str, Any]


@dataclass
class Rounds:
    """What every contestant's timed parts took, round by round, and which counts came out wrong."""

    measured: dict[str, list[list[Measured]]] = field(default_factory=dict)
    wrong: dict[str, list[str]] = field(default_factory=dict)

    def add(self, name: str, parts: list[Measured]) -> None:
        self.measured.setdefault(name, []).append(parts)

    def check(self, name: str, bands: list[str]) -> None:
        if bands:
            self.wrong[name] = bands

    def seconds(self, name: str, part: int = 0) -> list[float]:
        return [parts[part].seconds for parts in self.measured.get(name, [])]

    def ratio(self, name: str, to: str) -> float | None:
        """Seconds of another over those of this one: how many times as fast as the other it is."""
        pairs = list(zip(self.seconds(to), self.seconds(name), strict=True)) if to in self.measured else []
        return round(median(theirs / own for theirs, own in pairs), 3) if pairs else None


def rows_of(rounds: Rounds, lands: dict[str, list[Land]]) -> list[Row]:
    rows: list[Row] = []
    for name in lands:
        part = name.split(":")[0]
        if part == "growth":
            rows += [_growth_row(rounds, name, number, land) for number, land in enumerate(lands[name])]
        else:
            alone = {"cost_of_reading_alone": _cost(rounds, name)} if _is_composite(name) else {}
            rows.append(_row(rounds, name) | alone)
    return rows


def summary(rounds: Rounds) -> dict[str, float | None]:
    """The ratios that are aimed at, where both sides were measured."""
    decoding, encoding = rounds.seconds("files: limit: decoding"), rounds.seconds("files: limit: encoding")
    both = [first / (first + then) for first, then in zip(decoding, encoding, strict=False)]
    return {
        "rate_of_decoding": rounds.ratio("files: furrow", _limit_of("files")),
        "rate_of_decoding_then_encoding": round(median(both), 3) if both else None,
        "times_stackstac": rounds.ratio("files: furrow", "files: stackstac"),
        "times_odc_stac": rounds.ratio("files: furrow", "files: odc-stac"),
        "times_stackstac_http": rounds.ratio("http: furrow", "http: stackstac"),
        "times_odc_stac_http": rounds.ratio("http: furrow", "http: odc-stac"),
        "cost_of_composite_over_reading": _cost(rounds),
    }


def printed(result: dict[str, Any]) -> str:
    lines = [f"{result['machine']}; load before: {result['load_before']:.1f}; scenes: {result['scenes']}"]
    lines += [f"* {note}" for note in result["notes"]]
    lines.append(f"\n{'':<42}{'median s':>9}{'of limit':>9}{'CPU s':>8}{'peak MB':>9}")
    for row in result["rows"]:
        ratio = "" if row["ratio_to_limit"] is None else f"{row['ratio_to_limit']:.2f}"
        line = f"{row['name']:<42}{row['median_s']:>9.2f}{ratio:>9}{row['cpu_s']:>8.2f}{row['peak_mb']:>9}"
        if "s_per_mpx_date" in row:
            line += f"   {row['s_per_mpx_date']:.3f} s per Mpx and date"
        if row.get("cost_of_reading_alone"):
            line += f"   {row['cost_of_reading_alone']:.2f} times reading alone"
        lines.append(line)
    return "\n".join([*lines, "", *_aims(result)])


def _aims(result: dict[str, Any]) -> list[str]:
    said = {
        "rate_of_decoding": "furrow's rate over that of decoding alone (aim: 0.65)",
        "rate_of_decoding_then_encoding": "the same for the two limits one after the other",
        "times_stackstac": "times as fast as stackstac (aim: 4)",
        "times_odc_stac": "times as fast as odc-stac (aim: 4)",
        "times_stackstac_http": "times as fast as stackstac, over HTTP",
        "times_odc_stac_http": "times as fast as odc-stac, over HTTP",
        "cost_of_composite_over_reading": "times the seconds of reading alone for masking and compositing",
        "size_ratio": "of the size of blosc-zstd3-shuffle (aim: at most 1.05)",
    }
    return [f"{result[key]:>8.3f}  {text}" for key, text in said.items() if result.get(key) is not None]


def _limit_of(name: str) -> str:
    """What is read over HTTP is held against the files, as HTTP is no limit of the machine."""
    part = name.split(":")[0].replace("http", "files")
    return f"{part}: limit: decoding"


def _is_composite(name: str) -> bool:
    return name.startswith("composite") and "limit" not in name


def _cost(rounds: Rounds, name: str = "composite: furrow") -> float | None:
    """Seconds of masking and compositing over those of the same contestant's reading alone."""
    alone = name.replace("composite", "files", 1)
    return rounds.ratio(alone, name) if alone in rounds.measured else None


def _row(rounds: Rounds, name: str, part: int = 0) -> Row:
    seen = [parts[part] for parts in rounds.measured[name]]
    return {
        "name": name,
        "median_s": round(median(one.seconds for one in seen), 3),
        "ratio_to_limit": rounds.ratio(name, _limit_of(name)),
        "peak_mb": round(max(one.peak_mb for one in seen)),
        "cpu_s": round(median(one.cpu_seconds for one in seen), 2),
        "rounds_s": [round(one.seconds, 3) for one in seen],
    }


def _growth_row(rounds: Rounds, name: str, number: int, land: Land) -> Row:
    row = _row(rounds, name, number)
    tiles, work = (land.side // land.tile) ** 2, land.side**2 / 1e6 * land.dates
    about = {"name": f"growth: {tiles} tiles x {land.dates} dates, 1 worker", "s_per_mpx_date": row["median_s"] / work}
    return row | about
