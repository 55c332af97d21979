"""Presto as its authors name and compute it: names and shapes of all weights, one pixel's features in plain steps."""

from math import cos, pi, radians, sin

import torch
from torch import Tensor

SENSORS = {
    "S1": 2, "S2_RGB": 3, "S2_Red_Edge": 3, "S2_NIR_10m": 1, "S2_NIR_20m": 1, "S2_SWIR": 2,
    "ERA5": 2, "SRTM": 2, "NDVI": 1,
}  # fmt: skip
"""The groups in the order of their channel codes, and how many channels each has."""

DYNAMIC_WORLD = 9

BANDS = {
    "S2_RGB": ("B02", "B03", "B04"),
    "S2_Red_Edge": ("B05", "B06", "B07"),
    "S2_NIR_10m": ("B08",),
    "S2_NIR_20m": ("B8A",),
    "S2_SWIR": ("B11", "B12"),
    "NDVI": ("NDVI",),
}


def official_state(
    width: int = 128, depth: int = 2, expansion: int = 4, steps: int = 24, prefix: str = "encoder.", seed: int = 5
) -> dict[str, Tensor]:
    """The encoder, with weights of chance and the tables that are not learned."""
    shapes = {f"eo_patch_embed.{name}": (width, count) for name, count in SENSORS.items()}
    shapes |= {"latlon_embed": (width, 3), "norm": (width,)}
    for block in range(depth):
        shapes |= block_shapes(f"blocks.{block}", width, expansion)
    tables = {"dw_embed.weight": (DYNAMIC_WORLD + 1, width), "channel_embed.weight": (len(SENSORS) + 1, width // 4)}
    state = of_chance(weights_and_biases(shapes) | tables, seed)
    state |= {"month_embed.weight": month_table(width // 4), "pos_embed": position_table(steps, width // 2)[None]}
    return {prefix + name: value for name, value in state.items()}


def official_decoder(channel_codes: Tensor, width: int = 128, depth: int = 2, steps: int = 24) -> dict[str, Tensor]:
    """Of the same width; what the codes of channels leave of it is shared by months and positions."""
    shapes = {"decoder_embed": (width, width), "decoder_norm": (width,), "dw_decoder_pred": (DYNAMIC_WORLD, width)}
    shapes |= {f"eo_decoder_pred.{name}": (count, width) for name, count in SENSORS.items()}
    for block in range(depth):
        shapes |= block_shapes(f"decoder_blocks.{block}", width, 4)
    half = (width - channel_codes.shape[1]) // 2
    state = of_chance(weights_and_biases(shapes) | {"mask_token": (width,)}, 6)
    state |= {"month_embed.weight": month_table(half), "pos_embed": position_table(steps, half)[None]}
    state |= {"channel_embeddings.weight": channel_codes}
    return {f"decoder.{name}": value for name, value in state.items()}


def block_shapes(name: str, width: int, expansion: int) -> dict[str, tuple[int, ...]]:
    return {
        f"{name}.norm1": (width,),
        f"{name}.attn.qkv": (3 * width, width),
        f"{name}.attn.proj": (width, width),
        f"{name}.norm2": (width,),
        f"{name}.mlp.fc1": (expansion * width, width),
        f"{name}.mlp.fc2": (width, expansion * width),
    }


def weights_and_biases(shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    weights = {f"{name}.weight": shape for name, shape in shapes.items()}
    return weights | {f"{name}.bias": shape[:1] for name, shape in shapes.items()}


def of_chance(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=random) / shape[-1] ** 0.5 for name, shape in shapes.items()}


def month_table(width: int) -> Tensor:
    waves = [[wave(2 * pi * month / 12) for wave in (sin, cos)] for month in range(12)]
    return torch.tensor(waves).repeat_interleave(width // 2, dim=1)


def position_table(steps: int, width: int) -> Tensor:
    def code(step: int, place: int) -> float:
        angle = step / 1000 ** (2 * (place // 2) / width)
        return cos(angle) if place % 2 else sin(angle)

    return torch.tensor([[code(step, place) for place in range(width)] for step in range(steps)])


def published_features(
    state: dict[str, Tensor],
    reflectance_T: list[dict[str, float]],
    months: list[int],
    seen: list[bool],
    heads: int,
    location: tuple[float, float] | None,
) -> Tensor:
    """Of one pixel, in double precision. Only what was seen becomes a token at all."""
    weights = {name.removeprefix("encoder."): value.double() for name, value in state.items()}
    tokens = [] if location is None else [linear(weights, "latlon_embed", torch.tensor(sphere(*location)).double())]
    for row, group in enumerate(SENSORS):
        for step, bands in enumerate(reflectance_T):
            if seen[step] and group in BANDS:
                tokens.append(token(weights, group, row, step, months[step], with_ndvi(bands)))
    x_LD = torch.stack(tokens)
    for block in range(len({name.split(".")[1] for name in weights if name.startswith("blocks.")})):
        x_LD = x_LD + attention(weights, f"blocks.{block}.attn", norm(weights, f"blocks.{block}.norm1", x_LD), heads)
        inner = linear(weights, f"blocks.{block}.mlp.fc1", norm(weights, f"blocks.{block}.norm2", x_LD))
        x_LD = x_LD + linear(weights, f"blocks.{block}.mlp.fc2", inner * (1 + torch.erf(inner / 2**0.5)) / 2)
    return norm(weights, "norm", x_LD.mean(dim=0))


def sphere(latitude: float, longitude: float) -> tuple[float, float, float]:
    north, east = radians(latitude), radians(longitude)
    return cos(north) * cos(east), cos(north) * sin(east), sin(north)


def with_ndvi(bands: dict[str, float]) -> dict[str, float]:
    return bands | {"NDVI": (bands["B08"] - bands["B04"]) / (bands["B08"] + bands["B04"])}


def token(weights: dict[str, Tensor], group: str, row: int, step: int, month: int, bands: dict[str, float]) -> Tensor:
    values = torch.tensor([bands[band] for band in BANDS[group]]).double()
    parts = weights["month_embed.weight"][month], weights["channel_embed.weight"][row], weights["pos_embed"][0, step]
    return linear(weights, f"eo_patch_embed.{group}", values) + torch.cat(parts)


def linear(weights: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def norm(weights: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    spread = (x.var(dim=-1, correction=0, keepdim=True) + 1e-5).sqrt()
    return (x - x.mean(dim=-1, keepdim=True)) / spread * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def attention(weights: dict[str, Tensor], name: str, x_LD: Tensor, heads: int) -> Tensor:
    query, key, value = linear(weights, f"{name}.qkv", x_LD).chunk(3, dim=1)
    answers, share = [], x_LD.shape[1] // heads
    for head in range(heads):
        own = slice(head * share, (head + 1) * share)
        scores = query[:, own] @ key[:, own].T / share**0.5
        answers.append(scores.softmax(dim=1) @ value[:, own])
    return linear(weights, f"{name}.proj", torch.cat(answers, dim=1))
