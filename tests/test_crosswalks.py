"""The way from declared crops to classes: every row of every published table, and every way to write it wrongly."""

import csv
import pickle
import random
import re
import time
import unicodedata
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest

from catalogs.errors import BadInput
from catalogs.parcels.corrections import corrections
from catalogs.parcels.crosswalks import MAPPED, NOT_KNOWN, NULL, UNKNOWN, Crosswalk, open_crosswalk
from catalogs.taxonomy import IGNORE, TABLES, Taxonomy, plain_code, read_taxonomy, ten_crops

DATA = Path(__file__).parents[1].parent / "shared" / "data"
MAPPINGS = DATA / "eurocrops/country_mappings"
V2 = DATA / "eurocropsv2/eurocrops.csv"
NAMES = [
    *("at_2021", "be_vlg_2021", "be_wal_all_years", "cz_2023", "de", "de_BW_2022", "de_bb_2023", "de_ls_2021"),
    *("de_nrw_2021", "dk_2019", "ee_2021", "es_2023", "es_ne_2021", "fi_2020", "fr_2018", "fr_other_years", "hr_2020"),
    *("ie_2023", "lt_2021", "lv_2021", "nl_2020", "nl_other_years", "pt_2021", "ro_no_year", "se_2021", "si_2021"),
    "sk_2021",
]
COUNTRIES = ["at", "be2", "be3", "bg", "cz", "de4", "dea", "dk", "ee", "es", "fi", "fr", "ie", "iti1", "nl", "pt",
             "si", "sk"]  # fmt: skip


def rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        pytest.skip(f"{path} is not on this machine")
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [{key: (value or "").strip() for key, value in row.items()} for row in csv.DictReader(file)]


def national(path: Path, country: str = "AT", taxonomy: Taxonomy | None = None) -> Crosswalk:
    if not path.exists():
        pytest.skip(f"{path} is not on this machine")
    return open_crosswalk("national", path, taxonomy or ten_crops(), country)


def written(folder: Path, text: str) -> Path:
    (folder / "mapping.csv").write_text(text)
    return folder / "mapping.csv"


def objects(values: list) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def one(crosswalk: Crosswalk, code: object, name: object = None) -> tuple[int, str | None, int]:
    found = crosswalk.harmonise(objects([code]), objects([name]))
    return int(found.classes[0]), found.hcat[0], int(found.status[0])


def many(crosswalk: Crosswalk, pairs: list[tuple]) -> list[tuple[int, str | None, int]]:
    found = crosswalk.harmonise(objects([code for code, _ in pairs]), objects([name for _, name in pairs]))
    return list(zip(found.classes.tolist(), found.hcat.tolist(), found.status.tolist(), strict=True))


def keyed(table: str) -> list[tuple[str | None, str | None, str]]:
    """Code, name and HCAT code of the rows that have a code or a name, corrected where they are known to be wrong."""
    found = []
    for row in rows(MAPPINGS / f"{table}.csv"):
        name = next((row[key] for key in row if key.startswith("original_name") and row[key]), None)
        wrong = [c for c in corrections() if c.country == table[:2].upper() and c.wrong == row["HCAT3_code"]]
        mended = [c.right for c in wrong if row["translated_name"] == c.english]
        if row.get("original_code") or name:
            found.append((row.get("original_code") or None, name, (mended or [row["HCAT3_code"]])[0]))
    return found


@pytest.mark.parametrize("table", NAMES)
def test_every_row_of_every_country_table_leads_to_its_own_code(table):
    crosswalk, known = national(MAPPINGS / f"{table}.csv"), keyed(table)
    for (code, name, hcat), found in zip(known, many(crosswalk, [row[:2] for row in known]), strict=True):
        number = ten_crops().class_of(hcat)
        assert found == (number, hcat, NOT_KNOWN if number == IGNORE else MAPPED), (code, name)
    assert len(known) > 0.5 * len(rows(MAPPINGS / f"{table}.csv"))


def test_the_classes_of_every_country_table_are_as_many_as_counted_before():
    counted = rows(DATA / "derived/taxonomy10_coverage_by_mapping.csv")
    assert sorted(row["mapping_file"] for row in counted) == sorted(f"{name}.csv" for name in NAMES)
    for row in counted:
        numbers = [ten_crops().class_of(r["HCAT3_code"]) for r in rows(MAPPINGS / row["mapping_file"])]
        assert len(numbers) == int(row["rows_with_code"])
        for number, name in enumerate(ten_crops().names[1:], 1):
            assert numbers.count(number) == int(row[name]), (row["mapping_file"], name)


