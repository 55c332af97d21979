"""Files of Presto by their names: taken whole, cut to what is used, and refused where anything is odd."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from published_presto import official_decoder, official_state
from safetensors.torch import save_file
from torch import Tensor

from catalogs.errors import BadInput
from models.errors import Misfit
from models.presto_encoder import PrestoEncoder
from models.presto_names import fill_presto
from models.presto_settings import PrestoSettings
from pipelines.pretrained import give_encoder, read_pretrained

TINY = PrestoSettings(periods=5, classes=3, width=16, heads=8, expansion=2)
HERE = replace(TINY, location=(48.2, 16.4))


def tiny(prefix: str = "encoder.") -> dict[str, Tensor]:
    return official_state(16, 2, 2, prefix=prefix)


def numbers(state: dict[str, Tensor]) -> int:
    """What two names share is counted once."""
    return sum(value.numel() for value in {id(value): value for value in state.values()}.values())


def test_our_list_of_names_has_the_public_counts() -> None:
    """822,682 of the published file; 407,232 of WorldCereal's encoder, whose table has 72 steps of 64 numbers, not 24;
    404,289 of an encoder with a head of one class. All have the tables among them that are not learned."""
    encoder = official_state()
    decoder = official_decoder(encoder["encoder.channel_embed.weight"])
    assert numbers(encoder | decoder) == 822_682
    assert numbers(official_state(steps=72)) == 407_232
    assert numbers(encoder) + 128 + 1 == 404_289


@pytest.mark.parametrize("settings", [PrestoSettings(periods=12), PrestoSettings(periods=24, location=(48.2, 16.4))])
def test_the_published_sizes_fit(settings: PrestoSettings) -> None:
    encoder, official = PrestoEncoder(settings), official_state()
    fill_presto(encoder, official | official_decoder(official["encoder.channel_embed.weight"]))
    assert torch.equal(encoder.inward["swir"].weight, official["encoder.eo_patch_embed.S2_SWIR.weight"])
    assert torch.equal(encoder.channels[5], official["encoder.channel_embed.weight"][8])
    assert torch.equal(encoder.positions, official["encoder.pos_embed"][0, : settings.periods])


@pytest.mark.parametrize("prefix", ["encoder.", ""])
@pytest.mark.parametrize("settings", [TINY, HERE])
def test_every_weight_of_ours_comes_from_the_file(settings: PrestoSettings, prefix: str) -> None:
    encoder = PrestoEncoder(settings)
    with torch.no_grad():
        for value in encoder.state_dict().values():
            value.fill_(float("nan"))
    head = {"head.linear.weight": torch.zeros(1, 16), "head.linear.bias": torch.zeros(1)}
    fill_presto(encoder, tiny(prefix) | head)
    assert all(value.isfinite().all() for value in encoder.state_dict().values())


@pytest.mark.parametrize("name", ["blocks.1.attn.qkv.bias", "eo_patch_embed.NDVI.weight", "pos_embed", "norm.weight"])
def test_what_is_missing_is_named(name: str) -> None:
    state = tiny()
    del state[f"encoder.{name}"]
    with pytest.raises(Misfit, match=r"1 are missing"):
        fill_presto(PrestoEncoder(TINY), state)


def test_a_missing_location_matters_where_it_is_used() -> None:
    state = {name: value for name, value in tiny().items() if "latlon" not in name}
    fill_presto(PrestoEncoder(TINY), state)
    with pytest.raises(Misfit, match=r"2 are missing: location\.bias, location\.weight"):
        fill_presto(PrestoEncoder(HERE), state)


@pytest.mark.parametrize(
    "name",
    [
        "encoder.blocks.0.ls1.gamma",
        "encoder.eo_patch_embed.S3.weight",
        "decoder.other",
        "blocks.0.norm1.weight",
        "fc.bias",
    ],
)
def test_what_is_unknown_is_named(name: str) -> None:
    with pytest.raises(Misfit, match=rf"weights {name}: the network has no such part"):
        fill_presto(PrestoEncoder(TINY), tiny() | {name: torch.zeros(16)})


def test_a_block_too_many_and_too_few_are_refused() -> None:
    with pytest.raises(Misfit, match="have no place: layers.2"):
        fill_presto(PrestoEncoder(TINY), official_state(16, 3, 2))
    with pytest.raises(Misfit, match="are missing: layers.1"):
        fill_presto(PrestoEncoder(TINY), official_state(16, 1, 2))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (replace(TINY, width=32), r"channels of \(10, 4\): they must be \(10, 8\)"),
        (replace(TINY, expansion=4), "have another shape: layers.0.network.0.bias"),
        (replace(TINY, heads=4), "trained with 8 heads"),
        (replace(TINY, periods=25), "25 periods: these weights of Presto were made for 24 at most"),
    ],
)
def test_weights_for_other_settings_are_refused(settings: PrestoSettings, words: str) -> None:
    with pytest.raises(Misfit, match=words) as caught:
        fill_presto(PrestoEncoder(settings), tiny())
    assert caught.value.remedy


def test_a_file_is_given_by_the_adapter_of_its_encoder(tmp_path: Path) -> None:
    where = str(tmp_path / "presto.safetensors")
    save_file(tiny(), where)
    encoder = PrestoEncoder(TINY)
    give_encoder(encoder, read_pretrained(where))
    assert torch.equal(encoder.norm.weight, tiny()["encoder.norm.weight"])
    save_file({"pos_embed": torch.zeros(1, 1370, 384), "cls_token": torch.zeros(1, 1, 384)}, where)
    with pytest.raises(BadInput, match=r"do not fit: weights of cls_token.*none of Presto of its authors"):
        give_encoder(encoder, read_pretrained(where))
