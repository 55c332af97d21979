"""Bad input through the real command line: one screen that says what was given, why not and what to do; status 2."""

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import geopandas as gpd
import pytest
from conftest import PROJECT
from typer.testing import CliRunner

from catalogs.bands import BANDS
from catalogs.errors import BadInput
from catalogs.stores import Store
from catalogs.taxonomy import ten_crops
from cluster.progress import LineProgress
from models.card import Card
from models.checkpoint import encode
from models.normalisation import Normalisation
from models.unet import UNet, UNetSettings
from pipelines.cli import app
from pipelines.plan import make_plan
from pipelines.project import load_project

FIELD = 'LOCAL_CS["my field",LOCAL_DATUM["x",0],UNIT["metre",1],AXIS["X",EAST],AXIS["Y",NORTH]]'
"""An engineering CRS: metres on somebody's field, which lies nowhere on Earth."""

BOUNDARY = 'boundary = "{catalog}/boundary.gpkg"'
ONE_TILE = {"tile = 128": "tile = 384", "periods = 3": "periods = 1"}
"""Little work, where reading the whole country would show no more."""

SCREEN = 25
"""Lines that a person sees at once."""


@dataclass(frozen=True)
class Said:
    status: int
    text: str

    def refuses(self, *words: str) -> None:
        """Status 2 and one screen with the three parts of a refusal and these words, not a traceback."""
        assert self.status == 2, self.text
        assert "Traceback" not in self.text and len(self.text.splitlines()) <= SCREEN, self.text
        assert all(part in self.text for part in ("given:  ", "why:    ", "do:     ")), self.text
        lacking = [word for word in words if word not in self.text]
        assert not lacking, f"{lacking} not in:\n{self.text}"


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    """The command line takes SIGTERM over; pytest gets it back."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def furrow(*words: str | Path) -> Said:
    """The command line in this process."""
    result = CliRunner().invoke(app, [*map(str, words)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Said(result.exit_code, result.output)


def furrow_apart(*words: str | Path, **environment: str) -> Said:
    """The command line in a process of its own, as a shell starts it."""
    command = [sys.executable, "-m", "pipelines.cli", *map(str, words)]
    shown = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, env=os.environ | environment
    )
    return Said(shown.returncode, shown.stdout)


def nothing_made(root: Path) -> None:
    assert not root.exists(), sorted(root.rglob("*"))


def nothing_begun(root: Path, *stores: str) -> None:
    """No leftovers of writing, and none of these stores."""
    assert not list(root.rglob("*.partial"))
    assert not [store for store in stores if (root / store).exists()]


# the project file


def test_project_file_that_is_not_there() -> None:
    said = furrow_apart("run", "/nowhere/at-all.toml")
    said.refuses("/nowhere/at-all.toml", "no such file", "furrow init")


def test_project_file_that_is_a_folder_or_no_text(tmp_path: Path) -> None:
    furrow("run", tmp_path).refuses(str(tmp_path), "is a folder")
    (tmp_path / "junk.toml").write_bytes(bytes(range(256)) * 10)
    furrow("run", tmp_path / "junk.toml").refuses("junk.toml", "not text in UTF-8")


def test_unknown_key(project_file, tmp_path) -> None:
    furrow("run", project_file({"tile = 128": "tile = 128\ntiel = 3"})).refuses("region.tiel", "Did you mean 'tile'")
    nothing_made(tmp_path / "root")


def test_json_output_says_the_same(project_file) -> None:
    said = furrow("run", project_file({"tile = 128": "tile = 128\ntiel = 3"}), "--json")
    event = json.loads(said.text.splitlines()[-1])
    assert (said.status, event["event"], event["status"]) == (2, "error", 2)
    assert "region.tiel" in event["text"][0]


# region and season


@pytest.fixture
def with_region(project_file, catalog) -> Callable[[str], Path]:
    """A project with this line in place of the boundary's."""
    return lambda line: project_file({BOUNDARY.format(catalog=catalog): line})


