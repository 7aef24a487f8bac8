"""Every released DINOv2 and DINOv3 encoder, written out (docs/model.md 1.5)."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from plainmask.encoder.vit import IMAGENET_STATISTICS, SATELLITE_STATISTICS, EncoderConfig
from plainmask.errors import InputError

APACHE = "Apache-2.0"
DINOV3 = "DINOv3 License (Meta; gated)"
PINNED = "d1e286d4eb1ba46ae606141518a00069"
"""Fingerprint of the DINOv2 small that shipped heads were trained on (sources.WHEELS)."""


@dataclass(frozen=True)
class Preset:
    """One released encoder: its shape, where its weights are published, and under what terms."""

    name: str
    config: EncoderConfig
    hub_id: str
    timm_name: str
    meta_name: str
    num_params: int
    """Parameters as published (DINOv3 with its mask token; DINOv2 in timm's form)."""
    licence: str
    fingerprint: str | None = None
    """Of the weights that shipped heads were trained on, where they are pinned."""

    @property
    def gated(self) -> bool:
        """Whether the hub asks for an accepted licence before it hands out the weights."""
        return self.licence == DINOV3


def default_taps(depth: int) -> tuple[int, ...]:
    """The last block of each quarter (0-based): 12 -> 2, 5, 8, 11."""
    return tuple(max(0, quarter * depth // 4 - 1) for quarter in (1, 2, 3, 4))


def _dinov2(
    size: str, width: int, depth: int, heads: int, params: tuple[int, int], *, registers: int
) -> Preset:
    giant = size == "giant"
    letter = size[0]
    timm_kind, meta_kind = ("_reg4", "_reg") if registers else ("", "")
    config = EncoderConfig(
        width=width,
        depth=depth,
        heads=heads,
        ffn_hidden=4096 if giant else 4 * width,
        ffn="swiglu" if giant else "mlp",
        registers=registers,
        patch_size=14,
        positions="table",
        table_antialias=registers > 0,
        norm_eps=1e-6,
        taps=default_taps(depth),
    )
    return Preset(
        name=f"dinov2-reg-{size}" if registers else f"dinov2-{size}",
        config=config,
        hub_id=f"facebook/dinov2-{'with-registers-' if registers else ''}{size}",
        timm_name=f"vit_{size}_patch14{timm_kind}_dinov2.lvd142m",
        meta_name=f"dinov2_vit{letter}14{meta_kind}",
        num_params=params[registers > 0],
        licence=APACHE,
        fingerprint=PINNED if (size, registers) == ("small", 0) else None,
    )


def _dinov3(
    size: str,
    width: int,
    depth: int,
    heads: int,
    hidden: int,
    params: int,
    *,
    published: str,
    timm_size: str,
    satellite: bool = False,
) -> Preset:
    data = "sat493m" if satellite else "lvd1689m"
    swiglu = size in ("small-plus", "huge-plus", "7b")
    mean, std = SATELLITE_STATISTICS if satellite else IMAGENET_STATISTICS
    config = EncoderConfig(
        width=width,
        depth=depth,
        heads=heads,
        ffn_hidden=hidden,
        ffn="swiglu" if swiglu else "mlp",
        registers=4,
        patch_size=16,
        positions="rope",
        norm_eps=1e-5,
        taps=default_taps(depth),
        mean=mean,
        std=std,
    )
    return Preset(
        name=f"dinov3-{size}{'-sat' if satellite else ''}",
        config=config,
        hub_id=f"facebook/dinov3-{published}-pretrain-{data}",
        timm_name=f"vit_{timm_size}_patch16_dinov3.{data}",
        meta_name=f"dinov3_{published}{' (SAT493M)' if satellite else ''}",
        num_params=params,
        licence=DINOV3,
    )


_DINOV2_SHAPES = (
    ("small", 384, 12, 6, (22_056_192, 22_057_344)),
    ("base", 768, 12, 12, (86_579_712, 86_582_016)),
    ("large", 1024, 24, 16, (304_367_616, 304_370_688)),
    ("giant", 1536, 40, 24, (1_136_479_232, 1_136_483_840)),
)

PRESETS: tuple[Preset, ...] = (
    *(_dinov2(*shape, registers=0) for shape in _DINOV2_SHAPES),
    *(_dinov2(*shape, registers=4) for shape in _DINOV2_SHAPES),
    _dinov3("small", 384, 12, 6, 1536, 21_596_544, published="vits16", timm_size="small"),
    _dinov3(
        "small-plus", 384, 12, 6, 1536, 28_692_864, published="vits16plus", timm_size="small_plus"
    ),
    _dinov3("base", 768, 12, 12, 3072, 85_660_416, published="vitb16", timm_size="base"),
    _dinov3("large", 1024, 24, 16, 4096, 303_129_600, published="vitl16", timm_size="large"),
    _dinov3(
        "large",
        1024,
        24,
        16,
        4096,
        303_129_600,
        published="vitl16",
        timm_size="large",
        satellite=True,
    ),
    _dinov3(
        "huge-plus",
        1280,
        32,
        20,
        5120,
        840_592_640,
        published="vith16plus",
        timm_size="huge_plus",
    ),
    _dinov3("7b", 4096, 40, 32, 8192, 6_716_035_072, published="vit7b16", timm_size="7b"),
    _dinov3(
        "7b",
        4096,
        40,
        32,
        8192,
        6_716_035_072,
        published="vit7b16",
        timm_size="7b",
        satellite=True,
    ),
)


def find_preset(name: str) -> Preset:
    """The preset of this name; a hub id, timm name or Meta name finds it too.

    Raises:
        InputError: there is none; the message offers the nearest names.
    """
    wanted = name.removeprefix("timm/")
    for preset in PRESETS:
        if wanted in (preset.name, preset.hub_id, preset.timm_name, preset.meta_name):
            return preset
    names = [preset.name for preset in PRESETS]
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or names
    if name.startswith((".", "/", "~")) or name.endswith((".pth", ".pt", ".bin", ".safetensors")):
        raise InputError(
            f"there is no file or folder {name}, and no encoder of that name; encoders are "
            f"{', '.join(names)}"
        )
    raise InputError(f"there is no encoder named {name!r}; did you mean {', '.join(near)}?")


def matching_preset(width: int, depth: int, *, rope: bool) -> EncoderConfig | None:
    """The configuration of a released encoder of this shape, if there is one."""
    for preset in PRESETS:
        config = preset.config
        if (config.width, config.depth, config.positions == "rope") == (width, depth, rope):
            return config
    return None
