"""Any key with any value makes a project or a plain refusal, never another error."""

import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalogs.errors import BadInput
from pipelines.project.file import TABLES, Project, check_project, parse_project
from pipelines.project.writing import template

KEYS = [f"{table}.{name}" for table, model in TABLES.items() for name in model.model_fields]
RIGHT = [
    ("training.compare_single_date", True),
    ("training.compile", True),
    ("augmentation.turn", True),
    ("map.probabilities", True),
    ("model.settings", {}),
]
"""Values that are odd for most keys, and not for these."""
BASE = template()
HERE = Path("/somewhere/demo.toml")

ODD = [
    "s3://",
    "://",
    "EPSG:",
    "@",
    "a:b@c",
    "ray://",
    "\x00",
    "{why}",
    "é" * 200,
    "https://[",
    "../..",
    "auto",
    "month",
]
scalars = st.one_of(
    st.booleans(), st.integers(-(10**30), 10**30), st.just(10**400), st.floats(), st.dates(), st.datetimes(),
    st.times(), st.text(max_size=20), st.sampled_from(ODD),
)  # fmt: skip
tables = st.sampled_from(list(TABLES))
some_text = st.text(max_size=12)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(some_text, inner, max_size=3), max_leaves=6
)
names = st.sampled_from([*KEYS, *TABLES]) | some_text | st.builds("{}.{}".format, tables, some_text)


def with_value(name: str, value: Any) -> dict[str, Any]:
    table, dot, key = name.partition(".")
    data: dict[str, Any] = tomllib.loads(template())
    if dot and table in TABLES:
        data[table][key] = value
    else:
        data[name] = value
    return data


def is_project_or_plain_refusal(data: dict[str, Any]) -> None:
    try:
        assert isinstance(check_project(data, HERE), Project)
    except BadInput as error:
        assert str(HERE) in error.given
        assert len(str(error)) < 4000


@pytest.mark.parametrize("name", KEYS)
def test_every_key_bears_the_odd_values(name: str) -> None:
    for value in [
        *ODD,
        date.min,
        date.max,
        10**400,
        -1,
        True,
        float("nan"),
        float("inf"),
        1e300,
        [],
        {},
        [{}],
        [[]],
        [10**400] * 4,
    ]:
        is_project_or_plain_refusal(with_value(name, value))
    without = with_value(name, "x")
    without[name.partition(".")[0]].pop(name.partition(".")[2])
    is_project_or_plain_refusal(without)
    for value in [[float("nan")] * 4, [1, 2, 3, float("nan")], float("nan"), {}, [[]], True, 10**400]:
        if (name, value) not in RIGHT:
            with pytest.raises(BadInput):
                check_project(with_value(name, value), HERE)


@settings(max_examples=300, deadline=None)
@given(name=names, value=values)
def test_one_odd_key_is_a_project_or_a_plain_refusal(name: str, value: Any) -> None:
    is_project_or_plain_refusal(with_value(name, value))


@settings(max_examples=100, deadline=None)
@given(place=st.integers(0, len(BASE) - 1), junk=st.text(max_size=3))
def test_a_torn_file_is_a_project_or_a_plain_refusal(place: int, junk: str) -> None:
    try:
        parse_project(BASE[:place] + junk + BASE[place + 1 :], HERE)
    except BadInput as error:
        assert str(HERE) in error.given


def test_the_first_day_of_all_as_the_end() -> None:
    data = with_value("season.end", date.min)
    del data["season"]["start"]
    is_project_or_plain_refusal(data)
