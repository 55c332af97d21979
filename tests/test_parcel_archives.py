"""Archives of parcels: what is unpacked of them, once, and what is refused with nothing left behind."""

import os
import stat
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import py7zr
import pytest
import shapely
from py7zr.io import BytesIOFactory
from shapely import box

from catalogs.errors import BadInput
from catalogs.parcels import unpacking
from catalogs.parcels.archives import place_of, unpacked
from catalogs.parcels.leftovers import at_work
from catalogs.parcels.sources import Asked, open_source, read_chunk


def parcels(folder: Path, name: str = "XX_2021_EC21.shp") -> list[Path]:
    """The files of a dataset of three parcels."""
    shapes = shapely.box([0, 10, 20], 0, [5, 15, 25], 5)
    codes = ["3301010101", "3301010401", "3302000000"]
    folder.mkdir(exist_ok=True)
    how = {"SPATIAL_INDEX": "NO"} if name.endswith(".fgb") else {}  # with an index it has an order of its own
    gpd.GeoDataFrame({"EC_hcat_c": codes}, geometry=shapes, crs=3035).to_file(folder / name, **how)
    return sorted(folder.iterdir())


def zipped(target: Path, files: dict[str, Path | bytes]) -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content if isinstance(content, bytes) else content.read_bytes())
    return target


def sevened(target: Path, files: dict[str, Path | bytes]) -> Path:
    with py7zr.SevenZipFile(target, "w") as archive:
        for name, content in files.items():
            archive.writestr(content if isinstance(content, bytes) else content.read_bytes(), name)
    return target


PACKERS: dict[str, Callable[[Path, dict[str, Path | bytes]], Path]] = {"zip": zipped, "7z": sevened}


def codes_in(path: Path, scratch: Path) -> list[str]:
    return [str(code) for code in read_chunk(open_source(path, Asked(), scratch), 0, 10).codes]


GOOD = ["3301010101", "3301010401", "3302000000"]


def refused(path: Path, scratch: Path, *words: str) -> None:
    with pytest.raises(BadInput) as caught:
        open_source(path, Asked(), scratch)
    for word in words:
        assert word in str(caught.value), str(caught.value)
    assert [each for each in scratch.rglob("*") if each.is_file()] == []


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("folder", ["", "XX 2021/", "deep/down/ü/"])
@pytest.mark.parametrize("dataset", ["XX_2021_EC21.shp", "a.gpkg", "a.fgb"])
def test_a_dataset_is_found_wherever_it_lies(kind, folder, dataset, tmp_path):
    files = {folder + file.name: file for file in parcels(tmp_path / "in", dataset)}
    path = PACKERS[kind](
        tmp_path / f"p.{kind}", {**files, "read me.txt": b"x", "__MACOSX/._a.gpkg": b"x", "._b.shp": b""}
    )
    assert codes_in(path, tmp_path / "s") == GOOD
    assert codes_in(path / folder / dataset, tmp_path / "s") == GOOD
    unpacked_files = [file.name for file in (tmp_path / "s" / "unpacked").rglob("*") if file.is_file()]
    assert set(unpacked_files) <= {file.name for file in files.values()}


def test_only_what_belongs_to_the_dataset_is_unpacked_and_only_once(tmp_path):
    files = {f"in/{file.name}": file for file in parcels(tmp_path / "in")}
    files |= {f"in/{name}": b"x" for name in ("XX_2021_EC21.xml", "other.dbf", "xx_2021_ec21.SBN")}
    path = zipped(tmp_path / "p.zip", files)
    first, inner = unpacked(place_of(path), tmp_path / "s")
    assert inner == "in/XX_2021_EC21.shp"
    assert {file.suffix for file in first.parent.iterdir()} == {".shp", ".dbf", ".shx", ".prj", ".cpg"}
    os.utime(first, ns=(5, 5))
    assert unpacked(place_of(path), tmp_path / "s")[0] == first and first.stat().st_mtime_ns == 5
    os.utime(path, ns=(7, 7))  # another archive under the same name
    assert unpacked(place_of(path), tmp_path / "s")[0] != first


def test_capital_endings_of_other_systems(tmp_path):
    files = {f"A\\{file.name.upper()}": file for file in parcels(tmp_path / "in", "fields.shp")}
    assert codes_in(zipped(tmp_path / "p.zip", files), tmp_path / "s") == GOOD


def test_an_archive_is_known_by_what_it_holds(tmp_path):
    parcels(tmp_path / "in", "a.gpkg")
    zipped(tmp_path / "download", {"a.gpkg": tmp_path / "in/a.gpkg"})
    assert codes_in(tmp_path / "download", tmp_path / "s") == GOOD


