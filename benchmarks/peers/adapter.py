"""A head at 640 pixels beside the earlier kind: a frozen DINOv3 with ViT-Adapter and Mask2Former.

    OMP_NUM_THREADS=1 python benchmarks/peers/adapter.py [--size large] [--width 256] [--turns 3]

Random weights, from the pixels of one picture to mask and class logits. Encoder: ours, for both.
Adapter: written here from the arithmetic of Chen et al. (ICLR 2023), inner width 64, deformable
attention with 16 heads of 4 points at half the width, ConvFFN of a quarter. It has no injectors:
they write into the tokens between two blocks, so the backbone would no longer compute the frozen
features that all heads share; DINOv3's paper leaves them out for that reason. What is left are the
spatial prior, one extractor after each quarter of the blocks, and two more at the end.
Mask2Former: transformers' own, as published (width 256, 6 layers of deformable attention, 9 of
masked attention); 200 queries. DINOv3's heads are wider, hence --width.

Prints FLOPs, a multiply-add as two, without the sampling of deformable attention; then medians in
CPU seconds, quartiles, and how many times as long theirs takes. Needs transformers.

Letters: B batch, D width, N tokens of the encoder, L places of the three coarse scales, nh heads,
P points.
"""

import argparse
import time
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from eomt import QUERIES, SIDE, VOCABULARY, Way, ours, print_rows, take_turns
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, SwinConfig
from transformers.modeling_outputs import BackboneOutput

from plainmask.encoder.vit import IMAGENET_STATISTICS, Encoder
from plainmask.inference.flops import decoder_flops, encoder_flops
from plainmask.inference.segmenter import Segmenter
from plainmask.inference.shared_pass import SharedPass

STEM, POINTS, HEADS = 64, 4, 16
Grid = tuple[int, int]


def convolution(inner: int, outer: int, stride: int) -> nn.Sequential:
    """3 x 3, with batch norm and ReLU."""
    layer = nn.Conv2d(inner, outer, kernel_size=3, stride=stride, padding=1, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outer), nn.ReLU(inplace=True))


class SpatialPrior(nn.Module):
    """What convolutions see: four maps of width D at strides 4, 8, 16 and 32."""

    def __init__(self, width: int):
        super().__init__()
        self.stem = nn.Sequential(
            convolution(3, STEM, 2),
            convolution(STEM, STEM, 1),
            convolution(STEM, STEM, 1),
            nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
        )
        inner = (STEM, 2 * STEM, 4 * STEM, 4 * STEM)
        self.coarser = nn.ModuleList(convolution(inner[i], inner[i + 1], 2) for i in range(3))
        self.widen = nn.ModuleList(nn.Conv2d(channels, width, kernel_size=1) for channels in inner)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """(B, 3, H, W), normalised -> four maps (B, D, h, w), the finest first."""
        maps = [self.stem(pixels)]
        for layer in self.coarser:
            maps.append(layer(maps[-1]))
        return [widen(one) for widen, one in zip(self.widen, maps, strict=True)]


