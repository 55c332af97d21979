"""Turns what is wrong with a project file into one plain error: which key, what was given, why not, what instead."""

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from catalogs.errors import BadInput
from pipelines.project.secrets import REMEDY, Place, is_secret

Tables = Mapping[str, type[BaseModel]]
"""The settings of each table of a project file, by the table's name."""

MOST_SHOWN = 10
"""Problems on one screen."""

WHY = {  # by pydantic's names of errors
    "missing": "is missing.",
    "string_type": "must be text in quotes.",
    "string_too_short": "must not be empty.",
    "string_too_long": "is longer than {max_length} characters.",
    "int_type": "must be a whole number.",
    "float_type": "must be a number.",
    "finite_number": "must be an ordinary number.",
    "bool_type": "must be true or false, without quotes.",
    "date_type": "must be a date without quotes and without a time.",
    "tuple_type": "must be a list in square brackets.",
    "dict_type": "must be a table in curly brackets.",
    "too_long": "has more than {max_length} items.",
    "too_short": "has fewer than {min_length} items.",
    "greater_than": "must be more than {gt}.",
    "greater_than_equal": "must be at least {ge}.",
    "less_than": "must be less than {lt}.",
    "less_than_equal": "must be at most {le}.",
    "multiple_of": "must be a multiple of {multiple_of}.",
    "literal_error": "must be {expected}.",
}


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: `given` names the key, and its value where that may be shown."""

    given: str
    why: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.given}: {self.why} {self.remedy}".rstrip()


def refuse(why: str, remedy: str, key: str = "") -> PydanticCustomError:
    """What a check raises; `key` is for checks of a whole table, which must say which of its keys they mean."""
    return PydanticCustomError("refused", "{why}", {"why": why, "remedy": remedy, "key": key})


def in_one(path: Path, problems: list[Problem]) -> BadInput:
    """One error for all problems of a file."""
    if len(problems) == 1:
        only = problems[0]
        return BadInput(f"{path}, {only.given}", only.why, only.remedy)
    lines = [f"\n  {problem}" for problem in problems[:MOST_SHOWN]]
    if len(problems) > MOST_SHOWN:
        lines.append(f"\n  and {len(problems) - MOST_SHOWN} more")
    return BadInput(f"{path} has {len(problems)} problems", "".join(lines) + "\n", "Correct them and try again.")


def written(value: object) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(int(value) if value.is_integer() else value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list | tuple):
        return f"[{', '.join(written(item) for item in value)}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{name} = {written(item)}' for name, item in value.items())}}}"
    return value.isoformat() if isinstance(value, date) else str(value)


def shown(value: object, width: int = 60) -> str:
    """A value as a message shows it: short, and never a secret."""
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple) and any(isinstance(item, Mapping | list) for item in value):
        return "a list of tables or lists"
    try:
        text = written(value)
    except ValueError:  # Python writes no whole number of more than 4300 digits
        return "a very long number"
    if any(is_secret(item) for item in (value if isinstance(value, list | tuple) else [value])):
        return "a value that is not shown here"
    return text if len(text) <= width else f"{text[: width - 1]}…"


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The name that was probably meant."""
    return next(iter(difflib.get_close_matches(name.lower(), list(names), n=1, cutoff=0.6)), None)


def hidden(place: Place, why: str) -> Problem:
    """A secret, told without its value."""
    return Problem(_dotted(place), why, REMEDY)


def explained(error: ValidationError, data: Mapping[str, Any], tables: Tables) -> dict[Place, Problem]:
    """The problems that pydantic found, one a key, by place."""
    found: dict[Place, Problem] = {}
    for detail in error.errors(include_url=False):
        place = _place(detail)
        found.setdefault(place, _explain(place, detail, data, tables))
    return found


def unknown(place: Place, tables: Tables) -> Problem:
    """A table or key that does not exist, with the one that was probably meant."""
    *above, name = place
    if not above or above[0] not in tables:
        names, kind = list(tables), "the project file has no such table or key."
    else:
        names, kind = list(tables[above[0]].model_fields), f"there is no such key in [{above[0]}]."
    homes = [table for table, model in tables.items() if name in model.model_fields and [table] != above]
    meant = nearest(name, names)
    if homes:
        remedy = f"Did you mean the {_quoted(name)} of [{homes[0]}]?"
    elif meant:
        remedy = f"Did you mean '{meant}'?"
    else:
        remedy = f"Take it out, or write one of: {', '.join(names)}."
    return Problem(_dotted(place), kind, remedy)


def _explain(place: Place, detail: ErrorDetails, data: Mapping[str, Any], tables: Tables) -> Problem:
    field = _field(place, tables)
    if detail["type"] == "extra_forbidden":
        return unknown(place, tables)
    if field is None:
        why = "is missing." if detail["type"] == "missing" else "must be a table."
        return Problem(f"[{_dotted(place)}]", why, f"Write [{_dotted(place)}] on a line of its own, its keys below.")
    given, why = _given(place, data), _why(detail)
    return Problem(given, why, detail.get("ctx", {}).get("remedy") or _remedy(place[-1], field, data, place))


def _why(detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    item = detail["loc"][2] if len(detail["loc"]) > 2 else None
    if detail["type"] == "missing" and item is not None:
        return "has too few items."
    if detail["type"] == "refused":
        return str(context["why"])
    limits = {name: shown(limit) if isinstance(limit, float) else limit for name, limit in context.items()}
    why = WHY[detail["type"]].format(**limits) if detail["type"] in WHY else f"cannot be used ({detail['msg']})."
    return f"item {item + 1} {why}" if isinstance(item, int) else why


def _remedy(name: str, field: FieldInfo, data: Mapping[str, Any], place: Place) -> str:
    """The nearest word where the key takes one of a few, else the example of the key."""
    value = _value(place, data)
    words = [word for word in get_args(field.annotation) if isinstance(word, str)]
    example = (nearest(value, words) if isinstance(value, str) else None) or (field.examples or [""])[0]
    unit = (field.json_schema_extra or {}).get("unit") if isinstance(field.json_schema_extra, dict) else ""
    return f"Write for example: {name} = {written(example)}{f' ({unit})' if unit else ''}."


def _place(detail: ErrorDetails) -> Place:
    """Table and key; the position within a list is told by the reason."""
    place = tuple(str(part) for part in detail["loc"][:2])
    key = detail.get("ctx", {}).get("key")
    return (*place[:1], str(key)) if key else place


def _field(place: Place, tables: Tables) -> FieldInfo | None:
    if len(place) < 2 or place[0] not in tables:
        return None
    return tables[place[0]].model_fields.get(place[1])


def _given(place: Place, data: Mapping[str, Any]) -> str:
    value = _value(place, data)
    return _dotted(place) if value is None else f"{_dotted(place)} = {shown(value)}"


def _value(place: Place, data: Mapping[str, Any]) -> Any:
    for name in place:
        data = data.get(name, {}) if isinstance(data, Mapping) else {}
    return None if data == {} else data


def _dotted(place: Iterable[str]) -> str:
    return ".".join(_quoted(name) for name in place)


def _quoted(name: str) -> str:
    """A key as TOML writes it: bare, or in quotes where it holds anything unusual."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]{1,60}", name) else shown(name)