@pytest.mark.parametrize("country", COUNTRIES)
def test_every_row_of_eurocropsv2_leads_to_its_own_code(country):
    known = [row for row in rows(V2) if row["nuts"] == country]
    crosswalk = open_crosswalk("eurocrops-v2", V2, ten_crops(), country.upper())
    for row, found in zip(known, many(crosswalk, [(row["original_code"], None) for row in known]), strict=True):
        number = ten_crops().class_of(row["hcat4_code"])
        expected = (number, row["hcat4_code"], NOT_KNOWN if number == IGNORE else MAPPED)
        assert found == (expected if row["original_code"] else (IGNORE, None, NULL)), row
    assert crosswalk.ambiguous == (("ærter",) if country == "dk" else ())


def test_eurocropsv2_calls_our_countries_by_nuts():
    for ours, theirs in (("BE_VLG", "BE2"), ("BE_WAL", "BE3"), ("DE_BB", "DE4"), ("DE_NRW", "DEA")):
        assert open_crosswalk("eurocrops-v2", V2, ten_crops(), ours).entries == (
            open_crosswalk("eurocrops-v2", V2, ten_crops(), theirs).entries
        )
    with pytest.raises(BadInput, match="DE_LS.*ITI1"):
        open_crosswalk("eurocrops-v2", V2, ten_crops(), "DE_LS")


def test_silage_and_grain_are_one_class_and_told_apart_in_words():
    crosswalk = open_crosswalk("eurocrops-v2", V2, ten_crops(), "AT")
    grain = [row for row in rows(V2) if row["nuts"] == "at" and row["hcat4_code"] == "3310106000"]
    words = {crosswalk.english(row["original_code"], None) for row in grain}
    assert {one(crosswalk, row["original_code"])[0] for row in grain} == {1}
    assert "GRAIN CORN (Harvested as Grains)" in words and len(words) > 3
    assert crosswalk.title("3310106000") == "Maize corn popcorn"
    assert crosswalk.title("3310101000") != crosswalk.title("9999999999") == "9999999999"


def lost(name: str) -> str:
    return re.sub(r"[^\x00-\x7f]", "?", name)


def without_accents(name: str) -> str:
    plain = unicodedata.normalize("NFD", name.replace("ø", "o").replace("æ", "ae"))
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


