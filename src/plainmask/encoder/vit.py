"""The frozen encoder: one plain Vision Transformer; its configuration says of which family.

Letters: B batch, h w patch grid, R prefix tokens (class token + registers), N = R + h*w tokens,
D width, nh heads, d head dim. See docs/model.md 1.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple, Self, TypeAlias

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, model_validator
from torch import Tensor, nn

from plainmask.encoder.attention import attend
from plainmask.encoder.positions import TableResize, resize_table
from plainmask.encoder.products import linear
from plainmask.encoder.rope import KEPT_GRIDS, Rope, rope_tables, rotate_patches
from plainmask.errors import InputError

if hasattr(os, "register_at_fork"):
    # The threads of the first process do not come along, and torch would wait for them for ever.
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


class Features(NamedTuple):
    """What the encoder says about a batch (a tuple: torch's tools look into tuples only).

    Attributes:
        taps: one (B, R + h*w, D) tensor per tapped block, through the encoder's final norm; class
            token and registers first, then the patches row by row.
        grid: (h, w) in patches.
        prefix: R, the number of tokens before the patches.
    """

    taps: tuple[Tensor, ...]
    grid: tuple[int, int]
    prefix: int


Statistics: TypeAlias = tuple[tuple[float, float, float], tuple[float, float, float]]
IMAGENET_STATISTICS: Statistics = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
SATELLITE_STATISTICS: Statistics = ((0.430, 0.411, 0.296), (0.213, 0.156, 0.143))
PLAIN_STATISTICS: Statistics = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
CLIP_STATISTICS: Statistics = (
    (0.48145466, 0.4578275, 0.40821073),
    (0.26862954, 0.26130258, 0.27577711),
)
"""Mean and standard deviation of red, green and blue, of pixels in 0..1."""


class EncoderConfig(BaseModel):
    """The shape of one encoder; the released ones are written out in presets.py."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int
    depth: int
    heads: int
    ffn_hidden: int
    ffn: Literal["mlp", "swiglu"] = "mlp"
    registers: int
    patch_size: int
    positions: Literal["rope", "table"]
    """DINOv3 rotates queries and keys; DINOv2 adds a learnt table, resized to the grid."""
    key_bias: bool = False
    """With rope, whether keys have a bias: no released encoder's have. With a table all do."""
    table_grid: tuple[int, int] = (37, 37)
    """The grid of the stored table (unused with rope)."""
    table_antialias: bool = False
    table_resize: TableResize = "bicubic"
    """How the table is resized: see positions.resize_table. Part of the fingerprint."""
    norm_eps: float
    final_norm: bool = True
    """Whether taps go through a last LayerNorm; C-RADIO has none."""
    taps: tuple[int, ...]
    """Blocks (0-based) whose output the decoder reads."""
    mean: tuple[float, float, float] = IMAGENET_STATISTICS[0]
    std: tuple[float, float, float] = IMAGENET_STATISTICS[1]
    """What pixels are normalised by. Part of the fingerprint."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.width % self.heads or (self.width // self.heads) % 4:
            raise ValueError(f"width {self.width} does not split into {self.heads} heads of 4k")
        if not self.taps or not all(0 <= tap < self.depth for tap in self.taps):
            raise ValueError(f"taps {self.taps} must lie in 0..{self.depth - 1}")
        return self

    @property
    def prefix(self) -> int:
        """Tokens before the patches: the class token and the registers."""
        return 1 + self.registers

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.width // self.heads


class Attention(nn.Module):
    """Full self-attention with fused q, k, v; patches are rotated where `rope` is given."""

    def __init__(self, width: int, heads: int, *, key_bias: bool):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        bound = width**-0.5  # PyTorch's default for a linear layer's bias
        self.q_bias = nn.Parameter(torch.empty(width).uniform_(-bound, bound))
        # With rotation a key bias is not a constant per query, so "no bias" must stay no bias.
        self.k_bias = nn.Parameter(torch.empty(width).uniform_(-bound, bound)) if key_bias else None
        self.v_bias = nn.Parameter(torch.empty(width).uniform_(-bound, bound))
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, rope: Rope | None, mask: Tensor | None = None) -> Tensor:
        """(B, N, D) -> (B, N, D); `mask`: see `attend`."""
        k_bias = torch.zeros_like(self.q_bias) if self.k_bias is None else self.k_bias
        bias = torch.cat([self.q_bias, k_bias, self.v_bias])
        qkv = linear(x, self.qkv.weight, bias)
        q, k, v = qkv.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (B, nh, N, d)
        if rope is not None:
            q, k = rotate_patches(q, rope), rotate_patches(k, rope)
        mixed = attend(q, k, v, mask).transpose(1, 2).flatten(2)
        return linear(mixed, self.out.weight, self.out.bias)


class Mlp(nn.Module):
    """Two linear layers around an exact GELU."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        hidden = F.gelu(linear(x, self.up.weight, self.up.bias))
        return linear(hidden, self.down.weight, self.down.bias)


class SwiGlu(nn.Module):
    """down(silu(gate(x)) * up(x))."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.gate = nn.Linear(width, hidden)
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        gate = F.silu(linear(x, self.gate.weight, self.gate.bias))
        hidden = gate * linear(x, self.up.weight, self.up.bias)
        return linear(hidden, self.down.weight, self.down.bias)


class Block(nn.Module):
    """Pre-norm Transformer block with LayerScale; the encoder's and the decoder's alike."""

    def __init__(self, width: int, heads: int, ffn: nn.Module, *, eps: float, key_bias: bool):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=eps)
        self.attention = Attention(width, heads, key_bias=key_bias)
        self.scale1 = nn.Parameter(torch.ones(width))
        self.norm2 = nn.LayerNorm(width, eps=eps)
        self.ffn = ffn
        self.scale2 = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor, rope: Rope | None, mask: Tensor | None = None) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        x = x + self.scale1 * self.attention(self.norm1(x), rope, mask)
        return x + self.scale2 * self.ffn(self.norm2(x))


class Encoder(nn.Module):
    """A frozen ViT: uint8 pixels in, `Features` out; never a gradient, always in eval mode.

    `name` (a preset's, or "custom") and `fingerprint` say whose weights it holds; weights.py sets
    them, and heads are bound to the fingerprint.
    """

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.config = config
        self.name = "custom"
        self.fingerprint = ""
        self.older_fingerprint = ""
        width, patch = config.width, config.patch_size
        self.patch = nn.Conv2d(3, width, kernel_size=patch, stride=patch)
        self.cls_token = nn.Parameter(torch.zeros(width))
        self.registers = nn.Parameter(torch.zeros(config.registers, width))
        rows = config.table_grid[0] * config.table_grid[1]
        has_table = config.positions == "table"
        self.positions = nn.Parameter(torch.zeros(rows, width)) if has_table else None
        self.kept_tables: dict[tuple[Any, ...], Tensor] = {}
        ffn = Mlp if config.ffn == "mlp" else SwiGlu
        self.blocks = nn.ModuleList(
            Block(
                width,
                config.heads,
                ffn(width, config.ffn_hidden),
                eps=config.norm_eps,
                key_bias=has_table or config.key_bias,
            )
            for _ in range(config.depth)
        )
        norm = nn.LayerNorm(width, eps=config.norm_eps) if config.final_norm else nn.Identity()
        self.norm: nn.Module = norm
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode: the encoder is frozen even when the model around it trains."""
        return super().train(False)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights, in which the encoder computes."""
        return self.cls_token.dtype

    @torch.no_grad()
    def forward(
        self,
        pixels: Tensor,
        *,
        taps: Sequence[int] | None = None,
        content: Sequence[tuple[int, int]] | None = None,
        rope_scale: float = 1.0,
    ) -> Features:
        """Encode a batch of images.

        Args:
            pixels: (B, 3, H, W) uint8 RGB, any H and W of at least one patch; a remainder at the
                right and bottom that fills no patch is dropped.
            taps: blocks to read instead of the configured ones.
            content: height and width of what is no padding, one for each image; below and right of
                it the normalised pixels become 0 (docs/model.md 3.4), whatever they were.
            rope_scale: multiplies the patch coordinates (training augmentation; 1 = plain).

        Raises:
            InputError: pixels of another dtype or layout, or smaller than one patch.
        """
        chosen = self.config.taps if taps is None else tuple(taps)
        x, grid = self.embed(pixels, content)
        rope = None
        if self.config.positions == "rope":
            rope = rope_tables(grid, self.config.head_dim, device=x.device, scale=rope_scale)
        return Features(self.read_taps(x, rope, chosen), grid, self.config.prefix)

    def read_taps(self, x: Tensor, rope: Rope | None, taps: Sequence[int]) -> tuple[Tensor, ...]:
        """What these blocks make of tokens (B, R + h*w, D), through the final norm."""
        outputs: dict[int, Tensor] = {}
        for index, block in enumerate(self.blocks[: max(taps) + 1]):
            x = block(x, rope)
            if index in taps:
                outputs[index] = self.norm(x)
        return tuple(outputs[tap] for tap in taps)

    def embed(
        self, pixels: Tensor, content: Sequence[tuple[int, int]] | None = None
    ) -> tuple[Tensor, tuple[int, int]]:
        """Tokens before the first block (B, R + h*w, D), and the grid (h, w)."""
        check_pixels(pixels, self.config.patch_size)
        planes = self.patch(normalise(pixels, self.config, content).to(self.dtype))  # (B, D, h, w)
        grid = (planes.shape[-2], planes.shape[-1])
        table = None if self.positions is None else self._table(self.positions, grid)
        return self.tokens(planes, table), grid

    def tokens(self, planes: Tensor, table: Tensor | None) -> Tensor:
        """Embedded patches (B, D, h, w) and their positions (h*w, D) -> (B, R + h*w, D)."""
        patches = planes.flatten(2).transpose(1, 2)  # (B, h*w, D)
        if table is not None:
            patches = patches + table
        prefix = torch.cat([self.cls_token[None], self.registers])  # (R, D)
        return torch.cat([prefix.expand(planes.shape[0], -1, -1), patches], dim=1)

    def _table(self, positions: Tensor, grid: tuple[int, int]) -> Tensor:
        """The position table of a grid (h*w, D); those of the grids used last are kept."""
        version = None if positions.is_inference() else positions._version
        key = (grid, positions.data_ptr(), version, positions.dtype, positions.device)
        if key not in self.kept_tables:
            config = self.config
            if len(self.kept_tables) >= KEPT_GRIDS:
                self.kept_tables.pop(next(iter(self.kept_tables)))
            self.kept_tables[key] = resize_table(
                positions,
                config.table_grid,
                grid,
                antialias=config.table_antialias,
                resize=config.table_resize,
            )
        return self.kept_tables[key]


def normalise(
    pixels: Tensor, config: EncoderConfig, content: Sequence[tuple[int, int]] | None = None
) -> Tensor:
    """Pixels (B, 3, H, W) uint8 by the encoder's statistics, float32; see `Encoder.forward`."""
    mean, std = (_planes(values, pixels.device) for values in (config.mean, config.std))
    normalised = (pixels.float() / 255 - mean) / std
    if content is not None:
        for image, (height, width) in zip(normalised, content, strict=True):
            image[:, height:] = 0
            image[:, :, width:] = 0
    return normalised


@lru_cache(maxsize=8)
def _planes(values: tuple[float, ...], device: torch.device) -> Tensor:
    """A value for each channel, (3, 1, 1) float32, which is copied to a device once.

    No buffers: they must stay float32 when the weights are cast to half precision.
    """
    with torch.inference_mode(False):  # or training could not use what inference has left
        return torch.tensor(values, dtype=torch.float32, device=device).view(3, 1, 1)


def check_pixels(pixels: Tensor, patch_size: int) -> None:
    """Raise InputError unless `pixels` is (B, 3, H, W) uint8 of at least one patch."""
    if not isinstance(pixels, Tensor):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError(f"pixels must be a torch tensor, not {type(pixels).__name__}")
    shape = tuple(pixels.shape)
    if pixels.dtype != torch.uint8:
        raise InputError(
            f"pixels are {str(pixels.dtype).removeprefix('torch.')}, but must be uint8 RGB in "
            "0..255; the encoder normalises them itself"
        )
    if pixels.ndim != 4 or shape[1] != 3:
        raise InputError(f"pixels have the shape {shape}, but must be (B, 3, H, W)")
    if min(shape[2:]) < patch_size:
        raise InputError(
            f"pixels of {shape[2]}x{shape[3]} are smaller than one {patch_size}x{patch_size} patch"
        )