@pytest.fixture
def with_boundary(with_region, tmp_path) -> Callable[..., Path]:
    """A project whose boundary is a file that `write` makes."""

    def made(name: str, write: Callable[[Path], object]) -> Path:
        write(tmp_path / name)
        return with_region(f'boundary = "{tmp_path / name}"')

    return made


@pytest.fixture
def outline(catalog) -> gpd.GeoDataFrame:
    return gpd.read_file(catalog / "boundary.gpkg")


def without_crs(frame: gpd.GeoDataFrame, crs: str | None = None) -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(frame.drop(columns="geometry"), geometry=list(frame.geometry), crs=crs)


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_bbox_outside_the_catalogue(with_region, tmp_path, verb) -> None:
    said = furrow(verb, with_region("bbox = [-3.0, 55.0, -2.98, 55.01]"))
    said.refuses("region 'Tiny'", "no scene is left", "misses the region", "Check the region's outline")
    nothing_made(tmp_path / "root")


def test_season_without_scenes(project_file, tmp_path) -> None:
    said = furrow("run", project_file({"2021-03-01": "2015-03-01", "2021-10-31": "2015-10-31"}))
    said.refuses("2015-03-01 to 2015-10-31", "no scene is left", "the catalogue lists none", "the season")
    nothing_made(tmp_path / "root")


def test_half_the_world_in_small_tiles_is_refused_at_once(with_region, tmp_path) -> None:
    furrow("run", with_region("bbox = [-90.0, -60.0, 90.0, 60.0]")).refuses("tile = 128", "tiles", "larger tile")
    nothing_made(tmp_path / "root")


def test_boundary_without_crs(with_boundary, outline, tmp_path) -> None:
    with pytest.warns(UserWarning, match="crs"):
        path = with_boundary("b.gpkg", without_crs(outline).to_file)
    furrow("run", path).refuses("b.gpkg", "does not say its CRS", "ogr2ogr")
    nothing_made(tmp_path / "root")


def test_boundary_in_a_crs_that_lies_nowhere(with_boundary, outline, tmp_path) -> None:
    said = furrow("run", with_boundary("b.gpkg", without_crs(outline, FIELD).to_file))
    said.refuses("b.gpkg", "my field", "Austria Lambert", "EPSG code")
    nothing_made(tmp_path / "root")


def test_boundary_beyond_the_world(with_boundary) -> None:
    ring = [[1e300, 1e300], [1e300, 2], [3, 4], [1e300, 1e300]]
    shape = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    text = json.dumps({"type": "FeatureCollection", "features": [shape]})
    furrow("run", with_boundary("b.geojson", lambda path: path.write_text(text))).refuses("b.geojson", "beyond")


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("b.gpkg", bytes(range(256)) * 20, "cannot be read as a vector file"),
        ("b.gpkg", b"", "cannot be read as a vector file"),
        ("b.toml", PROJECT.encode(), "cannot be read as a vector file"),
        ("b.csv", b"a,b\n1,2\n", "holds no polygon"),
    ],
)
def test_boundary_that_is_no_outline(with_boundary, tmp_path, name, content, why) -> None:
    furrow("run", with_boundary(name, lambda path: path.write_bytes(content))).refuses(name, why, "Give a")
    nothing_made(tmp_path / "root")


def test_boundary_that_is_not_there(with_region) -> None:
    furrow("run", with_region('boundary = "/nowhere/b.gpkg"')).refuses("/nowhere/b.gpkg", "No such file")


def test_boundary_that_is_empty_or_of_points(with_boundary, outline) -> None:
    furrow("run", with_boundary("b.gpkg", outline.iloc[:0].to_file)).refuses("b.gpkg", "holds no polygon")
    points = outline.assign(geometry=outline.centroid)
    furrow("run", with_boundary("p.gpkg", points.to_file)).refuses("p.gpkg", "holds no polygon")


# parcels


@pytest.fixture
def with_parcels(project_file, catalog, tmp_path) -> Callable[..., Path]:
    def made(name: str, write: Callable[[Path], object]) -> Path:
        write(tmp_path / name)
        return project_file({f"{catalog}/parcels.gpkg": str(tmp_path / name)})

    return made