def test_of_several_files_one_must_be_named(tmp_path):
    files = {f"one/{file.name}": file for file in parcels(tmp_path / "in")}
    files["two/second.gpkg"] = parcels(tmp_path / "in2", "second.gpkg")[0]
    path = zipped(tmp_path / "p.zip", files)
    refused(
        path, tmp_path / "s", "one/XX_2021_EC21.shp", "two/second.gpkg", "for example", "p.zip/one/XX_2021_EC21.shp"
    )
    refused(path / "third.gpkg", tmp_path / "s", "no 'third.gpkg'", "two/second.gpkg")
    assert codes_in(path / "two/second.gpkg", tmp_path / "s") == GOOD


def test_names_that_differ_in_case_or_not_at_all(tmp_path):
    files = parcels(tmp_path / "in", "ok.shp")
    cases = {"OK.DBF": b"another", **{file.name: file for file in files}, "Ok.dbf": b"a third"}
    assert codes_in(zipped(tmp_path / "case.zip", cases), tmp_path / "s") == GOOD
    path = zipped(tmp_path / "twice.zip", {file.name: file for file in files})
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.write(tmp_path / "in" / "ok.dbf", "ok.dbf")
    refused(path, tmp_path / "t", "'ok.dbf' more than once")


def test_names_are_shown_without_what_a_terminal_obeys(tmp_path):
    path = zipped(tmp_path / "p.zip", {"\x1b[31mred.gpkg": b"x", "b.gpkg": b"x"})
    with pytest.raises(BadInput, match=r"x1b\[31mred") as caught:
        open_source(path, Asked(), tmp_path / "s")
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("folder", ["unpacked", "converted"])
def test_what_a_killed_process_left_is_swept_unless_another_is_at_work(folder, tmp_path):
    path = zipped(tmp_path / "p.zip", {"a.fgb": parcels(tmp_path / "in", "a.fgb")[0]})
    (there := tmp_path / "s" / folder).mkdir(parents=True)
    (there / "x.partial").mkdir()
    (there / "x.partial" / "a.gpkg").write_bytes(b"half")
    (there / "y.parquet.partial").write_bytes(b"half")
    with at_work(tmp_path / "other"), at_work(there):
        assert list(there.iterdir()) == [], "nobody else was at work"
        (there / "z.partial").write_bytes(b"half")
        assert codes_in(path, tmp_path / "s") == GOOD and (there / "z.partial").exists()
    os.utime(path, ns=(7, 7))
    assert codes_in(path, tmp_path / "s") == GOOD and not (there / "z.partial").exists()


def test_volumes_are_read_as_one_and_all_must_be_there(tmp_path):
    file = parcels(tmp_path / "in", "a.gpkg")[0]
    whole = sevened(tmp_path / "whole.7z", {"noise": os.urandom(5000), "x/a.gpkg": file}).read_bytes()
    size = len(whole) // 3 + 1
    for number in range(3):
        (tmp_path / f"p.7z.{number + 1:03d}").write_bytes(whole[number * size : (number + 1) * size])
    assert codes_in(tmp_path / "p.7z.001", tmp_path / "s") == GOOD
    refused(tmp_path / "p.7z.002", tmp_path / "t", "later part", ".7z.001")
    (tmp_path / "p.7z.002").unlink()
    refused(tmp_path / "p.7z.001", tmp_path / "t", "not a whole", "beside each other")


def link(name: str) -> tuple[zipfile.ZipInfo, bytes]:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info, b"/etc/passwd"


ESCAPES = ["../out.gpkg", "a/../../out.gpkg", "/out.gpkg", "C:/out.gpkg", "..\\out.gpkg", "\\\\host\\out.gpkg"]


@pytest.mark.parametrize("name", ESCAPES)
def test_names_that_lead_out_are_refused(name, tmp_path):
    file = parcels(tmp_path / "in", "a.gpkg")[0]
    refused(zipped(tmp_path / "p.zip", {name: file}), tmp_path / "s", "outside")
    refused(zipped(tmp_path / "q.zip", {"a.gpkg": file, name: b"x"}), tmp_path / "s", "outside")
    assert not (tmp_path / "out.gpkg").exists()


def test_links_are_refused(tmp_path):
    file = parcels(tmp_path / "in", "a.gpkg")[0]
    with zipfile.ZipFile(zipped(tmp_path / "p.zip", {"a.gpkg": file}), "a") as archive:
        archive.writestr(*link("b.gpkg"))
    refused(tmp_path / "p.zip", tmp_path / "s", "link", "b.gpkg")
    (tmp_path / "in" / "b.gpkg").symlink_to("/etc/passwd")
    with py7zr.SevenZipFile(tmp_path / "p.7z", "w") as seven:
        seven.write(tmp_path / "in" / "b.gpkg", "b.gpkg")
    refused(tmp_path / "p.7z", tmp_path / "s", "link", "b.gpkg")