class DeformableAttention(nn.Module):
    """Every query looks at a few points of a map, which it chooses by itself."""

    def __init__(self, width: int):
        super().__init__()
        self.offsets = nn.Linear(width, HEADS * POINTS * 2)
        self.weights = nn.Linear(width, HEADS * POINTS)
        self.values = nn.Linear(width, width // 2)
        self.out = nn.Linear(width // 2, width)

    def forward(self, queries: Tensor, places: Tensor, tokens: Tensor, grid: Grid) -> Tensor:
        """Queries (B, L, D) at places (L, 2), x and y in 0..1; tokens (B, h*w, D) -> (B, L, D)."""
        size = torch.tensor(grid[::-1], dtype=torch.float32)
        offsets = self.offsets(queries).unflatten(-1, (HEADS, POINTS, 2)).float() / size
        points = (places[:, None, None] + offsets) * 2 - 1  # (B, L, nh, P, 2)
        weights = self.weights(queries).unflatten(-1, (HEADS, POINTS)).softmax(-1)
        values = self.values(tokens).transpose(1, 2)  # (B, D/2, h*w)
        values = values.reshape(len(tokens) * HEADS, -1, *grid)
        seen = F.grid_sample(
            values.float(), points.transpose(1, 2).flatten(0, 1), align_corners=False
        )  # (B*nh, d, L, P)
        mixed = (seen * weights.transpose(1, 2).flatten(0, 1)[:, None]).sum(-1)
        return self.out(mixed.view(len(queries), -1, queries.shape[1]).transpose(1, 2))


class Extractor(nn.Module):
    """Three scales read the tokens of the encoder; then a feed-forward with a 3 x 3 convolution."""

    def __init__(self, width: int):
        super().__init__()
        self.norm_queries, self.norm_tokens, self.norm_ffn = (
            nn.LayerNorm(width, eps=1e-6) for _ in range(3)
        )
        self.attention = DeformableAttention(width)
        hidden = width // 4
        self.up = nn.Linear(width, hidden)
        self.depthwise = nn.Conv2d(hidden, hidden, kernel_size=3, padding=1, groups=hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, scales: Tensor, grids: list[Grid], tokens: Tensor, grid: Grid) -> Tensor:
        """Scales (B, L, D) of these grids; tokens (B, h*w, D) of this grid -> (B, L, D)."""
        places = torch.cat([centres(one) for one in grids])
        tokens = self.norm_tokens(tokens)
        scales = scales + self.attention(self.norm_queries(scales), places, tokens, grid)
        maps = as_maps(self.up(self.norm_ffn(scales)), grids)
        return scales + self.down(F.gelu(as_tokens([self.depthwise(one) for one in maps])))


class Adapter(nn.Module):
    """A frozen encoder as a backbone with maps at strides 4, 8, 16 and 32, all of width D."""

    def __init__(self, encoder: Encoder):
        super().__init__()
        self.encoder = encoder
        width = encoder.config.width
        self.prior = SpatialPrior(width)
        self.scale_embedding = nn.Parameter(torch.randn(3, width))
        self.extractors = nn.ModuleList(Extractor(width) for _ in range(6))
        self.upscale = nn.ConvTranspose2d(width, width, kernel_size=2, stride=2)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(4))

    def forward(self, pixels: Tensor) -> BackboneOutput:
        """(B, 3, H, W) uint8, H and W multiples of 32."""
        mean, std = (torch.tensor(value)[:, None, None] for value in IMAGENET_STATISTICS)
        finest, *coarse = self.prior((pixels.float() / 255 - mean) / std)
        grids = [(one.shape[2], one.shape[3]) for one in coarse]
        scales = as_tokens(
            [
                one + which[:, None, None]
                for one, which in zip(coarse, self.scale_embedding, strict=True)
            ]
        )
        found = self.encoder(pixels)
        taps = [tap[:, found.prefix :] for tap in found.taps]
        for extract, tokens in zip(self.extractors, [*taps, taps[-1], taps[-1]], strict=True):
            scales = extract(scales, grids, tokens, found.grid)
        coarse = as_maps(scales, grids)
        maps = [finest + self.upscale(coarse[0]), *coarse]
        summed = [
            one + F.interpolate(tap, size=one.shape[2:], mode="bilinear", align_corners=False)
            for one, tap in zip(maps, (as_maps(tap, [found.grid])[0] for tap in taps), strict=True)
        ]
        return BackboneOutput(
            feature_maps=tuple(norm(one) for norm, one in zip(self.norms, summed, strict=True))
        )


def centres(grid: Grid) -> Tensor:
    """x and y in 0..1 of the centre of every place, row by row, (h*w, 2)."""
    height, width = grid
    y, x = (torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width
    return torch.cartesian_prod(y, x).flip(-1)


def as_tokens(maps: list[Tensor]) -> Tensor:
    """Maps (B, D, h, w) -> (B, L, D), one map after the other."""
    return torch.cat([one.flatten(2) for one in maps], -1).transpose(1, 2)


def as_maps(tokens: Tensor, grids: list[Grid]) -> list[Tensor]:
    """The way back."""
    parts = tokens.transpose(1, 2).split([height * width for height, width in grids], -1)
    return [part.unflatten(-1, grid) for part, grid in zip(parts, grids, strict=True)]


def mask2former(encoder: Encoder, dtype: torch.dtype, width: int) -> Any:
    """Mask2Former on an adapter; weights of products are in `dtype`, as ours are."""
    stages: dict[str, Any] = {"out_features": [f"stage{number}" for number in (1, 2, 3, 4)]}
    place = SwinConfig(embed_dim=8, depths=[1] * 4, num_heads=[1] * 4, **stages)  # the adapter's
    config = Mask2FormerConfig(
        backbone_config=place,
        feature_size=width,
        mask_feature_size=width,
        hidden_dim=width,
        num_queries=QUERIES,
        id2label={index: str(index) for index in range(len(VOCABULARY))},
    )
    model: Any = Mask2FormerForUniversalSegmentation(config)
    level = model.model.pixel_level_module
    level.decoder = type(level.decoder)(config, [encoder.config.width] * 4)
    model.init_weights()
    level.encoder = Adapter(encoder)
    for part in model.modules():
        if isinstance(part, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            part.weight = nn.Parameter(part.weight.to(dtype), requires_grad=False)
    return model.eval()


def theirs(shared: SharedPass, pixels: Tensor, width: int) -> Way:
    assert isinstance(shared.computing_encoder, Encoder)
    model = mask2former(shared.computing_encoder, shared.dtype, width)

    def run() -> Any:
        with shared.computing():
            return model(pixel_values=pixels)

    return run


def print_flops(segmenters: dict[int, Segmenter], pixels: Tensor, width: int) -> None:
    """GFLOPs of the encoder, of the peer without it, and of our decoders by their blocks."""
    encoder = next(iter(segmenters.values())).encoder
    assert isinstance(encoder, Encoder)
    config, side = encoder.config, SIDE // encoder.config.patch_size
    grid = (side, side)
    model = mask2former(encoder, torch.float32, width)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(pixel_values=pixels)
    counts = counter.get_flop_counts()
    names = [name for name in counts if name.endswith("pixel_level_module.encoder.encoder")]
    theirs = sum(counts["Global"].values()) - sum(counts[names[0]].values())
    print(f"GFLOPs: encoder {encoder_flops(config, grid, config.depth) / 1e9:.0f}, ", end="")
    print(f"adapter and Mask2Former {theirs / 1e9:.0f}", end="")
    for blocks, segmenter in segmenters.items():
        own = decoder_flops(segmenter.heads["0"].config.decoder, grid, config.prefix)
        print(f", our decoder of {blocks} blocks {own / 1e9:.0f}", end="")
    print()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="large")
    parser.add_argument("--width", type=int, default=256, help="of Mask2Former")
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (1, 3, SIDE, SIDE), dtype=torch.uint8)
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    ways: dict[str, Way] = {}
    for dtype in ("float32", "bfloat16"):
        segmenters = {blocks: ours(options.size, 1, blocks, dtype) for blocks in (6, 2)}
        if not ways:
            print_flops(segmenters, pixels, options.width)
        ways[f"Mask2Former {dtype}"] = theirs(segmenters[6].shared, pixels, options.width)
        for blocks, segmenter in segmenters.items():
            ways[f"ours {dtype}, {blocks} blocks"] = partial(segmenter.logits, pixels)
    print_rows(
        f"{options.size:>6}", take_turns(ways, options.turns, time.process_time), "Mask2Former"
    )


if __name__ == "__main__":
    main()