@pytest.fixture
def parcels(catalog) -> gpd.GeoDataFrame:
    return gpd.read_file(catalog / "parcels.gpkg")


def test_no_parcels_in_the_region(with_parcels, parcels, tmp_path) -> None:
    away = parcels.assign(geometry=parcels.geometry.translate(100_000, 0))
    furrow("label", with_parcels("away.gpkg", away.to_file)).refuses(
        "away.gpkg", "no parcel in the region", "[labels] crs"
    )
    assert not (tmp_path / "root" / "labels.zarr").exists()


def test_parcels_in_a_crs_that_lies_nowhere(with_parcels, parcels, tmp_path) -> None:
    path = with_parcels("nowhere.gpkg", without_crs(parcels, FIELD).to_file)
    furrow("label", path).refuses("nowhere.gpkg", "my field", "[labels] crs")
    nothing_made(tmp_path / "root")


def test_parcel_files_that_are_none(with_parcels, catalog, tmp_path) -> None:
    cut = (catalog / "parcels.gpkg").read_bytes()[:60_000]
    furrow("label", with_parcels("cut.gpkg", lambda path: path.write_bytes(cut))).refuses("cut.gpkg", "damaged")
    furrow("label", with_parcels("folder.gpkg", Path.mkdir)).refuses("folder.gpkg", "It is a folder")
    furrow("label", with_parcels("junk.zip", lambda path: path.write_bytes(cut))).refuses("junk.zip", "zip")
    nothing_made(tmp_path / "root")


def test_a_zip_cannot_lead_out_of_itself(with_parcels, catalog, tmp_path) -> None:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(catalog / "parcels.gpkg", "../../escape.gpkg")

    furrow("label", with_parcels("escape.zip", write)).refuses("escape.zip")
    assert not list(tmp_path.parent.rglob("escape.gpkg"))


# the catalogue


@pytest.fixture
def spoilt(catalog, project_file, tmp_path) -> Callable[..., Path]:
    """A project on a copy of the catalogue that `spoil` has changed."""

    def made(spoil: Callable[[Path], object], replace: dict[str, str] | None = None) -> Path:
        folder = tmp_path / "country"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(catalog, folder)
        spoil(folder)
        return project_file(replace, place=folder)

    return made


def first_item(folder: Path) -> Path:
    return sorted(folder.rglob("S2*.json"))[0]


def edit(path: Path, change: Callable[[dict], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def links(href: str) -> Callable[[Path], None]:
    child = {"rel": "child", "href": href, "type": "application/json"}
    return lambda folder: edit(folder / "catalog.json", lambda content: content["links"].append(child))


def blue_at(href: str) -> Callable[[Path], None]:
    return lambda folder: edit(first_item(folder), lambda item: item["assets"]["blue"].update(href=href))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / "catalog.json").unlink(), ["catalog.json", "is not there"]),
        (lambda folder: first_item(folder).unlink(), ["lists a file that is not (", "_L2A.json"]),
        (lambda folder: first_item(folder).write_text('{"a'), ["not a STAC catalogue", "_L2A.json", "Unterminated"]),
        (lambda folder: (folder / "catalog.json").write_text("[1, 2]"), ["not a STAC catalogue"]),
        (lambda folder: (folder / "catalog.json").write_text("{}"), ["not a STAC catalogue"]),
        (lambda folder: (folder / "catalog.json").write_bytes(b"\xff\x00"), ["not a STAC catalogue"]),
        (lambda folder: (folder / "catalog.json").write_text("[" * 100_000), ["nested without end"]),
        (links("http://127.0.0.1:9/c.json"), ["points out of the catalogue's folder", "http://127.0.0.1:9/c.json"]),
        (links("/etc/passwd"), ["points out of the catalogue's folder", "/etc/passwd"]),
        (blue_at("../../../../../../etc/passwd"), ["asset blue", "points out of the catalogue's folder"]),
        (blue_at("/vsicurl/http://127.0.0.1:9/x.tif"), ["points out of the catalogue's folder", "/vsicurl/"]),
        (blue_at("http://127.0.0.1:9/x.tif"), ["points out of the catalogue's folder"]),
        (blue_at("file:///etc/passwd"), ["points out of the catalogue's folder"]),
    ],
    ids=["missing", "missing-item", "cut-item", "list", "empty", "junk", "deep", "web-child", "child-outside",
         "asset-outside", "vsicurl", "web-asset", "file-asset"],
)  # fmt: skip
def test_a_catalogue_that_cannot_be_trusted(spoilt, tmp_path, spoil, words) -> None:
    furrow("run", spoilt(spoil)).refuses(*words)
    nothing_made(tmp_path / "root")