@pytest.mark.parametrize("kind", PACKERS)
def test_bombs_are_measured_while_they_go_off(kind, tmp_path, monkeypatch):
    path = PACKERS[kind](tmp_path / f"p.{kind}", {"a.gpkg": bytes(12_000_000)})
    refused(path, tmp_path / "s", "a.gpkg", "200 times")
    monkeypatch.setattr(unpacking, "RATIO", 10**6)
    monkeypatch.setattr(unpacking, "TOTAL", 5_000_000)
    refused(path, tmp_path / "s", "unpacks to more than")


def test_a_header_that_lies_about_its_size(tmp_path):
    """12 MB that say they are 100 bytes: what comes out counts, and it ends there."""
    path = zipped(tmp_path / "p.zip", {"a.gpkg": bytes(12_000_000)})
    content = path.read_bytes()
    path.write_bytes(content.replace((12_000_000).to_bytes(4, "little"), (100).to_bytes(4, "little")))
    refused(path, tmp_path / "s", "not a whole")


def test_too_many_files(tmp_path):
    files: dict[str, Path | bytes] = {f"{i}.txt": b"" for i in range(10_001)}
    refused(zipped(tmp_path / "p.zip", files), tmp_path / "s", "10,001 files")


def test_locked_nested_damaged_or_other_archives(tmp_path):
    file = parcels(tmp_path / "in", "a.gpkg")[0]
    for header in (False, True):
        with py7zr.SevenZipFile(tmp_path / "l.7z", "w", password="secret", header_encryption=header) as seven:
            seven.write(file, "a.gpkg")
        refused(tmp_path / "l.7z", tmp_path / "s", "password")
    inner = zipped(tmp_path / "inner.zip", {"a.gpkg": file})
    content = bytearray(inner.read_bytes())
    for mark, place in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):  # the flag that a member is encrypted
        content[content.index(mark) + place] |= 1
    (tmp_path / "l.zip").write_bytes(content)
    refused(tmp_path / "l.zip", tmp_path / "s", "password")
    content = bytearray(inner.read_bytes())
    for mark, place in ((b"PK\x01\x02", 10), (b"PK\x03\x04", 8)):  # deflate64, which Windows writes
        content[content.index(mark) + place] = 9
    (tmp_path / "d.zip").write_bytes(content)
    refused(tmp_path / "d.zip", tmp_path / "s", "packed by a method", "Unpack it")
    refused(zipped(tmp_path / "n.zip", {"parcels/inner.zip": inner}), tmp_path / "s", "holds archives", "inner.zip")
    refused(zipped(tmp_path / "e.zip", {"readme.txt": b"x"}), tmp_path / "s", "no file of parcels", "readme.txt")
    (tmp_path / "t.zip").write_text("not a zip")
    refused(tmp_path / "t.zip", tmp_path / "s", "not a whole zip")
    (tmp_path / "c.zip").write_bytes(inner.read_bytes()[:-30])
    refused(tmp_path / "c.zip", tmp_path / "s", "not a whole zip")
    (tmp_path / "r.rar").write_bytes(b"Rar!\x1a\x07\x00")
    refused(tmp_path / "r.rar", tmp_path / "s", "rar", "Unpack it")
    refused(file / "x.shp", tmp_path / "s", "no archive")


@pytest.mark.parametrize("kind", PACKERS)
def test_a_damaged_member_leaves_nothing(kind, tmp_path):
    path = PACKERS[kind](tmp_path / f"p.{kind}", {"a.gpkg": os.urandom(300_000)})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    refused(path, tmp_path / "s", "not a whole")
    assert not list((tmp_path / "s").rglob("*.partial"))


def test_two_that_unpack_at_once_get_the_same(tmp_path):
    path = zipped(tmp_path / "p.zip", {"a.gpkg": parcels(tmp_path / "in", "a.gpkg")[0]})
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(unpacked(place_of(path), tmp_path / "s")[0])) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len(set(found)) == 1 and codes_in(found[0], tmp_path / "s") == GOOD
    assert [folder.name for folder in (tmp_path / "s/unpacked").iterdir()] == [found[0].parent.name]


def test_seven_zip_agrees_with_its_own_reader(tmp_path):
    noise = {f"n{i}": os.urandom(70_000) for i in range(3)}
    path = sevened(tmp_path / "p.7z", {**noise, "a.gpkg": parcels(tmp_path / "in", "a.gpkg")[0], "z": os.urandom(9)})
    ours = unpacked(place_of(path), tmp_path / "s")[0].read_bytes()
    with py7zr.SevenZipFile(path) as archive:
        archive.extract(targets=["a.gpkg"], factory=(factory := BytesIOFactory(10**7)))
    assert ours == factory.products["a.gpkg"].read()
    assert box(0, 0, 5, 5).equals(read_chunk(open_source(path, Asked(), tmp_path / "s"), 0, 1).shapes[0])
