"""The Plain Mask Decoder (arXiv 2603.25398): the paper in one file.

Encoder features of several depths are normalised, projected and summed (laterals); learnt queries
join them in front; a few plain Transformer blocks mix both; a linear layer gives each query its
class, and the dot product with upscaled patch tokens its mask. In a video, what became of the
queries in one frame starts the next (propagation.py). See docs/model.md 2 and 5.

Letters: B batch, T frames, Q queries, C classes without "no object", D width, h w patch grid,
R prefix tokens, N = R + h*w tokens, mh mw = h w times the upscale factor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Self, TypeAlias

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from plainmask.decoder.propagation import Propagation, State, build_link
from plainmask.encoder.products import linear
from plainmask.encoder.rope import Rope, rope_tables
from plainmask.encoder.vit import Block, Features, Mlp


class Predictions(NamedTuple):
    """What a decoder says about a batch: raw logits.

    Attributes:
        mask_logits: (B, Q, mh, mw) float, mh x mw = patch grid x upscale factor.
        class_logits: (B, Q, C+1) float, the last class is "no object".
    """

    mask_logits: Tensor
    class_logits: Tensor

    def float(self) -> Predictions:
        """The same in float32."""
        return Predictions(self.mask_logits.float(), self.class_logits.float())


Choice: TypeAlias = Callable[[Tensor], Tensor]
"""Class logits (B, Q, C+1) -> (K,) the queries whose masks are asked for, ascending."""


class DecoderConfig(BaseModel):
    """The shape of one decoder; stored in a head's config.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(gt=0)
    heads: int = Field(gt=0)
    num_taps: int = Field(default=4, gt=0)
    num_queries: int = Field(default=100, gt=0)
    num_classes: int = Field(gt=0)
    num_blocks: int = Field(default=6, ge=0)
    ffn_hidden: int = Field(gt=0)
    upscale_stages: int = Field(ge=1)
    """Each stage doubles the mask resolution; the published rule is `published_stages`."""
    lateral: Literal["mlp", "linear", "identity"] = "mlp"
    lateral_norm: bool = True
    residual_laterals: bool = True
    propagation: Propagation = "none"
    """What carries queries from frame to frame; "none" for image models."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.width % self.heads or (self.width // self.heads) % 4:
            raise ValueError(f"width {self.width} does not split into {self.heads} heads of 4k")
        return self


def published_stages(patch_size: int) -> int:
    """Upscale stages by patch size: 16 -> 2 (masks at stride 4), 14 and 8 -> 1.

    See docs/model.md 2.4.
    """
    return max(1, patch_size.bit_length() - 3)


class Lateral(nn.Module):
    """One tap's way into the decoder: batch norm, projection with residual, learnt scale."""

    def __init__(self, config: DecoderConfig):
        super().__init__()
        width = config.width
        self.residual = config.residual_laterals
        # Statistics over all tokens of the batch, prefix included (docs/model.md 2.1).
        self.norm = nn.BatchNorm1d(width) if config.lateral_norm else None
        self.project = {
            "mlp": lambda: Mlp(width, width // 2),
            "linear": lambda: nn.Linear(width, width),
            "identity": nn.Identity,
        }[config.lateral]()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, tap: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        if self.norm is not None:
            tap = self.norm(tap.flatten(0, 1)).view_as(tap)
        projected = self.project(tap)
        return self.scale * (tap + projected if self.residual else projected)


class Upscale(nn.Module):
    """One stage of the mask module's upscaling: doubles height and width.

    Channels stay last throughout, and the transposed convolution (whose kernel equals its stride)
    is a matrix product: half the time of convolutions on channels-first planes.
    """

    def __init__(self, width: int):
        super().__init__()
        self.expand = nn.ConvTranspose2d(width, width, kernel_size=2, stride=2)
        self.mix = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """(B, h, w, D) -> (B, 2h, 2w, D)."""
        height, width, channels = x.shape[1:]
        assert self.expand.bias is not None
        kernel = self.expand.weight.permute(2, 3, 1, 0).flatten(0, 2)  # (2*2*D, D)
        x = F.gelu(linear(x, kernel, self.expand.bias.repeat(4)))
        x = x.unflatten(-1, (2, 2, channels)).transpose(2, 3)  # (B, h, 2, w, 2, D)
        x = x.reshape(-1, 2 * height, 2 * width, channels)
        x = self.mix(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return self.norm(x)


class MaskModule(nn.Module):
    """Tokens -> predictions: classes from queries, masks from queries times upscaled patches."""

    def __init__(self, config: DecoderConfig):
        super().__init__()
        width = config.width
        self.norm = nn.LayerNorm(width, eps=1e-5)
        self.classify = nn.Linear(width, config.num_classes + 1)
        self.embed = nn.Sequential(
            nn.Linear(width, width),
            nn.GELU(),
            nn.Linear(width, width),
            nn.GELU(),
            nn.Linear(width, width),
        )
        self.upscale = nn.Sequential(*(Upscale(width) for _ in range(config.upscale_stages)))

    def forward(
        self,
        tokens: Tensor,
        num_queries: int,
        grid: tuple[int, int],
        *,
        norm: bool = True,
        choose: Choice | None = None,
    ) -> Predictions:
        """Read (B, Q + N, D); the prefix tokens between queries and patches are ignored.

        Without `norm` the tokens are read as they are. What `choose` leaves out is not there.
        """
        if norm:
            tokens = self.norm(tokens)
        queries = tokens[:, :num_queries]
        patches = tokens[:, -grid[0] * grid[1] :]
        classes = self.classify(queries)
        if choose is not None:
            places = choose(classes)
            queries, classes = queries[:, places], classes[:, places]  # (B, K, D), (B, K, C+1)
        pixels = self.upscale(patches.unflatten(1, grid))  # (B, mh, mw, D)
        return Predictions(dot_products(self.embed(queries), pixels), classes)


def dot_products(queries: Tensor, pixels: Tensor) -> Tensor:
    """(B, Q, D) with (B, mh, mw, D) -> (B, Q, mh, mw)."""
    if pixels.dtype == torch.bfloat16 and pixels.device.type == "cpu":
        # Pixels first, as they lie: the other way they are copied, which takes five times as long.
        products = (pixels.flatten(1, 2) @ queries.mT).mT.contiguous()
        return products.unflatten(2, pixels.shape[1:3])
    return torch.einsum("bqd,byxd->bqyx", queries, pixels)


class PlainMaskDecoder(nn.Module):
    """Features -> predictions. One instance serves every grid; nothing in it depends on a size."""

    mask_probs: Tensor

    def __init__(self, config: DecoderConfig):
        super().__init__()
        self.config = config
        self.laterals = nn.ModuleList(Lateral(config) for _ in range(config.num_taps))
        queries = torch.empty(config.num_queries, config.width)
        # On meta, normal numbers would import a large part of torch first: a third of a second.
        self.queries = nn.Parameter(queries if queries.is_meta else queries.normal_())
        self.blocks = nn.ModuleList(
            Block(
                config.width,
                config.heads,
                Mlp(config.width, config.ffn_hidden),
                eps=1e-5,
                key_bias=False,
            )
            for _ in range(config.num_blocks)
        )
        self.predict = MaskModule(config)
        self.link = build_link(config.propagation, config.width)
        # Probability that block i masks a query's attention; annealed by the training loop.
        self.register_buffer("mask_probs", torch.ones(config.num_blocks))

    def forward(
        self, features: Features, *, rope_scale: float = 1.0, choose: Choice | None = None
    ) -> Predictions:
        """The last layer's predictions, without masked attention: inference (docs/model.md 2.6).

        Where only some queries are asked for, all the others are left out.
        """
        x = self._decode(self.fuse(features), self.rope(features.grid, rope_scale), None)
        return self.predict(x, self.config.num_queries, features.grid, choose=choose)

    def step(
        self, fused: Tensor, grid: tuple[int, int], state: State | None = None
    ) -> tuple[Predictions, State]:
        """One frame of each of B videos (docs/model.md 5.1).

        Args:
            fused: (B, N, D), what `fuse` made of the frames. Neither it nor the encoder depends on
                time, so both may run ahead for many frames at once.
            grid: patches of the frames.
            state: what the last frame left; None at the start of the videos.

        Returns:
            This frame's predictions, and the state for the next frame.
        """
        state = state or State.start(self.first_queries(len(fused)), self.config.num_classes)
        predictions, queries = self.advance(fused, grid, state.queries)
        return predictions, state.after(queries, predictions.class_logits.float())

    def advance(
        self, fused: Tensor, grid: tuple[int, int], queries: Tensor
    ) -> tuple[Predictions, Tensor]:
        """The same without what a `State` counts: queries (B, Q, D) in, those that follow out."""
        x = self._decode(fused, self.rope(grid), queries)
        predictions = self.predict(x, self.config.num_queries, grid)
        return predictions, self.propagate(x, queries)

    def every_layer(
        self,
        features: Features,
        *,
        masked: bool,
        draws: Sequence[Tensor | None] | None = None,
        rope_scale: float = 1.0,
    ) -> list[Predictions]:
        """Predictions before each block and after the last: training (docs/model.md 2.6).

        Args:
            features: what the encoder gave, of any grid.
            masked: before block i each query attends only to the patches where its current mask
                is positive, with the probability `mask_probs[i]`.
            draws: one (B, Q) tensor in [0, 1) per block instead of fresh uniform numbers; a query
                whose draw exceeds the probability is free. None where no draw is needed (p = 1).
            rope_scale: multiplies the patch coordinates (augmentation; 1 = plain).

        Returns:
            num_blocks + 1 predictions.
        """
        grid, num_queries = features.grid, self.config.num_queries
        probs: list[float] = self.mask_probs.tolist() if masked else []
        rope = self.rope(grid, rope_scale)
        x = self._sequence(self.fuse(features), None)
        layers: list[Predictions] = []
        for index, block in enumerate(self.blocks):
            layers.append(self.predict(x, num_queries, grid))
            mask = None
            if masked and probs[index] > 0:
                draw = None if draws is None else draws[index]
                mask = attention_mask(layers[-1].mask_logits, grid, x.shape[1], probs[index], draw)
            x = block(x, rope, mask)
        layers.append(self.predict(x, num_queries, grid))
        return layers

    def clips(
        self,
        features: Features,
        num_frames: int,
        queries: Tensor | None = None,
        *,
        every_layer: bool = True,
        rope_scale: float = 1.0,
        replays: int = 0,
    ) -> tuple[list[Predictions], Tensor]:
        """Predictions for all frames of B clips, with gradients through time: training.

        See docs/model.md 6.6.

        Batch norm sees all frames at once. There is no masked attention in videos, and what is
        read before the last block is read without the final norm, unlike in images.

        Args:
            features: of B * T frames, clip by clip.
            num_frames: T.
            queries: (B, Q, D) that the first frames start from; None: the learnt ones.
            every_layer: predictions before each block and after the last, else only these.
            rope_scale: multiplies the patch coordinates (augmentation; 1 = plain).
            replays: how often the clips are watched forward and backward before, without a
                gradient: the first frames then start from queries as old as that.

        Returns:
            Predictions of B * T frames, clip by clip, for each layer; and the queries that would
            enter the frames after these, (B, Q, D).
        """
        fused = self.fuse(features).unflatten(0, (-1, num_frames))  # (B, T, N, D)
        rope = self.rope(features.grid, rope_scale)
        queries = self.first_queries(len(fused)) if queries is None else queries
        for frame in [*fused.unbind(1), *fused.flip(1).unbind(1)] * replays:
            # Cut, not under no_grad: autocast would keep the weights that it cast there.
            frame = frame.detach()
            queries = self.propagate(self._decode(frame, rope, queries), queries).detach()
        frames: list[list[Tensor]] = []
        for frame in fused.unbind(1):
            states = [self._sequence(frame, queries)]
            for block in self.blocks:
                states.append(block(states[-1], rope))
            queries = self.propagate(states[-1], queries)
            frames.append(states if every_layer else states[-1:])
        layers = [torch.stack(layer, dim=1).flatten(0, 1) for layer in zip(*frames, strict=True)]
        num_queries, last = self.config.num_queries, len(layers) - 1
        predictions = [
            self.predict(x, num_queries, features.grid, norm=index == last)
            for index, x in enumerate(layers)
        ]
        return predictions, queries

    def train_with(self, *, frozen_norms: bool) -> None:
        """Go to training mode; with `frozen_norms` the batch norms keep their statistics."""
        self.train()
        if frozen_norms:
            for module in self.laterals.modules():
                if isinstance(module, nn.BatchNorm1d):
                    module.eval()

    def fuse(self, features: Features) -> Tensor:
        """Sum of the laterals of all taps: (B, N, D)."""
        parts = zip(self.laterals, features.taps, strict=True)
        return torch.stack([lateral(tap) for lateral, tap in parts]).sum(0)

    def first_queries(self, batch: int) -> Tensor:
        """The learnt queries, with which every video starts: (B, Q, D)."""
        return self.queries.expand(batch, -1, -1)

    def propagate(self, x: Tensor, entered: Tensor) -> Tensor:
        """The queries for the next frame, from (B, Q + N, D) after the last block: (B, Q, D)."""
        return self.link(x[:, : self.config.num_queries], entered, self.queries)

    def rope(self, grid: tuple[int, int], scale: float = 1.0) -> Rope:
        """The rotation of the patches of a grid."""
        head_dim = self.config.width // self.config.heads
        return rope_tables(grid, head_dim, device=self.queries.device, scale=scale)

    def _sequence(self, fused: Tensor, queries: Tensor | None) -> Tensor:
        """Queries | prefix | patches: (B, Q + N, D); without `queries` with the learnt ones."""
        queries = self.first_queries(len(fused)) if queries is None else queries
        return torch.cat([queries.to(fused.dtype), fused], dim=1)

    def _decode(self, fused: Tensor, rope: Rope, queries: Tensor | None) -> Tensor:
        """All blocks: (B, Q + N, D)."""
        x = self._sequence(fused, queries)
        for block in self.blocks:
            x = block(x, rope)
        return x


@torch.no_grad()
def attention_mask(
    mask_logits: Tensor, grid: tuple[int, int], num_tokens: int, prob: float, draw: Tensor | None
) -> Tensor:
    """Boolean attention mask (B, 1, N', N') for N' = num_tokens, True = attend (docs/model.md 2.6).

    Only query -> patch entries are ever False: where the query's mask, resized to the grid, is
    not positive. A query whose draw exceeds `prob` is set free.
    """
    batch, num_queries = mask_logits.shape[:2]
    num_patches = grid[0] * grid[1]
    resized = F.interpolate(mask_logits.float(), grid, mode="bilinear", align_corners=False)
    allowed = resized.flatten(2) > 0  # (B, Q, h*w)
    if prob < 1:
        if draw is None:
            draw = torch.rand(batch, num_queries, device=mask_logits.device)
        allowed |= (draw > prob)[:, :, None]
    mask = torch.ones(batch, 1, num_tokens, num_tokens, dtype=torch.bool, device=allowed.device)
    mask[:, 0, :num_queries, -num_patches:] = allowed
    return mask