@pytest.mark.parametrize(
    "broken",
    [
        {"geometry": {}},
        {"geometry": {"type": "Blob", "coordinates": []}},
        {"properties": {"eo:cloud_cover": "lots"}},
        {"properties": {"proj:epsg": None, "proj:code": "FOO:1"}},
        {"properties": {"s2:processing_baseline": "9" * 5000}},
    ],
    ids=["no-place", "odd-place", "odd-cloud", "odd-crs", "odd-baseline"],
)
def test_one_broken_item_is_left_out_and_named(spoilt, tmp_path, broken) -> None:
    def spoil(folder: Path) -> None:
        def change(item: dict) -> None:
            item["properties"].update(broken.get("properties", {}))
            item["geometry"] = broken.get("geometry", item["geometry"])

        edit(first_item(folder), change)

    assert furrow("plan", spoilt(spoil)).status == 0
    left_out = json.loads((tmp_path / "root/scenes.json").read_text())["left_out"]
    reasons = {entry["id"]: entry["reason"] for entry in left_out}
    assert reasons[first_item(tmp_path / "country").stem].startswith("is malformed (")


# scenes that cannot be read


def band(folder: Path, name: str) -> Path:
    """A band of a clear scene in the middle of the season."""
    return sorted(folder.glob(f"sentinel-2-l2a/*_20210620_*/{name}.tif"))[0]


def cut_short(folder: Path) -> None:
    path = band(folder, "red")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.fixture
def alone(monkeypatch) -> None:
    """The verbs' plain twin: in this process, without a cluster."""
    work_here(monkeypatch)


def work_here(patch: pytest.MonkeyPatch) -> None:
    for verb in ("ingest", "offset_check"):
        patch.setattr(f"pipelines.{verb}.item_workers", lambda address, count: nullcontext(one_by_one))


def one_by_one(function: Callable, items: Iterable) -> Iterator[tuple]:
    for item in items:
        try:
            yield item, function(item)
        except Exception as error:
            yield item, error


@pytest.mark.slow
def test_a_truncated_cog_is_named_and_counted_and_the_run_goes_on(spoilt, tmp_path) -> None:
    said = furrow_apart("ingest", spoilt(cut_short, ONE_TILE))
    scene = band(tmp_path / "country", "red").parent.name
    assert said.status == 0 and "Traceback" not in said.text, said.text
    records = [json.loads(path.read_text()) for path in (tmp_path / "root/ledger/cube.zarr/done").iterdir()]
    lost = [entry["scene"] for record in records for entry in record["unreadable"]]
    assert set(lost) == {scene} and all(record["scenes"] for record in records)
    assert f"{scene} could not be read in {len(lost)} tile periods; the other scenes were used" in said.text


def test_a_truncated_cog_stops_the_run_where_the_project_says_so(spoilt, tmp_path, alone) -> None:
    path = spoilt(cut_short, ONE_TILE | {"periods = 3": 'periods = 1\nbad_scene = "stop"'})
    said = furrow("ingest", path)
    said.refuses(f"scene {band(tmp_path / 'country', 'red').parent.name}", "cannot be read", 'bad_scene = "skip"')
    nothing_begun(tmp_path / "root")
    assert not list((tmp_path / "root").glob("ledger/cube.zarr/done/*"))


