"""Laws of the classes and the crosswalk, against the whole tables of HCAT2, HCAT3 and HCAT4."""

import csv
import random
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogs.errors import BadInput
from catalogs.taxonomy import IGNORE, TABLES, family, plain_code, read_taxonomy, ten_crops

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


NOT_KNOWN = {"3399000000", "3390000000", "3000000000"}


@pytest.mark.parametrize(
    ("table", "column", "count"),
    [("HCAT3", "HCAT3_code", 384), ("HCAT2", "HCAT2_code", 395), ("HCAT2-2", "HCAT2_code", 395)],
)
def test_the_crosswalk_is_total_over_hcat3_and_hcat2(table, column, count):
    named = {row["hcat3_code"]: int(row["class_id"]) for row in rows(DATA / "derived/taxonomy10_hcat3.csv")}
    codes = [row[column] for row in rows(DATA / f"eurocrops/hcat_core/{table}.csv")]
    assert len(codes) == count
    for code in codes:
        plain = code.strip()
        # the eleven summer cereals are only in HCAT2: they are what their kind is, in whatever season
        kind = plain if not (plain.endswith("03") and plain not in named) else f"{plain[:8]}00"
        expected = IGNORE if plain in NOT_KNOWN else named.get(plain, named.get(kind, 0))
        assert ten_crops().class_of(code) == expected, code
        assert family(plain) == "HCAT3"


def test_hcat2_has_eleven_summer_cereals_more():
    three = {row["HCAT3_code"] for row in rows(DATA / "eurocrops/hcat_core/HCAT3.csv")}
    more = {row["HCAT2_code"] for row in rows(DATA / "eurocrops/hcat_core/HCAT2.csv")} - three
    assert len(more) == 11
    classes = sorted(ten_crops().names[ten_crops().class_of(code)] for code in more)
    assert classes == ["background"] * 7 + ["barley"] + ["wheat"] * 3


HCAT4_NAMES = {
    "maize": r"maize_corn_popcorn",
    "wheat": r".*common_soft_wheat|.*durum_hard_wheat|(winter_|spring_)?spelt",
    "barley": r".*barley",
    "rapeseed": r".*rapeseed_rape",
    "sunflower": r"sunflower",
    "sugar_beet": r"sugar_beet",
    "potato": r"potatoes",
    "soybean": r"soy_soybeans",
    "forage_legumes": r"alfalfa_lucerne|serradella|clover|melilot|vetches|onobrychis_sainfoins|galega"
    r"|birdsfoot_treifoil|other_legumes_harvested_green",
    "grassland": r"grassland_grass|.*_grassland|.*poaceae_grasses|elymus|festuca_fescue|cocksfoot_catgrass|festulolium"
    r"|lolium_ryegrass|setaria|sod_turf|switchgrass|timothy|canary_seed_canaryseed",
    "ignore": r"not_known_and_other",
}


def test_the_crosswalk_is_exact_over_hcat4():
    """By the names of all 353 codes, which the prefixes know nothing of."""
    table = rows(DATA / "eurocropsv2/hcat4.csv")
    assert len(table) == 353
    for row in table:
        expected = [name for name, words in HCAT4_NAMES.items() if re.fullmatch(words, row["hcat4_name"])]
        number = ten_crops().class_of(row["hcat4_code"])
        found = "ignore" if number == IGNORE else ten_crops().names[number]
        assert [found] == (expected or ["background"]), row
        assert family(row["hcat4_code"]) == "HCAT4"


def test_rolling_up_by_characters_would_misfile_109_of_384_codes():
    """The trap that this roll-up avoids: zeroing the last character that is not 0 skips or invents levels."""
    codes = [row["HCAT3_code"] for row in rows(DATA / "eurocrops/hcat_core/HCAT3.csv")]

    def by_characters(code: str) -> str:
        bare = code.rstrip("0")
        return bare[:-1].ljust(10, "0")

    def by_pairs(code: str) -> str:
        bare = re.sub(r"(00)+$", "", code)
        return bare[:-2].ljust(10, "0")

    def rolled(code: str, up: Callable[[str], str]) -> str:
        code = up(code)
        while code not in codes and code.strip("0"):
            code = up(code)
        return code

    roots = ("3000000000", "3300000000")
    assert all(rolled(code, by_pairs) == by_pairs(code) for code in codes if code not in roots)  # the parent is there
    assert sum(rolled(code, by_characters) != rolled(code, by_pairs) for code in codes) == 109
    assert rolled("3301290000", by_characters) == "3301200000"  # root vegetables become asparagus
    assert ten_crops().class_of("3301290000") == 0


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


@pytest.mark.parametrize("code", [None, "", "  ", "3399000000.0", float("nan"), *sorted(NOT_KNOWN)])
def test_no_code_is_ignored(code):
    assert ten_crops().class_of(code) == 255


@pytest.mark.parametrize("code", ["33010101", "maize", "33010104011", "4301010401", "3381010000", "3399010000", "0"])
def test_what_is_not_hcat_is_refused(code):
    assert family(code) is None
    with pytest.raises(BadInput) as caught:
        ten_crops().class_of(code)
    assert code in caught.value.given


@pytest.mark.parametrize(
    ("line", "missing"), [("3301,1", "3310106000"), ("331,1", "3301010600"), ("339,255", "3301010600")]
)
def test_codes_of_a_family_without_prefixes_are_refused_rather_than_background(tmp_path, line, missing):
    taxonomy = read_taxonomy(*copies(tmp_path, crosswalk=f"prefix,class\n{line}\n"))
    assert family(missing) not in taxonomy.families
    with pytest.raises(BadInput, match=str(family(missing))):
        taxonomy.class_of(missing)


