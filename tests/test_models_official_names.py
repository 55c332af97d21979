"""Official weights: whatever naming they come in, our encoder and decoder answer as the library that made them does."""

import re

import pytest
import torch
from torch import Tensor
from transformers import (
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Backbone,
    Dinov2Config,
    Dinov2ForImageClassification,
)

from models.depth_decoder import DepthDecoder
from models.depth_teacher import IMAGENET_MEAN, IMAGENET_STD, teacher_from
from models.encoder import Encoder
from models.encoder_sizes import NATIVE, PATCH, SIZES
from models.errors import Misfit
from models.official_names import fill_depth, fill_encoder, size_in

TINY = SIZES["tiny"]
State = dict[str, Tensor]


def tiny_config(**also: object) -> Dinov2Config:
    return Dinov2Config(
        hidden_size=TINY.dim,
        num_hidden_layers=TINY.blocks,
        num_attention_heads=TINY.heads,
        mlp_ratio=4,
        image_size=NATIVE * PATCH,
        patch_size=PATCH,
        layer_norm_eps=1e-6,
        out_indices=[tap + 1 for tap in TINY.taps],
        apply_layernorm=True,
        **also,
    )


def unlike_at_the_start(model: torch.nn.Module) -> torch.nn.Module:
    """Each weight its own: what were swapped or left as it was would show."""
    random = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for value in model.parameters():
            value.copy_(0.3 * torch.randn(value.shape, generator=random))
    return model.eval()


@pytest.fixture(scope="module")
def dino() -> Dinov2Backbone:
    return unlike_at_the_start(Dinov2Backbone(tiny_config(reshape_hidden_states=True)))


@pytest.fixture(scope="module")
def depth_anything() -> DepthAnythingForDepthEstimation:
    config = DepthAnythingConfig(
        backbone_config=tiny_config(reshape_hidden_states=False),
        reassemble_hidden_size=TINY.dim,
        neck_hidden_sizes=list(TINY.channels),
        fusion_hidden_size=TINY.features,
        head_hidden_size=32,
        reassemble_factors=[4, 2, 1, 0.5],
        head_in_index=-1,
    )
    return unlike_at_the_start(DepthAnythingForDepthEstimation(config))


def as_published(state: State) -> State:
    """The names of attention in the files of Hugging Face."""
    new = {
        "q_proj": "attention.query",
        "k_proj": "attention.key",
        "v_proj": "attention.value",
        "o_proj": "output.dense",
    }
    return {re.sub(r"(?<=attention\.)(\w_proj)", lambda found: new[found[1]], name): v for name, v in state.items()}


def as_meta(state: State) -> State:
    """Written the other way round than the code under test: from what DINOv2's own source calls its parts."""
    named: State = {}
    for name, value in state.items():
        for theirs, ours in (
            ("embeddings.cls_token", "cls_token"),
            ("embeddings.mask_token", "mask_token"),
            ("embeddings.position_embeddings", "pos_embed"),
            ("embeddings.patch_embeddings.projection", "patch_embed.proj"),
            ("encoder.layer.", "blocks."),
            (".layer_scale1.lambda1", ".ls1.gamma"),
            (".layer_scale2.lambda1", ".ls2.gamma"),
            (".attention.o_proj", ".attn.proj"),
            ("layernorm.", "norm."),
        ):
            name = name.replace(theirs, ours)
        if ".attention." not in name:
            named[name] = value
    for block in range(TINY.blocks):
        for kind in ("weight", "bias"):
            parts = [state[f"encoder.layer.{block}.attention.{letter}_proj.{kind}"] for letter in "qkv"]
            named[f"blocks.{block}.attn.qkv.{kind}"] = torch.cat(parts)
    return named


def as_authors(state: State) -> State:
    """Of Depth Anything V2."""
    encoder = {name.removeprefix("backbone."): v for name, v in state.items() if name.startswith("backbone.")}
    named = {f"pretrained.{name}": value for name, value in as_meta(encoder).items()}
    for name, value in state.items():
        if name.startswith("backbone."):
            continue
        for theirs, ours in (
            (r"neck\.reassemble_stage\.layers\.(\d)\.projection", r"projects.\1"),
            (r"neck\.reassemble_stage\.layers\.(\d)\.resize", r"resize_layers.\1"),
            (r"neck\.convs\.(\d)", lambda found: f"scratch.layer{int(found[1]) + 1}_rn"),
            (r"neck\.fusion_stage\.layers\.(\d)", lambda found: f"scratch.refinenet{4 - int(found[1])}"),
            (r"residual_layer(\d)\.convolution(\d)", r"resConfUnit\1.conv\2"),
            (r"(refinenet\d)\.projection", r"\1.out_conv"),
            (r"head\.conv1", "scratch.output_conv1"),
            (r"head\.conv2", "scratch.output_conv2.0"),
            (r"head\.conv3", "scratch.output_conv2.2"),
        ):
            name = re.sub(theirs, ours, name)
        named[f"depth_head.{name}"] = value
    return named


