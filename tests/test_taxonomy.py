"""Laws of the classes and the crosswalk, against the whole HCAT3 table."""

import csv
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogs.errors import BadInput
from catalogs.taxonomy import TABLES, plain_code, read_taxonomy, ten_crops

DATA = Path(__file__).parents[1].parent / "shared" / "data"


def rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        pytest.skip(f"{path} is not on this machine")
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_every_row_of_the_ten_class_table():
    table = rows(DATA / "derived/taxonomy10_hcat3.csv")
    assert len(table) > 40
    for row in table:
        assert ten_crops().class_of(row["hcat3_code"]) == int(row["class_id"]), row
        assert ten_crops().names[int(row["class_id"])] == row["class_name"]


def test_the_crosswalk_is_total_over_hcat3_and_hcat2():
    named = {row["hcat3_code"]: int(row["class_id"]) for row in rows(DATA / "derived/taxonomy10_hcat3.csv")}
    codes = [row["HCAT3_code"] for row in rows(DATA / "eurocrops/hcat_core/HCAT3.csv")]
    assert len(codes) == 384
    for code in codes:
        expected = 255 if code == "3399000000" else named.get(code, 0)
        assert ten_crops().class_of(code) == expected, code
    for row in rows(DATA / "eurocrops/hcat_core/HCAT2.csv"):
        assert ten_crops().class_of(row["HCAT2_code"]) in {*range(11), 255}


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("3301290000", "background"),  # root vegetables: rolling up by characters makes it asparagus, then sugar beet
        ("3301160000", "soybean"),  # rolling up by characters makes it seedlings
        ("3301010103", "wheat"),  # summer wheat, only in HCAT2
        ("3301011000", "wheat"),  # spelt
        ("3301011100", "background"),  # beside spelt, not under it
        ("3301010600", "maize"),
        ("3301090400", "maize"),  # silage
        ("3301090301", "forage_legumes"),
        ("3302000000", "grassland"),
        ("3301290700", "sugar_beet"),
        ("3301290400", "background"),  # fodder beet
    ],
)
def test_codes_that_are_easily_misfiled(code, name):
    assert ten_crops().names[ten_crops().class_of(code)] == name


@pytest.mark.parametrize("code", [None, "", "  ", "3399000000", "3399000000.0", float("nan")])
def test_no_code_is_ignored(code):
    assert ten_crops().class_of(code) == 255


@pytest.mark.parametrize("code", ["3310106011", "3390000000", "33010101", "maize", "33010104011", "4301010401"])
def test_what_is_not_hcat3_is_refused(code):
    with pytest.raises(BadInput) as caught:
        ten_crops().class_of(code)
    assert code in caught.value.given
    assert ("HCAT4" in caught.value.why) == (code in ("3310106011", "3390000000"))


@given(st.integers(3300000000, 3309999999))
def test_a_code_survives_being_taken_for_a_number(number):
    assert {plain_code(v) for v in (number, float(number), str(number), f" {number}.0")} == {str(number)}


@given(st.from_regex(r"330[0-9]{7}", fullmatch=True), st.sampled_from([8, 6]))
def test_children_belong_to_the_class_of_a_named_parent(code, digits):
    crosswalk = dict(ten_crops().crosswalk)
    if code[:digits] in crosswalk:
        assert ten_crops().class_of(code) == crosswalk[code[:digits]]


def copies(folder: Path, classes: str | None = None, crosswalk: str | None = None) -> tuple[Path, Path]:
    (folder / "classes.csv").write_text(classes or (TABLES / "classes.csv").read_text())
    (folder / "hcat3.csv").write_text(crosswalk or (TABLES / "hcat3.csv").read_text())
    return folder / "classes.csv", folder / "hcat3.csv"


def test_identity_follows_content_and_not_the_order_of_lines(tmp_path):
    head, *lines = (TABLES / "hcat3.csv").read_text().split()
    random.Random(0).shuffle(lines)
    assert read_taxonomy(*copies(tmp_path, crosswalk="\n".join([head, *lines]))) == ten_crops()
    moved = read_taxonomy(*copies(tmp_path, crosswalk="\n".join([head, *lines, "3303,1"])))
    assert moved.identity != ten_crops().identity
    assert moved.class_of("3303060000") == 1


def test_the_longest_prefix_wins(tmp_path):
    taxonomy = read_taxonomy(*copies(tmp_path, crosswalk="prefix,class\n3301,1\n33010104,3\n3301010402,255\n"))
    assert [taxonomy.class_of(c) for c in ("3301020000", "3301010401", "3301010402")] == [1, 3, 255]


@pytest.mark.parametrize(
    ("classes", "crosswalk"),
    [
        (None, "prefix,class\n3301,1\n3301,2\n"),
        (None, "prefix,class\n330,1\n"),
        (None, "prefix,class\n3301,11\n"),
        (None, "prefix,class\n3301,maize\n"),
        (None, "code,class\n3301,1\n"),
        ("id,name,title,colour\n0,other,Other,#ffffff\n2,maize,Maize,#ff0000\n", None),
        ("id,name,title,colour\n0,other,Other,#ffffff\n1,other,Maize,#ff0000\n", None),
        ("id,name,title,colour\n0,other,Other,#ffffff\n1,sugar beet,Beet,#ff0000\n", None),
        ("id,name,title,colour\n0,other,Other,#ffffff\n1,maize,Maize,red\n", None),
    ],
)
def test_wrong_tables_are_refused(tmp_path, classes, crosswalk):
    with pytest.raises(BadInput):
        read_taxonomy(*copies(tmp_path, classes, crosswalk))


def test_the_palette_shows_classes_and_hides_the_rest():
    palette = ten_crops().palette()
    assert len({tuple(colour) for colour in palette[:11]}) == 11
    assert (palette[:11, 3] == 255).all()
    assert (palette[11:] == 0).all()
    assert tuple(palette[4]) == (0xFD, 0xE0, 0x02, 255)


def test_colours_differ_in_lightness_where_hue_may_not_be_seen():
    """The pairs that red-green blindness brings closest, by relative luminance."""
    light = ten_crops().palette()[:, :3] @ np.array([0.2126, 0.7152, 0.0722])
    number = {name: i for i, name in enumerate(ten_crops().names)}
    for a, b in (("maize", "wheat"), ("sunflower", "maize"), ("forage_legumes", "grassland"), ("wheat", "barley")):
        assert abs(light[number[a]] - light[number[b]]) > 35, (a, b)