def test_codes_that_say_not_known_are_ignored_though_no_table_says_so(tmp_path):
    taxonomy = read_taxonomy(*copies(tmp_path, crosswalk="prefix,class\n3301,1\n331,1\n"))
    assert {taxonomy.class_of(code) for code in NOT_KNOWN} == {IGNORE}
    assert taxonomy.class_of("3303000000") == 0


def test_a_prefix_of_two_digits_holds_for_both_families(tmp_path):
    taxonomy = read_taxonomy(*copies(tmp_path, crosswalk="prefix,class\n33,255\n330101,1\n3310106,2\n"))
    codes = ("3303000000", "3330600000", "3301010600", "3310106000")
    assert [taxonomy.class_of(code) for code in codes] == [255, 255, 1, 2]


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
    both = (TABLES / "hcat3.csv").read_text() + (TABLES / "hcat4.csv").read_text().partition("\n")[2]
    (folder / "prefixes.csv").write_text(crosswalk or both)
    return folder / "classes.csv", folder / "prefixes.csv"


def test_identity_follows_content_and_not_the_order_of_lines(tmp_path):
    head, *lines = copies(tmp_path)[1].read_text().split()
    random.Random(0).shuffle(lines)
    assert read_taxonomy(*copies(tmp_path, crosswalk="\n".join([head, *lines]))) == ten_crops()
    moved = read_taxonomy(*copies(tmp_path, crosswalk="\n".join([head, *lines, "3303,1"])))
    assert moved.identity != ten_crops().identity
    assert moved.class_of("3303060000") == 1


def test_the_longest_prefix_wins(tmp_path):
    taxonomy = read_taxonomy(*copies(tmp_path, crosswalk="prefix,class\n3301,1\n33010104,3\n3301010402,255\n"))
    assert [taxonomy.class_of(c) for c in ("3301020000", "3301010401", "3301010402")] == [1, 3, 255]


HEAD = "id,name,title,colour\n0,other,Other,#ffffff\n"


@pytest.mark.parametrize(
    ("classes", "crosswalk", "said"),
    [
        (None, "prefix,class\n3301,1\n3301,2\n", "'3301' in line 3"),
        (None, "prefix,class\n330,1\n", "'330' in line 2"),
        (None, "prefix,class\n3310,1\n", "'3310' in line 2"),
        (None, "prefix,class\n3301,11\n", "'11' in line 2"),
        (None, "prefix,class\n3301,maize\n", "'maize' in line 2"),
        (None, "prefix,class\n3301\n", "'' in line 2"),
        (None, "prefix,class\n", "no line"),
        (None, "code,class\n3301,1\n", "no column prefix"),
        (HEAD + "2,maize,Maize,#ff0000\n", None, "ids"),
        (HEAD, None, "ids"),
        (HEAD + "1,other,Maize,#ff0000\n", None, "'other' in line 3"),
        (HEAD + "1,maize,Other,#ff0000\n", None, "'Other' in line 3"),
        (HEAD + "1,sugar beet,Beet,#ff0000\n", None, "'sugar beet'"),
        (HEAD + "1,ignore,Beet,#ff0000\n", None, "'ignore'"),
        (HEAD + "1,split,Beet,#ff0000\n", None, "'split'"),
        (HEAD + "1,maize,Maize,red\n", None, "'red' in line 3"),
        (HEAD.replace("colour", "color") + "1,maize,Maize,#ff0000\n", None, "no column colour"),
        (HEAD.replace("name", "id") + "1,maize,Maize,#ff0000\n", None, "same name"),
    ],
)
def test_wrong_tables_are_refused(tmp_path, classes, crosswalk, said):
    with pytest.raises(BadInput, match=said):
        read_taxonomy(*copies(tmp_path, classes, crosswalk))


def test_a_table_that_is_no_text_or_not_there_is_refused(tmp_path):
    classes, crosswalk = copies(tmp_path)
    crosswalk.write_bytes(b"prefix,class\n3301,\xff\n")
    with pytest.raises(BadInput, match="UTF-8"):
        read_taxonomy(classes, crosswalk)
    with pytest.raises(BadInput, match="cannot be read"):
        read_taxonomy(classes, tmp_path / "missing.csv")


def test_a_table_saved_by_a_spreadsheet_is_read(tmp_path):
    """A byte order mark, semicolons, carriage returns, empty lines and blanks."""
    classes, crosswalk = copies(tmp_path)
    text = "\ufeff" + crosswalk.read_text().replace(",", " ; ").replace("\n", "\r\n") + ";\r\n\r\n"
    crosswalk.write_bytes(text.encode())
    assert read_taxonomy(classes, crosswalk) == ten_crops()


@pytest.mark.parametrize(
    ("ours", "theirs", "key", "number"),
    [
        ("pastis.csv", "pastis_classes.csv", ("id", "pastis_id"), "taxonomy10_id"),
        ("dacia5.csv", "dacia5_legend.csv", ("label", "label"), "taxonomy10_id"),
        ("eucropmap.csv", "eucropmap_legend.csv", ("code", "code"), "taxonomy10_id"),
    ],
)
def test_the_legends_of_reference_data_lead_to_classes(ours, theirs, key, number):
    found = {row[key[0]]: row["class"] for row in rows(TABLES / ours)}
    assert found == {row[key[1]]: row[number] for row in rows(DATA / "derived" / theirs)}
    assert set(map(int, found.values())) <= {*range(11), IGNORE}


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
