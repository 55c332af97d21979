"""Transformer layers as in ViT: normalised first, attention and then a small network, each beside a shortcut."""

import torch
from torch import Tensor, nn

from models.steady import Gelu

# Axis legend: N sequence, L token, C channel, H head.


class Attention(nn.Module):
    """Every token asks all tokens that count."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0, bias: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.ask = nn.Linear(width, 3 * width, bias=bias)
        self.outward = nn.Sequential(nn.Linear(width, width), nn.Dropout(dropout))

    def forward(self, x_NLC: Tensor, counts_NL: Tensor | None = None) -> Tensor:
        query, key, value = torch.unflatten(self.ask(x_NLC), -1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mask = None if counts_NL is None else counts_NL[:, None, None, :]
        answer = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        mixed: Tensor = self.outward(answer.transpose(1, 2).flatten(2))
        return mixed


class Layer(nn.Module):
    """Attention, then the small network on each token. `bias` is that of queries, keys and values."""

    def __init__(self, width: int, heads: int, dropout: float, expansion: int = 4, bias: bool = False) -> None:
        super().__init__()
        self.before_attention, self.before_network = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, dropout, bias)
        self.network = nn.Sequential(
            nn.Linear(width, expansion * width),
            Gelu(),
            nn.Dropout(dropout),
            nn.Linear(expansion * width, width),
            nn.Dropout(dropout),
        )

    def forward(self, x_NLC: Tensor, counts_NL: Tensor | None = None) -> Tensor:
        x_NLC = x_NLC + self.attention(self.before_attention(x_NLC), counts_NL)
        return x_NLC + self.network(self.before_network(x_NLC))  # type: ignore[no-any-return]


class Transformer(nn.Module):
    """Layers, and a norm behind the last."""

    def __init__(self, width: int, heads: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(width, heads, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, x_NLC: Tensor, counts_NL: Tensor | None = None) -> Tensor:
        for layer in self.layers:
            x_NLC = layer(x_NLC, counts_NL)
        normalised: Tensor = self.norm(x_NLC)
        return normalised
