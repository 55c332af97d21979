"""The shape of a VistaFormer, and how far it sees."""

from dataclasses import dataclass

from models.errors import Misfit
from models.network import NetworkSettings
from models.reach import Span, before_convolution, before_halving, before_magnifying, radius_of, union

MIXINGS = ("attention", "convolution")
STAGES = 3
STRIDE = 1 << STAGES


@dataclass(frozen=True)
class VistaSettings(NetworkSettings):
    """Three stages, each at half the resolution of the one before; the second and third halve the periods too.

    `mixing="attention"` is the published one: all pixels of a frame ask each other. So that a map is seamless and its
    cost stays linear, a window is then cut into squares of `crop` pixels. "convolution" mixes by depth-wise
    convolutions of `kernel` pixels instead, with norms that are fixed at inference: faster, and windows stay whole.
    `mask` closes the gates where nothing was seen; published are open ones.
    """

    kind = "VistaFormer"

    widths: tuple[int, ...] = (32, 64, 128)
    depth: int = 2
    mixing: str = "convolution"
    crop: int = 32
    heads: tuple[int, ...] = (2, 4, 8)
    kernel: int = 3
    head_width: int = 64
    mask: bool = True
    dropout: float = 0.175
    drop_path: float = 0.175

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        object.__setattr__(self, "heads", tuple(self.heads))
        super().__post_init__()
        _check(self)

    @property
    def stride(self) -> int:
        return self.crop if self.mixing == "attention" else STRIDE

    @property
    def receptive_radius(self) -> int:
        return 0 if self.mixing == "attention" else radius_of(self._seen_by, STRIDE)

    @property
    def finest(self) -> int:
        """Each period has its map, and a gate of the same size."""
        return self.widths[0] * self.periods

    def _seen_by(self, span: Span) -> Span:
        return union(*(self._before_stage(before_magnifying(span, 2 << stage), stage) for stage in range(STAGES)))

    def _before_stage(self, span: Span, stage: int) -> Span:
        for _ in range(stage + 1):
            for _ in range(self.depth):
                span = before_convolution(before_convolution(span, 3), self.kernel)
            span = before_halving(span)
        return span

    def periods_at(self, stage: int) -> int:
        """Odd numbers are filled up with a period that no one saw."""
        return -(-self.periods // (1 << stage))


def _check(settings: VistaSettings) -> None:
    if settings.mixing not in MIXINGS:
        raise Misfit(f"mixing {settings.mixing!r}", "no such one is built.", f"Write {' or '.join(MIXINGS)}.")
    if len(settings.widths) != STAGES or len(settings.heads) != STAGES:
        given = f"widths {settings.widths} and heads {settings.heads}"
        raise Misfit(given, f"there are {STAGES} stages.", "Write e.g. 32, 64, 128 and 2, 4, 8.")
    if min(settings.heads) < 1 or any(w < 1 or w % h for w, h in zip(settings.widths, settings.heads, strict=True)):
        given = f"widths {settings.widths} for {settings.heads} heads"
        raise Misfit(given, "heads share a width.", "Use multiples of the heads.")
    if settings.crop < STRIDE or settings.crop % STRIDE or settings.kernel < 1 or settings.kernel % 2 == 0:
        given = f"crop {settings.crop} and kernel {settings.kernel}"
        raise Misfit(given, f"a crop is a multiple of {STRIDE}, a kernel is odd.", "Write e.g. 32 and 3.")
    if min(settings.depth, settings.head_width) < 1 or not all(
        0 <= share < 1 for share in (settings.dropout, settings.drop_path)
    ):
        given = f"depth {settings.depth}, head_width {settings.head_width}, {settings.dropout}, {settings.drop_path}"
        raise Misfit(
            given, "counts start at 1, dropout and drop_path are shares below 1.", "Write e.g. 2, 64, 0.1, 0.1."
        )