def test_a_text_named_tif_is_not_followed(spoilt, tmp_path, alone) -> None:
    """GDAL would open it by its content, and whatever file or address it names."""

    def spoil(folder: Path) -> None:
        source = f"<SourceFilename>{band(folder, 'green')}</SourceFilename><SourceBand>1</SourceBand>"
        source = f"<VRTRasterBand dataType='UInt16' band='1'><SimpleSource>{source}</SimpleSource></VRTRasterBand>"
        band(folder, "red").write_text(f"<VRTDataset rasterXSize='9' rasterYSize='9'>{source}</VRTDataset>")

    said = furrow("ingest", spoilt(spoil, ONE_TILE))
    assert said.status == 0 and "S2B_32TQT_20210620_0_L2A could not be read" in said.text


# the store root


@pytest.mark.parametrize("verb", ["plan", "ingest", "label", "map", "publish", "run"])
def test_a_root_that_is_a_file(project_file, tmp_path, verb) -> None:
    (tmp_path / "root").write_text("mine")
    furrow(verb, project_file()).refuses(str(tmp_path / "root"), "cannot be written", "[store] root")
    assert (tmp_path / "root").read_text() == "mine"


def test_a_root_below_a_file(project_file, tmp_path) -> None:
    (tmp_path / "file").write_text("mine")
    furrow("run", project_file(root=tmp_path / "file/root")).refuses("file/root", "cannot be written")


@pytest.mark.parametrize("verb", ["ingest", "status"])
def test_a_bucket_without_credentials_or_network(project_file, tmp_path, verb) -> None:
    nobody = {
        "AWS_CONFIG_FILE": "/nowhere",
        "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    path = project_file(root="s3://no-such-bucket-of-furrow/here")
    said = furrow_apart(verb, path, AWS_ENDPOINT_URL="http://127.0.0.1:9", **nobody)
    said.refuses("s3://no-such-bucket-of-furrow/here", "credentials")


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A disk of 256 kB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    mounted = subprocess.run(command, capture_output=True, text=True) if shutil.which("mount") else None
    if mounted is None or mounted.returncode:
        pytest.skip(
            f"a small disk cannot be mounted here ({mounted.stderr.strip() if mounted else 'no mount command'})"
        )
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.slow
def test_a_disk_that_fills_while_workers_write(project_file, small_disk) -> None:
    said = furrow_apart("ingest", project_file(ONE_TILE, root=small_disk / "root"))
    said.refuses(f"store root {small_disk}/root", "no space left", "Free some space")
    nothing_begun(small_disk / "root")
    assert not list((small_disk / "root").glob("ledger/cube.zarr/done/*"))


def test_a_disk_that_is_full_from_the_start(project_file, small_disk) -> None:
    (small_disk / "hog").write_bytes(bytes(232 * 1024))
    said = furrow("ingest", project_file(ONE_TILE, root=small_disk / "root"))
    said.refuses(f"{small_disk}/root", "No space left" if "cannot be written" in said.text else "no space left")
    nothing_begun(small_disk / "root")


@pytest.mark.parametrize("left", ["zarr.json.0a1b.partial", "zarr.0a1b.partial"])
def test_what_a_full_disk_left_does_not_bar_the_way(spoilt, tmp_path, alone, left) -> None:
    path = spoilt(lambda folder: None, ONE_TILE | {"periods = 3": "periods = 1\nmax_cloud = 1.0"})
    (tmp_path / "root/cube.zarr").mkdir(parents=True)
    (tmp_path / "root/cube.zarr" / left).write_bytes(b"")
    said = furrow("ingest", path)
    assert said.status == 0, said.text
    nothing_begun(tmp_path / "root")


# checkpoints


@pytest.fixture(scope="module")
def cubed(catalog, tmp_path_factory) -> Path:
    """A project with its cube, and a root that each test copies."""
    folder = tmp_path_factory.mktemp("cubed")
    text = PROJECT.format(catalog=catalog, root=folder / "root").replace("tile = 128", "tile = 384")
    (folder / "project.toml").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        work_here(patch)
        said = furrow("ingest", folder / "project.toml")
    assert said.status == 0, said.text
    return folder


@pytest.fixture
def with_checkpoint(cubed, tmp_path) -> Callable[..., Path]:
    """A project whose checkpoint is a network that nobody trained, for these bands and periods."""

    def made(spoil: Callable[[Path], object] = lambda folder: None, bands=BANDS, periods=None) -> Path:
        shutil.copytree(cubed / "root", tmp_path / "root")
        path = tmp_path / "project.toml"
        path.write_text((cubed / "project.toml").read_text().replace(str(cubed / "root"), str(tmp_path / "root")))
        seen = periods or tuple((str(p.start), str(p.end)) for p in make_plan(load_project(path)).periods)
        folder = tmp_path / "root/checkpoints/season"
        folder.mkdir(parents=True)
        for name, data in checkpoint(bands, seen).items():
            (folder / name).write_bytes(data)
        spoil(folder)
        return path

    return made


def checkpoint(bands: tuple[str, ...], periods: tuple, widths: tuple[int, ...] = (8, 16, 24, 32)) -> dict[str, bytes]:
    settings = UNetSettings(bands=len(bands), periods=len(periods), widths=widths)
    card = Card(
        name="season",
        architecture="unet",
        settings=settings.as_dict(),
        bands=bands,
        periods=periods,
        middles=tuple(map(float, range(len(periods)))),
        period_index=tuple(range(len(periods))),
        classes=dict(enumerate(ten_crops().names)),
        normalisation=Normalisation((1000.0,) * len(bands), (500.0,) * len(bands)),
        training_identity="none",
    )
    return encode(UNet(settings).state_dict(), card)


def half(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:500])