SPELLINGS = {
    "case": str.upper,
    "small": str.lower,
    "blanks": lambda name: f"  {name.replace(' ', '  ')} ",
    "hard blanks": lambda name: name.replace(" ", "\u00a0"),
    "apart": lambda name: unicodedata.normalize("NFD", name),
    "quotes": lambda name: name.replace("'", "’").replace("-", "–"),
    "utf-8 as latin-1": lambda name: name.encode().decode("latin-1"),
    "lost": lost,
    "without accents": without_accents,
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("table", NAMES)
def test_a_name_that_is_written_otherwise_never_leads_to_another_class(table, spelling):
    crosswalk, known = national(MAPPINGS / f"{table}.csv"), keyed(table)
    pairs = [(None, SPELLINGS[spelling](name)) for _, name, _ in known if name]
    exact = many(crosswalk, [(None, name) for _, name, _ in known if name])
    missed = 0
    for pair, found, expected in zip(pairs, many(crosswalk, pairs), exact, strict=True):
        assert found[0] == expected[0] or found[2] == UNKNOWN, (pair, found, expected)
        missed += found[2] == UNKNOWN != expected[2]
    # what is lost cannot always be told: words with no letter left, and names that differed in one letter only
    assert missed <= (0.05 * len(pairs) if spelling in ("lost", "without accents") else 0)


@pytest.mark.parametrize("table", ["si_2021", "de_bb_2023", "dk_2019", "pt_2021", "fi_2020", "es_2023"])
def test_codes_of_numbers_are_found_with_and_without_zeros_and_points(table):
    crosswalk = national(MAPPINGS / f"{table}.csv")
    for code, name, hcat in (row for row in keyed(table) if row[0] and row[0].isdigit()):
        forms = [code.zfill(5), code.lstrip("0") or "0", f" {code} ", f"{code}.0", float(code), int(code)]
        assert {one(crosswalk, form, name)[1] for form in forms} == {hcat}, code


def test_the_zero_padding_of_slovenia_and_brandenburg():
    slovenia, brandenburg = national(MAPPINGS / "si_2021.csv"), national(MAPPINGS / "de_bb_2023.csv")
    assert one(slovenia, "1") == one(slovenia, "001") == (2, "3301010102", MAPPED)
    assert one(slovenia, "0") == one(slovenia, "000") == (IGNORE, "3399000000", NOT_KNOWN)
    code = next(row["original_code"] for row in rows(MAPPINGS / "de_bb_2023.csv") if len(row["original_code"]) == 2)
    assert one(brandenburg, code.zfill(3)) == one(brandenburg, f"{code}.0") == one(brandenburg, code)


def test_letters_lost_in_the_table_or_in_the_file():
    slovenia, latvia = national(MAPPINGS / "si_2021.csv"), national(MAPPINGS / "lv_2021.csv")
    assert (
        one(slovenia, None, "pšenica (ozimna)") == one(slovenia, None, "p?enica (ozimna)") == (2, "3301010101", MAPPED)
    )
    assert one(slovenia, None, "ječmen (ozimni)")[0] == 3
    assert one(latvia, None, "Mie?i, vasaras") == one(latvia, None, "Mieži, vasaras") == (3, "3301010402", MAPPED)
    wallonia = national(MAPPINGS / "be_wal_all_years.csv")
    for name in ("Froment d'hiver", "Froment d’hiver", "Froment d?'hiver", "FROMENT  D'HIVER", "froment d¤hiver"):
        assert one(wallonia, None, name)[0] == 2, name


def test_too_little_of_a_damaged_name_is_unknown(tmp_path):
    crosswalk = national(written(tmp_path, "name,class\nrž,background\nПшеница 100%,wheat\nЯчмень 100%,barley\n"))
    assert [one(crosswalk, None, name)[2] for name in ("r?", "??????? 100%", "100%")] == [UNKNOWN] * 3
    assert one(crosswalk, None, "ПШЕНИЦА 100%")[0] == 2


def test_other_letters_are_another_name_unless_some_were_lost(tmp_path):
    crosswalk = national(written(tmp_path, "name,class\nMöhren,maize\n"))
    assert [one(crosswalk, None, name)[2] for name in ("M?hren", "Mohren", "Mähren", "Maehren")] == [0, 0, 3, 3]


def test_lithuania_mangled_mended_or_both():
    crosswalk = national(MAPPINGS / "lt_2021.csv", "LT")
    for mangled, mended, number in (
        ("Þieminiai javai", "Žieminiai javai", 0),
        ("Kukurûzai", "Kukurūzai", 1),
        ("Daugiametës þolës", "Daugiametės žolės", 10),
    ):
        assert mangled.encode("latin-1").decode("cp1257") == mended
        assert one(crosswalk, None, mangled) == one(crosswalk, None, mended)
        assert one(crosswalk, None, mended)[::2] == (number, MAPPED)


def test_the_wrong_rows_of_lithuania_and_denmark_are_corrected_and_said():
    lithuania, denmark = national(MAPPINGS / "lt_2021.csv", "LT"), national(MAPPINGS / "dk_2019.csv", "DK")
    assert one(lithuania, None, "Ankštiniai javai") == (0, "3301020000", MAPPED)
    assert one(lithuania, None, "Ðlapynës") == (IGNORE, "3399000000", NOT_KNOWN)
    assert one(denmark, 126.0, None) == (0, "3301100000", MAPPED)
    assert [c.name for c in lithuania.corrected] == ["Ankštiniai javai", "Šlapynės"]
    assert ["seed corn" in str(c) for c in denmark.corrected] == [True]
    assert denmark.title("3301010600") == "Grain maize corn popcorn"
    assert lithuania.title("3301020000") == "3301020000"  # not the wrong row's title


def test_every_correction_finds_its_row_and_leads_to_a_code_of_hcat3():
    known = {row["HCAT3_code"] for row in rows(DATA / "eurocrops/hcat_core/HCAT3.csv")}
    found = [c for table in NAMES for c in national(MAPPINGS / f"{table}.csv").corrected]
    assert sorted(map(str, found)) == sorted(map(str, corrections()))
    assert {c.right for c in corrections()} <= known


def test_defects_of_the_tables_are_corrected_or_harmless():
    """Of the rows whose name and code disagree, every code that is wrong is corrected; misspelt names do no harm."""
    corrected = {(c.wrong, c.right) for c in corrections()}
    harmless = {("3301060700", "3301060701"), ("3303070000", "3303060000")}  # flax of both kinds; a vine nursery
    for row in rows(DATA / "derived/mapping_defects_hcat3.csv"):
        if row["defect"] == "name_not_in_HCAT3":
            continue
        change = (row["HCAT3_code"], row["expected_or_name_of_code"])
        assert change in corrected | harmless, row
        assert len({ten_crops().class_of(code) for code in change}) == 1


def test_a_row_that_was_mended_at_its_source_is_not_corrected(tmp_path):
    text = "original_code,original_name,HCAT3_name,HCAT3_code\n126,Blanding af markfrø til udsæd,x,3301090303\n"
    crosswalk = national(written(tmp_path, text), "DK")
    assert (crosswalk.corrected, one(crosswalk, "126")[0]) == ((), 9)


def test_files_that_eurocrops_translated_are_corrected_too():
    denmark, latvia = (open_crosswalk("eurocrops", None, ten_crops(), country) for country in ("DK", "LV"))
    wrong, named = "3301010600", "Mix of seeds for seed corn"
    assert (
        one(denmark, wrong, named) == one(denmark, wrong, "Blanding af markfrø til udsæd") == (0, "3301100000", MAPPED)
    )
    assert one(denmark, wrong, "Maize") == one(denmark, wrong) == one(latvia, wrong, named) == (1, wrong, MAPPED)


HCAT_CASES = [
    (None, (IGNORE, None, NULL)),
    ("", (IGNORE, None, NULL)),
    ("  ", (IGNORE, None, NULL)),
    (float("nan"), (IGNORE, None, NULL)),
    ("3301010401", (3, "3301010401", MAPPED)),
    ("3301010401.0", (3, "3301010401", MAPPED)),
    (3301010401, (3, "3301010401", MAPPED)),
    (3301010401.0, (3, "3301010401", MAPPED)),
    ("3301010103", (2, "3301010103", MAPPED)),
    ("3310604011", (4, "3310604011", MAPPED)),
    ("3303060000", (0, "3303060000", MAPPED)),
    ("3399000000", (IGNORE, "3399000000", NOT_KNOWN)),
    ("3390000000", (IGNORE, "3390000000", NOT_KNOWN)),
    ("3000000000", (IGNORE, "3000000000", NOT_KNOWN)),
    ("33010104", (IGNORE, None, UNKNOWN)),
    ("maize", (IGNORE, None, UNKNOWN)),
    ("0", (IGNORE, None, UNKNOWN)),
]


@pytest.mark.parametrize(("code", "expected"), HCAT_CASES)
def test_codes_of_eurocrops_files(code, expected):
    assert one(open_crosswalk("eurocrops", None, ten_crops(), "AT"), code) == expected


def test_nothing_unknown_becomes_background():
    crosswalk = national(MAPPINGS / "fr_2018.csv", "FR")
    assert one(crosswalk, "BTH")[::2] == one(crosswalk, "bth")[::2] == (2, MAPPED)
    assert one(crosswalk, "QQQ") == one(crosswalk, None, "Culture de Mars") == (IGNORE, None, UNKNOWN)
    assert one(crosswalk, None) == one(crosswalk, "", " ") == one(crosswalk, float("nan"), None) == (IGNORE, None, NULL)
    assert one(crosswalk, "QQQ", "Topinambour")[1] == "3301180000"  # the name helps where the code does not


def test_codes_of_a_family_that_the_taxonomy_lacks_are_unknown_or_refused(tmp_path):
    taxonomy = read_taxonomy(TABLES / "classes.csv", TABLES / "hcat3.csv")
    assert one(open_crosswalk("eurocrops", None, taxonomy, "AT"), "3310106000") == (IGNORE, None, UNKNOWN)
    with pytest.raises(BadInput, match="line 2 .*HCAT4"):
        open_crosswalk("eurocrops-v2", V2, taxonomy, "AT")


def test_rows_of_one_code_are_told_apart_by_name(tmp_path):
    head = "original_code,original_name,HCAT3_code"
    lines = ["7,Wheat,3301010100", "7,Rye,3301010300", "8,Oats,3301010500"]
    crosswalk = national(written(tmp_path, "\n".join([head, *lines])))
    assert one(crosswalk, "7", "wheat")[0] == 2
    assert one(crosswalk, "7", "Rye")[:2] == (0, "3301010300")
    assert one(crosswalk, "7") == one(crosswalk, "7", "Barley") == (IGNORE, None, UNKNOWN)
    assert one(crosswalk, "8", "Wheat")[1] == "3301010500"  # the code comes first
    assert crosswalk.ambiguous == ("7",)


def test_rows_that_agree_on_the_class_are_as_good_as_one():
    denmark, croatia = national(MAPPINGS / "dk_2019.csv"), national(MAPPINGS / "hr_2020.csv")
    assert denmark.ambiguous == croatia.ambiguous == ()
    assert one(denmark, "593") == (0, "3306070000", MAPPED)
    assert one(croatia, None, "Staklenici na oranici")[::2] == (0, MAPPED)
    assert one(croatia, "210", "Staklenici na oranici")[1] == "3305000000"


def test_a_column_of_names_may_be_taken_for_the_codes():
    crosswalk = national(MAPPINGS / "sk_2021.csv", "SK")
    assert one(crosswalk, "Pšenica ozimná")[0] == one(crosswalk, None, "Pšenica ozimná")[0] == 2


@pytest.mark.parametrize(
    ("text", "code", "name", "expected"),
    [
        ("code,class\n007,barley\nNA,2\n", "7", None, (3, None, MAPPED)),
        ("code,class\n007,barley\nNA,2\n", "na", None, (2, None, MAPPED)),
        ("name,class\nMaïs,Maize\n", None, "MAIS", (1, None, MAPPED)),
        ("code,name,class\n1,Orge,3\n,Blé,wheat\n", None, "ble", (2, None, MAPPED)),
        ("code,hcat\n1,3301010401\n", 1, None, (3, "3301010401", MAPPED)),
        ("name,hcat\nRaps,3310604011\n", None, "raps", (4, "3310604011", MAPPED)),
        ("code,class\n1,ignore\n", "1", None, (IGNORE, None, NOT_KNOWN)),
        ("code,class\n1,255\n", "1", None, (IGNORE, None, NOT_KNOWN)),
        ("code,class\n1,background\n", "1", None, (0, None, MAPPED)),
        ("code,class\n1,0\n1,background\n", "1", None, (0, None, MAPPED)),
        ("Code;Class\n1;maize\n", "1", None, (1, None, MAPPED)),
    ],
)
def test_crosswalks_of_ones_own(tmp_path, text, code, name, expected):
    assert one(national(written(tmp_path, text)), code, name) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("code,class\n1,maize\n2,wheat\n1,wheat\n", "'1' in line 4"),
        ("name,class\nOrge,maize\nORGE,wheat\n", "'ORGE' in line 3"),
        ("code,name,class\n1,Orge,maize\n,Blé,maize\n,BLÉ,wheat\n", "'BLÉ' in line 4"),
        ("code,hcat\n1,3301010401\n1,3301010600\n", "'1' in line 3"),
        ("code,class\n1,hops\n", "'hops' in line 2.*sugar_beet"),
        ("code,class\n1,11\n", "'11' in line 2"),
        ("code,class\n1,\n", "'' in line 2"),
        ("code,hcat\n1,33010104\n", "'33010104' in line 2"),
        ("code,hcat\n1,\n", "'' in line 2"),
        ("code,class\n,maize\n", "line 2"),
        ("code,class\n", "no crop"),
        ("", "formats are: original_code.*hcat4_code.*code and/or name with class"),
        ("crop,class\n1,maize\n", "formats are"),
        ("code,name\n1,maize\n", "formats are"),
        ("original_code,original_name,HCAT3_code\n1,Orge,none\n", "'none' in line 2"),
        ("code,class\n1,\"maize\n", "cannot be read"),
    ],
)  # fmt: skip
def test_wrong_mappings_are_refused(tmp_path, text, said):
    with pytest.raises(BadInput, match=said):
        national(written(tmp_path, text))


