"""What a VistaFormer is made of: gated embeddings, blocks that mix space and time, and the collapse of time."""

import torch
from torch import Tensor, nn

from models.steady import Convolution, Gelu, sigmoid
from models.transformer import Attention
from models.vista_settings import VistaSettings

EXPANSION = 4


class Embedding(nn.Module):
    """Squares of 2x2 pixels, of one or two periods, become one; a gate made of the same says how much of it passes."""

    def __init__(self, inputs: int, outputs: int, periods: int, first: bool) -> None:
        super().__init__()
        self.periods = periods
        self.values = nn.Conv2d(periods * inputs, outputs, 2, stride=2)
        self.gates = nn.Conv2d(periods * inputs, outputs, 2, stride=2)
        self.norm = nn.BatchNorm2d(outputs) if first else nn.Identity()

    def forward(self, x_BTCYX: Tensor, share_BTYX: Tensor | None) -> Tensor:
        if self.periods == 2 and x_BTCYX.shape[1] % 2:
            x_BTCYX = torch.cat([x_BTCYX, torch.zeros_like(x_BTCYX[:, :1])], dim=1)
        x = torch.unflatten(x_BTCYX, 1, (-1, self.periods)).flatten(2, 3)
        frames = x.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        gates = sigmoid(self.gates(frames))
        if share_BTYX is not None:
            gates = gates * share_BTYX.flatten(0, 1)[:, None]
        return torch.unflatten(self.norm(self.values(frames) * gates), 0, x.shape[:2])


class Stage(nn.Module):
    """Blocks at one resolution, and a norm behind the last."""

    def __init__(self, settings: VistaSettings, stage: int) -> None:
        super().__init__()
        width = settings.widths[stage]
        self.blocks = nn.ModuleList(Block(settings, stage) for _ in range(settings.depth))
        self.norm = nn.LayerNorm(width) if settings.mixing == "attention" else nn.BatchNorm2d(width)

    def forward(self, x_BTCYX: Tensor) -> Tensor:
        for block in self.blocks:
            x_BTCYX = block(x_BTCYX)
        return _normalised(self.norm, x_BTCYX)


class Block(nn.Module):
    """Mixing in space frame by frame, then the small network that mixes in time too, each beside a shortcut."""

    def __init__(self, settings: VistaSettings, stage: int) -> None:
        super().__init__()
        width = settings.widths[stage]
        attends = settings.mixing == "attention"
        self.norms = nn.ModuleList(nn.LayerNorm(width) if attends else nn.BatchNorm2d(width) for _ in range(2))
        self.mix = (
            FrameAttention(width, settings.heads[stage], settings.dropout)
            if attends
            else FrameConvolution(width, settings.kernel)
        )
        self.network = Network3x3x3(width, Gelu() if attends else nn.ReLU(), settings.dropout)
        self.drop_path = settings.drop_path

    def forward(self, x_BTCYX: Tensor) -> Tensor:
        x_BTCYX = x_BTCYX + self._kept(self.mix(_normalised(self.norms[0], x_BTCYX)))
        return x_BTCYX + self._kept(self.network(_normalised(self.norms[1], x_BTCYX)))

    def _kept(self, branch: Tensor) -> Tensor:
        """Stochastic depth (arXiv 1603.09382) on the branch: in training some patches do without it."""
        if not self.training or not self.drop_path:
            return branch
        kept = torch.rand(len(branch), 1, 1, 1, 1, device=branch.device) >= self.drop_path
        return branch * kept / (1 - self.drop_path)


class FrameAttention(Attention):
    """All pixels of a frame ask each other."""

    def forward(self, x_BTCYX: Tensor, counts_NL: Tensor | None = None) -> Tensor:
        frames_NLC = x_BTCYX.flatten(0, 1).flatten(2).transpose(1, 2)
        mixed = super().forward(frames_NLC).transpose(1, 2)
        return mixed.reshape(x_BTCYX.shape)


class FrameConvolution(nn.Module):
    """Each channel on its own looks around, then the channels of each pixel mix."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.around, self.across = Convolution(width, width, kernel, groups=width), Convolution(width, width, 1)

    def forward(self, x_BTCYX: Tensor) -> Tensor:
        return torch.unflatten(self.across(self.around(_frames(x_BTCYX))), 0, x_BTCYX.shape[:2])


class Network3x3x3(nn.Module):
    """Wider, then each channel looks 3x3x3 periods and pixels around, then as before."""

    def __init__(self, width: int, activation: nn.Module, dropout: float) -> None:
        super().__init__()
        self.widen, self.narrow = Convolution(width, EXPANSION * width, 1), Convolution(EXPANSION * width, width, 1)
        self.around = DepthwiseInTime(EXPANSION * width)
        self.activation, self.dropout = activation, nn.Dropout(dropout)

    def forward(self, x_BTCYX: Tensor) -> Tensor:
        wide = self.around(torch.unflatten(self.widen(_frames(x_BTCYX)), 0, x_BTCYX.shape[:2]))
        narrow = self.dropout(self.narrow(self.dropout(self.activation(_frames(wide)))))
        return torch.unflatten(narrow, 0, x_BTCYX.shape[:2])


class DepthwiseInTime(nn.Module):
    """A depth-wise 3x3x3 convolution as three of 3x3: PyTorch has quick ones on a CPU for maps only."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.before, self.same, self.after = (
            Convolution(width, width, 3, groups=width, bias=bias) for bias in (False, True, False)
        )

    def forward(self, x_BTCYX: Tensor) -> Tensor:
        frames = _frames(x_BTCYX)
        before, looked, after = (
            torch.unflatten(look(frames), 0, x_BTCYX.shape[:2]) for look in (self.before, self.same, self.after)
        )
        looked[:, 1:] += before[:, :-1]
        looked[:, :-1] += after[:, 1:]
        return looked


class Collapse(nn.Module):
    """All periods of a stage become one map: a weight for each period and channel."""

    def __init__(self, inputs: int, outputs: int, periods: int) -> None:
        super().__init__()
        self.periods = Convolution(periods * inputs, outputs, 1)

    def forward(self, x_BTCYX: Tensor) -> Tensor:
        collapsed: Tensor = self.periods(x_BTCYX.flatten(1, 2).contiguous(memory_format=torch.channels_last))
        return collapsed


def _frames(x_BTCYX: Tensor) -> Tensor:
    return x_BTCYX.flatten(0, 1).contiguous(memory_format=torch.channels_last)


def _normalised(norm: nn.Module, x_BTCYX: Tensor) -> Tensor:
    """LayerNorm looks at the channels of one pixel; BatchNorm is fixed at inference."""
    frames = _frames(x_BTCYX)
    by_pixel = isinstance(norm, nn.LayerNorm)
    frames = norm(frames.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) if by_pixel else norm(frames)
    return torch.unflatten(frames, 0, x_BTCYX.shape[:2])