def card_says(**changes: object) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "card.json", lambda card: card.update(changes))


def weights(change: Callable[[bytes], bytes], signed: bool = True) -> Callable[[Path], None]:
    """Other weights; `signed` makes the card vouch for them."""

    def spoil(folder: Path) -> None:
        data = change((folder / "weights.safetensors").read_bytes())
        (folder / "weights.safetensors").write_bytes(data)
        if signed:
            card_says(weights_sha256=sha256(data).hexdigest())(folder)

    return spoil


def last_byte_turned(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 255])


def with_nan(data: bytes) -> bytes:
    from safetensors.torch import load, save

    tensors = load(data)
    tensors["down.0.0.weight"] *= float("nan")
    return save(tensors)


def of_a_wider_network(data: bytes) -> bytes:
    from safetensors.torch import save

    settings = UNetSettings(bands=len(BANDS), periods=3, widths=(8, 16, 24, 40))
    return save({name: value.contiguous() for name, value in UNet(settings).state_dict().items()})


TULIPS = {str(number): ["tulips", *ten_crops().names[1:]][number] for number in range(11)}


def refused_before_a_map_is_begun(path: Path, *words: str) -> None:
    furrow("map", path).refuses(*words)
    nothing_begun(path.parent / "root", "map.zarr", "ledger/map.zarr")


def test_checkpoint_of_other_bands(with_checkpoint) -> None:
    refused_before_a_map_is_begun(
        with_checkpoint(bands=BANDS[:9]), "checkpoint season", "B11, and the cube has", "Ingest"
    )


def test_checkpoint_of_another_number_of_periods(with_checkpoint) -> None:
    path = with_checkpoint(periods=(("2021-03-01", "2021-06-01"), ("2021-06-01", "2021-11-01")))
    refused_before_a_map_is_begun(path, "checkpoint season", "2 periods, and the cube has 3", "season and periods")