def test_kinds_that_need_a_mapping_and_the_kind_that_does_not(tmp_path):
    for kind in ("national", "eurocrops-v2"):
        with pytest.raises(BadInput, match="needs a mapping"):
            open_crosswalk(kind, None, ten_crops(), "AT")
    with pytest.raises(BadInput, match="cannot be read"):
        open_crosswalk("national", tmp_path / "none.csv", ten_crops(), "AT")
    with pytest.raises(BadInput, match="kind national"):
        open_crosswalk("eurocrops", written(tmp_path, "code,class\n1,maize\n"), ten_crops(), "AT")
    titled = open_crosswalk("eurocrops", MAPPINGS / "at_2021.csv", ten_crops(), "AT")
    assert titled.title("3301010401") == "Winter barley"
    assert titled.identity == open_crosswalk("eurocrops", None, ten_crops(), "AT").identity


def test_own_classes_are_used(tmp_path):
    (tmp_path / "classes.csv").write_text("id,name,title,colour\n0,other,Other,#ffffff\n1,hops,Hops,#00ff00\n")
    (tmp_path / "prefixes.csv").write_text("prefix,class\n33010602,1\n3310602,1\n")
    taxonomy = read_taxonomy(tmp_path / "classes.csv", tmp_path / "prefixes.csv")
    crosswalk = national(written(tmp_path, "code,class\n5,hops\n6,other\n"), taxonomy=taxonomy)
    assert [one(crosswalk, code)[0] for code in ("5", "6", "7")] == [1, 0, IGNORE]
    hops = next(row for row in rows(MAPPINGS / "fr_2018.csv") if row["HCAT3_code"] == "3301060200")
    assert one(national(MAPPINGS / "fr_2018.csv", taxonomy=taxonomy), hops["original_code"])[0] == 1


