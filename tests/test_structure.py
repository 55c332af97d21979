"""Networks that learn a structure of the ground beside classes, and that begin with official weights."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from made_training import CLASSES, PERIODS, SIZE, recipe_of, write_patches
from rasterio.transform import from_origin
from safetensors.torch import load, save_file

from catalogs.bands import BANDS
from catalogs.elevation import Square, digest_of, read_elevation
from catalogs.errors import BadInput
from catalogs.root import Root
from cluster.training import alone
from models.batch_loss import LossSettings
from models.depthcropseg import DepthCropSegSettings
from models.depthseg import DepthSegSettings
from models.encoder import Encoder
from models.encoder_sizes import SIZES
from models.errors import Misfit
from models.structure_loss import PromptedLoss, structure_loss
from models.structure_targets import seasonal_amplitude
from pipelines.learner import first_network
from pipelines.pretrained import read_pretrained
from pipelines.recipe import Recipe, Structure
from pipelines.structure import OfElevation, make_targets
from pipelines.training_batches import Raw, varied
from pipelines.training_loop import train

AMPLITUDE = Structure("amplitude")
SMALL = {"bands": len(BANDS), "periods": PERIODS, "classes": CLASSES, "size": "tiny", "token": 4}


@pytest.fixture(scope="module")
def patches(tmp_path_factory: pytest.TempPathFactory) -> Root:
    return write_patches(Root(str(tmp_path_factory.mktemp("patches"))))


def depth_recipe(root: Root, architecture: str = "depthseg", **training: object) -> Recipe:
    settings = {"depthseg": DepthSegSettings, "depthcropseg": DepthCropSegSettings}[architecture](**SMALL)
    recipe = recipe_of(root, **{"epochs": 1, "learning_rate": 0.001} | training)
    card = replace(recipe.card, architecture=architecture, settings=settings.as_dict())
    return replace(recipe, card=card, structure=AMPLITUDE if architecture == "depthseg" else None)


def trained(recipe: Recipe, root: Path) -> dict[str, torch.Tensor]:
    (root / "patches.zarr").symlink_to(Path(recipe.root.url) / "patches.zarr")
    recipe = replace(recipe, root=Root(str(root)))
    train(recipe, alone())
    return load(recipe.root.read(f"{recipe.folder}/weights.safetensors"))


def test_amplitude_is_made_of_each_patch_and_turned_with_it(patches: Root) -> None:
    recipe = depth_recipe(patches)
    rng = np.random.default_rng(0)
    pictures = rng.integers(1, 5000, (6, PERIODS, len(BANDS), SIZE, SIZE)).astype(np.uint16)
    truths = (pictures[:, 0, 0] % CLASSES).astype(np.uint8)
    batch = varied(recipe, Raw(list(range(6)), pictures, truths), 0, make_targets(recipe, torch.device("cpu")))
    assert batch.target_B1YX is not None
    for place in range(6):
        expected = {
            seasonal_amplitude(turned).tobytes(): (turned[0, 0] % CLASSES).astype(np.uint8).tobytes()
            for mirrored in (pictures[place], pictures[place][..., ::-1])
            for turned in (np.rot90(mirrored, quarter, axes=(-2, -1)) for quarter in range(4))
        }
        target, truth = batch.target_B1YX[place, 0].numpy(), batch.truth_BYX[place].numpy()
        assert expected[target.tobytes()] == truth.tobytes(), "the target is turned otherwise than the truth"


def test_what_is_learned_as_structure_changes_the_network(patches: Root, tmp_path: Path) -> None:
    write_dem(tmp_path / "dem.tif")
    for name in ("amplitude", "slope"):
        (tmp_path / name).mkdir()
    recipe = depth_recipe(patches)
    known = trained(recipe, tmp_path / "amplitude")
    ground = replace(recipe, structure=Structure("slope", elevation=str(tmp_path / "dem.tif")))
    put_on_the_ground(Root(str(tmp_path / "slope")), patches)
    other = trained(ground, tmp_path / "slope")
    assert any(not torch.equal(known[name], other[name]) for name in known if "depth" in name)
    frozen = [name for name in known if name.startswith("encoder.")]
    assert frozen and all(torch.equal(known[name], other[name]) for name in frozen), "a frozen encoder learned"


def put_on_the_ground(root: Root, patches: Root) -> None:
    """An index that says where each patch lies: side by side, from (400000, 5000000) to the east."""
    import geopandas as gpd
    from shapely import box

    side = SIZE * 10
    squares = [box(400_000 + i * side, 5_000_000 - side, 400_000 + (i + 1) * side, 5_000_000) for i in range(40)]
    frame = gpd.GeoDataFrame({"size": [SIZE] * 40}, geometry=squares, crs=32633)
    frame.to_parquet(Path(root.url) / "patches.parquet")


def write_dem(path: Path, crs: int = 32633, west: float = 399_000, north: float = 5_001_000) -> np.ndarray:
    """A slope of 1 m for each 10 m to the east and hills upon it, in cells of 10 m."""
    y, x = np.mgrid[0:300, 0:1600]
    metres = (x + 20 * np.sin(x / 9.0) * np.cos(y / 7.0)).astype(np.float32)
    with rasterio.open(path, "w", driver="GTiff", width=1600, height=300, count=1, dtype="float32", crs=crs,
                       transform=from_origin(west, north, 10, 10), nodata=-9999) as file:  # fmt: skip
        file.write(metres, 1)
    return metres


def test_elevation_is_read_where_the_ground_lies(tmp_path: Path) -> None:
    metres = write_dem(tmp_path / "dem.tif")
    inside = Square("EPSG:32633", (400_000, 4_999_680, 400_320, 5_000_000), SIZE)
    outside = Square("EPSG:32633", (300_000, 4_999_680, 300_320, 5_000_000), SIZE)
    found, nothing = read_elevation(str(tmp_path / "dem.tif"), [inside, outside])
    assert np.array_equal(found, metres[100:132, 100:132])
    assert np.isnan(nothing).all()
    make = OfElevation("height", str(tmp_path / "dem.tif"), [[inside]])
    assert np.array_equal(make([0], np.zeros((1, 1, 1, SIZE, SIZE), np.uint16))[0], found)


def test_elevation_in_another_coordinate_system_agrees_within_a_metre(tmp_path: Path) -> None:
    """The same hill in degrees: warped twice, it still lies where it lay."""
    from rasterio.warp import calculate_default_transform, reproject

    metres = write_dem(tmp_path / "utm.tif")
    with rasterio.open(tmp_path / "utm.tif") as source:
        transform, width, height = calculate_default_transform(source.crs, 4326, 1600, 300, *source.bounds)
        degrees = np.full((height, width), -9999, np.float32)
        reproject(rasterio.band(source, 1), degrees, dst_crs="EPSG:4326", dst_transform=transform, dst_nodata=-9999)
    with rasterio.open(tmp_path / "degrees.tif", "w", driver="GTiff", width=width, height=height, count=1,
                       dtype="float32", crs="EPSG:4326", transform=transform, nodata=-9999) as file:  # fmt: skip
        file.write(degrees, 1)
    square = Square("EPSG:32633", (402_000, 4_999_360, 402_320, 4_999_680), SIZE)
    (found,) = read_elevation(str(tmp_path / "degrees.tif"), [square])
    assert np.abs(found - metres[132:164, 300:332]).max() < 2.5  # nearest cells of 10 m on a slope of up to 3 in 10
    assert np.abs((found - metres[132:164, 300:332]).mean()) < 1


@pytest.mark.parametrize("content", [b"", b"not a raster"])
def test_what_is_no_elevation_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "dem.tif").write_bytes(content)
    with pytest.raises(BadInput, match="cannot be read"):
        digest_of(str(tmp_path / "dem.tif"))


def test_elevation_must_lie_somewhere(tmp_path: Path) -> None:
    with rasterio.open(tmp_path / "dem.tif", "w", driver="GTiff", width=4, height=4, count=1, dtype="float32") as file:
        file.write(np.zeros((4, 4), np.float32), 1)
    with pytest.raises(BadInput, match="no CRS"):
        digest_of(str(tmp_path / "dem.tif"))


@pytest.mark.parametrize(("architecture", "where"), [("depthseg", "encoder."), ("depthcropseg", "pyramid.encoder.")])
def test_a_network_begins_with_official_weights(patches: Root, tmp_path: Path, architecture: str, where: str) -> None:
    torch.manual_seed(77)
    official = {name.removeprefix("backbone."): value for name, value in Encoder(SIZES["tiny"]).state_dict().items()}
    save_file(official, tmp_path / "model.safetensors")
    recipe = depth_recipe(patches, architecture)
    weights = read_pretrained(str(tmp_path / "model.safetensors"))
    begun = first_network(replace(recipe, encoder=weights.file)).state_dict()
    given = {
        name.removeprefix(where).removeprefix("backbone."): begun[name] for name in begun if name.startswith(where)
    }
    assert given.keys() == official.keys() and all(torch.equal(given[name], official[name]) for name in given)
    by_chance = first_network(recipe).state_dict()
    assert any(not torch.equal(by_chance[name], begun[name]) for name in begun if name.startswith(where))
    (tmp_path / "model.safetensors").write_bytes((tmp_path / "model.safetensors").read_bytes()[:-4] + b"abcd")
    with pytest.raises(BadInput, match="another file"):
        first_network(replace(recipe, encoder=weights.file))


def test_the_loss_of_a_step_is_that_of_its_parts(patches: Root) -> None:
    """Sums of two halves, added, give the loss of the whole; ground without a target counts for nothing."""
    random = torch.Generator().manual_seed(0)
    logits, structure = torch.randn(4, 3, 24, 24, generator=random), torch.rand(4, 1, 24, 24, generator=random)
    truth, target = torch.randint(0, 3, (4, 24, 24), generator=random), torch.rand(4, 1, 24, 24, generator=random)
    target[1] = torch.nan
    shown = (torch.empty(0), torch.empty(0), torch.empty(0))
    loss = PromptedLoss(LossSettings(dice_weight=0.0), torch.ones(3))
    halves = [loss.sums((logits[h], structure[h]), truth[h], shown, target[h]) for h in (slice(0, 2), slice(2, 4))]
    whole = loss.of(loss.sums((logits, structure), truth, shown, target))
    assert torch.allclose(loss.of(halves[0] + halves[1]), whole)
    expected = torch.nn.functional.cross_entropy(logits, truth) + structure_loss(structure, target)
    assert torch.allclose(whole, expected, atol=1e-6)
    with pytest.raises(Misfit, match="without a target"):
        loss.sums((logits, structure), truth, shown)


def test_patches_without_any_target_still_teach_classes(patches: Root) -> None:
    structure = torch.rand(2, 1, 24, 24, requires_grad=True)
    nothing = structure_loss(structure, torch.full((2, 1, 24, 24), torch.nan))
    nothing.backward()
    assert nothing.item() == 0 and structure.grad is not None and not structure.grad.any()