def test_checkpoint_of_another_season(with_checkpoint) -> None:
    months = ("2021-01-01", "2021-02-01"), ("2021-02-01", "2021-03-01"), ("2021-03-01", "2021-04-01")
    refused_before_a_map_is_begun(with_checkpoint(periods=months), "checkpoint season", "2021-01-01 to 2021-02-01")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (half("card.json"), ["card.json", "not whole JSON", "Copy the checkpoint again"]),
        (lambda folder: (folder / "card.json").write_bytes(b"\xff\xfe\x00"), ["card.json", "not whole JSON"]),
        (lambda folder: (folder / "card.json").write_text("[" * 100_000), ["card.json", "not whole JSON"]),
        (lambda folder: ((folder / "card.json").unlink(), (folder / "card.json").mkdir()), ["card.json", "directory"]),
        (card_says(normalisation=3), ["card.json", "wrong type"]),
        (card_says(settings=4), ["settings", "wrong type"]),
        (card_says(settings={"widths": [10**9] * 4}), ["widths", "channels"]),
        (card_says(classes=TULIPS), ["checkpoint season", "tulips", "background"]),
        (half("weights.safetensors"), ["safetensors", "cut short or damaged"]),
        (weights(last_byte_turned, signed=False), ["weights.safetensors", "not the weights"]),
        (weights(with_nan), ["down.0.0.weight", "NaN"]),
        (weights(lambda data: b"\x80\x04}\x94."), ["safetensors", "cut short or damaged"]),
        (weights(of_a_wider_network), ["checkpoint season", "not those of its settings"]),
    ],
    ids=["cut-card", "junk-card", "deep-card", "folder-card", "card-type", "settings-type", "giant", "other-classes",
         "cut-weights", "tampered", "nan", "pickle", "other-network"],
)  # fmt: skip
def test_checkpoint_that_is_damaged_or_tampered_with(with_checkpoint, spoil, words) -> None:
    refused_before_a_map_is_begun(with_checkpoint(spoil), *words)


def test_no_checkpoint(with_checkpoint) -> None:
    path = with_checkpoint(shutil.rmtree)
    refused_before_a_map_is_begun(path, "checkpoints/season", "is not there", "furrow train")


def test_a_cluster_that_is_not_there(with_checkpoint, tmp_path) -> None:
    path = with_checkpoint()
    path.write_text(path.read_text().replace("workers = 2", 'workers = 2\naddress = "127.0.0.1:9"'))
    said = furrow("map", path)
    assert said.status == 2 and "no Ray cluster answered at '127.0.0.1:9'" in said.text, said.text
    assert "Traceback" not in said.text and "Check that it runs" in said.text
    nothing_begun(tmp_path / "root")


# stores


def test_a_store_that_was_planned_differently(cubed, tmp_path) -> None:
    shutil.copytree(cubed / "root", tmp_path / "root")
    text = (cubed / "project.toml").read_text().replace(str(cubed / "root"), str(tmp_path / "root"))
    (tmp_path / "project.toml").write_text(text.replace("tile = 384", "tile = 256"))
    before = (tmp_path / "root/cube.zarr/zarr.json").read_bytes()
    furrow("ingest", tmp_path / "project.toml").refuses(
        "cube.zarr", "planned differently", "tile", "another [store] root"
    )
    assert (tmp_path / "root/cube.zarr/zarr.json").read_bytes() == before


def test_an_older_scene_list_is_not_mixed_with_another_season(cubed, tmp_path) -> None:
    shutil.copytree(cubed / "root", tmp_path / "root")
    text = (cubed / "project.toml").read_text().replace(str(cubed / "root"), str(tmp_path / "root"))
    (tmp_path / "project.toml").write_text(text.replace("2021-10-31", "2021-09-30"))
    furrow("ingest", tmp_path / "project.toml").refuses("scenes.json", "another region, season or imagery", "anew")


def test_a_verb_before_its_time(project_file, tmp_path) -> None:
    for verb, wants in (("patch", "ingest"), ("train", "patch"), ("map", "train"), ("publish", "map")):
        furrow(verb, project_file()).refuses("furrow " + wants)
    nothing_made(tmp_path / "root")


def test_a_refusal_leaves_no_store_behind_when_called_as_a_function(cubed, with_checkpoint) -> None:
    from pipelines.map import make_map

    plan = make_plan(load_project(with_checkpoint(card_says(classes=TULIPS))))
    with pytest.raises(BadInput, match="tulips"):
        make_map(plan, LineProgress(sys.stderr))
    assert Store(plan.root, "map.zarr").description() is None