def test_identity_follows_what_changes_a_class(tmp_path):
    def identity(text: str, taxonomy: Taxonomy | None = None) -> str:
        return national(written(tmp_path, text), taxonomy=taxonomy).identity

    first = identity("code,class\n1,maize\n2,wheat\n")
    assert first == identity("code,class\n1,1\n2,2\n")
    assert first != identity("code,class\n1,maize\n2,barley\n")
    other = read_taxonomy(TABLES / "classes.csv", TABLES / "hcat3.csv")
    assert first != identity("code,class\n1,maize\n2,wheat\n", other)
    plain = {open_crosswalk("eurocrops", None, t, "AT").identity for t in (ten_crops(), other)}
    assert len(plain | {first}) == 3


def test_a_crosswalk_travels_to_workers():
    crosswalk = national(MAPPINGS / "at_2021.csv")
    before = one(crosswalk, None, "WINTERGERSTE")
    copy = pickle.loads(pickle.dumps(crosswalk))
    assert (copy, one(copy, None, "WINTERGERSTE")) == (crosswalk, before)
    assert before[::2] == (3, MAPPED)


def test_a_hundred_thousand_parcels_take_a_fifth_of_a_second():
    crosswalk, chance = national(MAPPINGS / "nl_2020.csv"), random.Random(0)
    known = [(code, name) for code, name, _ in keyed("nl_2020")] + [(None, None), ("99999", "Onbekend")]
    pairs = chance.choices(known, k=100_000)
    codes, names = objects([code for code, _ in pairs]), objects([name for _, name in pairs])
    seconds = []
    for _ in range(3):
        started = time.process_time()
        found = crosswalk.harmonise(codes, names)
        seconds.append(time.process_time() - started)
    assert min(seconds) < 0.2
    some = chance.sample(range(100_000), 200)
    assert [int(found.classes[n]) for n in some] == [one(crosswalk, *pairs[n])[0] for n in some]


