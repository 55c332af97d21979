"""Writes a new project file, commented, for a person to fill in."""

import os
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from catalogs.errors import BadInput
from pipelines.project.errors import unknown, written
from pipelines.project.file import TABLES, parse_project


def write_project(path: str | Path, changes: Mapping[str, object] | None = None) -> Path:
    """A new project file from the template, with other values where `changes` names keys (such as "region.name").

    None switches an optional key off. What would not load is not written; what exists is not overwritten.
    """
    path = Path(path)
    if os.path.lexists(path):
        raise BadInput(str(path), "exists already.", "Choose another name, or remove that file first.")
    text = changed(template(), changes or {})
    parse_project(text, path)
    try:
        _write_whole(path, text)
    except OSError as error:
        why = f"cannot be written ({error.strerror})."
        raise BadInput(str(path), why, "Choose a folder that you may write to.") from None
    return path


def template() -> str:
    return (files("pipelines.project") / "template.toml").read_text(encoding="utf-8")


def changed(text: str, changes: Mapping[str, object]) -> str:
    """The text of a project file with other values; its comments stay."""
    for dotted in changes:
        table, _, name = dotted.partition(".")
        if table not in TABLES or name not in TABLES[table].model_fields:
            problem = unknown((table, name) if name else (table,), TABLES)
            raise BadInput(problem.given, problem.why, problem.remedy)
    lines, table = [], ""
    for line in text.splitlines():
        header, pair = re.fullmatch(r"\[(\w+)\]", line), re.fullmatch(r"(?:# )?((\w+) = .*)", line)
        table = header[1] if header else table
        dotted = f"{table}.{pair[2]}" if pair else ""
        lines.append(_line(pair, changes[dotted]) if pair and dotted in changes else line)
    return "\n".join(lines) + "\n"


def _line(pair: re.Match[str], value: object) -> str:
    return f"# {pair[1]}" if value is None else f"{pair[2]} = {written(value)}"


def _write_whole(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