def same(state: State) -> State:
    return state


@pytest.mark.parametrize("naming", [same, as_published, as_meta])
@pytest.mark.parametrize("side", [(70, 98), (518, 518)])
def test_our_encoder_is_dinov2(dino, naming, side):
    encoder = Encoder(TINY)
    fill_encoder(encoder, naming(dino.state_dict()))
    picture = torch.randn(1, 3, *side, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        for found, expected in zip(encoder(picture), dino(picture).feature_maps, strict=True):
            assert found.shape == (1, TINY.dim, side[0] // 14, side[1] // 14)
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("naming", [same, as_published, as_authors])
@pytest.mark.parametrize("side", [(70, 98), (126, 126)])
def test_our_teacher_is_depth_anything(depth_anything, naming, side):
    teacher = teacher_from(naming(depth_anything.state_dict()))
    colours = torch.rand(2, 3, *side, generator=torch.Generator().manual_seed(2))
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    with torch.inference_mode():
        expected = depth_anything((colours - mean) / std).predicted_depth[:, None]
        found = teacher(colours)
    assert expected.std() > 0
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_an_encoder_may_be_that_of_depth_anything(depth_anything):
    encoder = Encoder(TINY)
    fill_encoder(encoder, as_authors(depth_anything.state_dict()))
    theirs = depth_anything.backbone.encoder.layer[2].mlp.fc1.weight
    assert torch.equal(encoder.state_dict()["backbone.encoder.layer.2.mlp.fc1.weight"], theirs)


NAMINGS = [same, as_published, as_meta]


@pytest.mark.parametrize("naming", NAMINGS)
def test_a_missing_a_foreign_and_a_misshapen_weight_are_refused_by_name(dino, naming):
    whole = naming(dino.state_dict())
    some = next(name for name in whole if name.endswith("2.norm1.weight"))
    with pytest.raises(Misfit, match=r"1 are missing: backbone\.encoder\.layer\.2\.norm1\.weight"):
        fill_encoder(Encoder(TINY), {name: value for name, value in whole.items() if name != some})
    with pytest.raises(Misfit, match=r"layer\.7\.norm1|blocks\.7\.norm1"):
        fill_encoder(Encoder(TINY), whole | {some.replace("2.norm1", "7.norm1"): whole[some]})
    with pytest.raises(Misfit, match=r"register_tokens"):
        fill_encoder(Encoder(TINY), {"pos_embed": torch.zeros(1, 1370, 32), "register_tokens": torch.zeros(1)})
    with pytest.raises(Misfit, match=r"1 have another shape: backbone\.encoder\.layer\.2\.norm1\.weight is \(5,\)"):
        fill_encoder(Encoder(TINY), whole | {some: torch.zeros(5)})


def test_half_a_depth_anything_is_refused(depth_anything):
    whole = as_authors(depth_anything.state_dict())
    without = {name: value for name, value in whole.items() if "refinenet2.out_conv" not in name}
    with pytest.raises(Misfit, match=r"2 are missing: fusions\.1\.out\.bias"):
        fill_depth(Encoder(TINY), DepthDecoder(TINY), without)
    with pytest.raises(Misfit, match=r"weights depth_head\.scratch\.other: .*no such part"):
        fill_depth(Encoder(TINY), DepthDecoder(TINY), whole | {"depth_head.scratch.other": torch.zeros(1)})


def test_what_is_neither_is_refused(dino):
    with pytest.raises(Misfit, match=r"weights of conv1\.weight .."):
        size_in({"conv1.weight": torch.zeros(1)})
    with pytest.raises(Misfit, match="no depth"):
        teacher_from(dino.state_dict())
    with pytest.raises(Misfit, match="width 48"):
        size_in({"pos_embed": torch.zeros(1, 1370, 48)})
    classifier = Dinov2ForImageClassification(tiny_config())
    with pytest.raises(Misfit):
        fill_encoder(Encoder(TINY), classifier.state_dict())


def test_the_size_is_read_off_the_weights(dino):
    assert size_in(dino.state_dict()) == "tiny"
    assert [size_in({"pos_embed": torch.zeros(1, 1370, size.dim)}) for size in SIZES.values()] == list(SIZES)


# What checkpoints call the encoder's parts: a library that renames them must not make old checkpoints unreadable.
@pytest.mark.parametrize("part", ["embeddings.cls_token", "encoder.layer.3.attention.o_proj.bias", "layernorm.weight"])
def test_the_names_in_checkpoints_stay(part):
    assert f"backbone.{part}" in Encoder(TINY).state_dict()