def test_a_file_without_parcels_has_no_classes():
    found = open_crosswalk("eurocrops", None, ten_crops(), "AT").harmonise(objects([]), objects([]))
    assert (found.classes.dtype, found.status.dtype, found.hcat.dtype) == (np.uint8, np.uint8, object)
    assert len(found.classes) == len(found.hcat) == len(found.status) == 0


def test_plain_geopandas_finds_the_same_classes_in_a_real_file():
    """The Dutch sample by hand: codes as they stand in the table, without any of the above."""
    path = DATA / "parcels/nl/brpgewaspercelen_definitief_2023.gpkg"
    if not path.exists():
        pytest.skip(f"{path} is not on this machine")
    frame = gpd.read_file(path)
    by_code = {row["original_code"]: row["HCAT3_code"] for row in rows(MAPPINGS / "nl_2020.csv")}
    hcat = [by_code.get(str(code)) for code in frame["gewascode"]]
    expected = [IGNORE if code is None else ten_crops().class_of(code) for code in hcat]
    codes, names = objects(list(frame["gewascode"])), objects(list(frame["gewas"]))
    found = national(MAPPINGS / "nl_2020.csv", "NL").harmonise(codes, names)
    assert found.classes.tolist() == expected
    assert [plain_code(code) for code in found.hcat] == hcat
    assert len({*expected}) >= 4
