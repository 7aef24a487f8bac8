"""Every released encoder that is known here, written out (docs/model.md 1.5)."""

from __future__ import annotations

from dataclasses import dataclass

from plainmask.encoder.vit import (
    CLIP_STATISTICS,
    IMAGENET_STATISTICS,
    PLAIN_STATISTICS,
    SATELLITE_STATISTICS,
    EncoderConfig,
    Statistics,
)

APACHE = "Apache-2.0"
DINOV3 = "DINOv3 License (Meta; gated)"
FAIR = "FAIR Noncommercial Research License (Meta)"
NVIDIA = "NVIDIA Open Model License"
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
    """What its publisher's own code (Meta's, where it is DINO) or file calls it."""
    num_params: int
    """Parameters as published (DINOv3 with its mask token; C-RADIO on the hub; others in timm)."""
    licence: str
    hub_file: str = "model.safetensors"
    """Its weights in the hub's repository; where a safetensors file is missing, an index may be."""
    fingerprint: str | None = None
    """Of the weights that shipped heads were trained on, where they are pinned."""

    @property
    def family(self) -> str:
        """The first word of its name: "dinov3" of "dinov3-small"."""
        return self.name.partition("-")[0]

    @property
    def gated(self) -> bool:
        """Whether the hub asks for an accepted licence before it hands out the weights."""
        return self.licence == DINOV3


def default_taps(depth: int) -> tuple[int, ...]:
    """The last block of each quarter (0-based): 12 -> 2, 5, 8, 11."""
    return tuple(max(0, quarter * depth // 4 - 1) for quarter in (1, 2, 3, 4))


def _rotary(
    shape: tuple[int, int, int, int],
    *,
    swiglu: bool = False,
    statistics: Statistics = IMAGENET_STATISTICS,
) -> EncoderConfig:
    """DINOv3's kind; `shape` is width, depth, heads and the hidden size of the FFN."""
    width, depth, heads, hidden = shape
    return EncoderConfig(
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
        mean=statistics[0],
        std=statistics[1],
    )


def _with_table(shape: tuple[int, int, int, int], *, registers: int) -> EncoderConfig:
    """DINOv2's kind, likewise; other families change what they do in another way."""
    width, depth, heads, hidden = shape
    return EncoderConfig(
        width=width,
        depth=depth,
        heads=heads,
        ffn_hidden=hidden,
        ffn="swiglu" if shape == _GIANT else "mlp",
        registers=registers,
        patch_size=14,
        positions="table",
        table_antialias=registers > 0,
        norm_eps=1e-6,
        taps=default_taps(depth),
    )


_TINY = (192, 12, 3, 768)
_SMALL = (384, 12, 6, 1536)
_BASE = (768, 12, 12, 3072)
_LARGE = (1024, 24, 16, 4096)
_SO400M = (1152, 27, 16, 4304)
_GIANT = (1536, 40, 24, 4096)


def _dinov2(
    size: str, shape: tuple[int, int, int, int], params: tuple[int, int], *, registers: int
) -> Preset:
    timm_kind, meta_kind = ("_reg4", "_reg") if registers else ("", "")
    return Preset(
        name=f"dinov2-reg-{size}" if registers else f"dinov2-{size}",
        config=_with_table(shape, registers=registers),
        hub_id=f"facebook/dinov2-{'with-registers-' if registers else ''}{size}",
        timm_name=f"vit_{size}_patch14{timm_kind}_dinov2.lvd142m",
        meta_name=f"dinov2_vit{size[0]}14{meta_kind}",
        num_params=params[registers > 0],
        licence=APACHE,
        fingerprint=PINNED if (size, registers) == ("small", 0) else None,
    )


def _dinov3(
    size: str,
    shape: tuple[int, int, int, int],
    params: int,
    *,
    published: str,
    satellite: bool = False,
) -> Preset:
    data = "sat493m" if satellite else "lvd1689m"
    return Preset(
        name=f"dinov3-{size}{'-sat' if satellite else ''}",
        config=_rotary(
            shape,
            swiglu=size in ("small-plus", "huge-plus", "7b"),
            statistics=SATELLITE_STATISTICS if satellite else IMAGENET_STATISTICS,
        ),
        hub_id=f"facebook/dinov3-{published}-pretrain-{data}",
        timm_name=f"vit_{size.replace('-', '_')}_patch16_dinov3.{data}",
        meta_name=f"dinov3_{published}{' (SAT493M)' if satellite else ''}",
        num_params=params,
        licence=DINOV3,
    )


def _tipsv2(size: str, shape: tuple[int, int, int, int], params: int, *, published: str) -> Preset:
    rules = {"table_grid": (32, 32), "table_resize": "bilinear"}
    mean, std = PLAIN_STATISTICS
    config = _with_table(shape, registers=1)
    return Preset(
        name=f"tipsv2-{size}",
        config=config.model_copy(update=rules | {"mean": mean, "std": std}),
        hub_id=f"google/tipsv2-{published}",
        timm_name=f"vit_{size}_patch14_reg1_tipsv2.webli",
        meta_name=f"tips_v2_oss_{published.replace('400m', '')}",
        num_params=params,
        licence=APACHE,
    )


def _lingbot(size: str, shape: tuple[int, int, int, int], params: int) -> Preset:
    return Preset(
        name=f"lingbot-{size}",
        config=_rotary(shape, swiglu=shape == _GIANT),
        hub_id=f"robbyant/lingbot-vision-vit-{size}",
        timm_name=f"vit_{size}_patch16_lingbot.robbyant",
        meta_name=f"lbotv_vit_{size}",
        num_params=params,
        licence=APACHE,
        hub_file="model.pt",
    )


def _eupe(size: str, shape: tuple[int, int, int, int], params: int) -> Preset:
    letter = size[0]
    return Preset(
        name=f"eupe-{size}",
        config=_rotary(shape),
        hub_id=f"facebook/EUPE-ViT-{letter.upper()}",
        timm_name=f"vit_{size}_patch16_dinov3_qkvb.eupe_lvd1689m",
        meta_name=f"eupe_vit{letter}16",
        num_params=params,
        licence=FAIR,
        hub_file=f"EUPE-ViT-{letter.upper()}.pt",
    )


def _cradio(size: str, shape: tuple[int, int, int, int], params: int, *, published: str) -> Preset:
    mean, std = CLIP_STATISTICS
    rules = {
        "patch_size": 16,
        "table_grid": (128, 128),
        "table_resize": "square",
        "table_antialias": False,
        "final_norm": False,
        "mean": mean,
        "std": std,
    }
    return Preset(
        name=f"cradiov4-{size}",
        config=_with_table(shape, registers=9).model_copy(update=rules),
        hub_id=f"nvidia/C-RADIOv4-{published}",
        timm_name=f"vit_{size}_patch16_radio_v4.c_radio",
        meta_name=f"c-radio_v4-{published.lower()}",
        num_params=params,
        licence=NVIDIA,
    )


_DINOV2 = (
    ("small", _SMALL, (22_056_192, 22_057_344)),
    ("base", _BASE, (86_579_712, 86_582_016)),
    ("large", _LARGE, (304_367_616, 304_370_688)),
    ("giant", _GIANT, (1_136_479_232, 1_136_483_840)),
)
_HUGE_PLUS = (1280, 32, 20, 5120)
_7B = (4096, 40, 32, 8192)

PRESETS: tuple[Preset, ...] = (
    *(_dinov2(*row, registers=0) for row in _DINOV2),
    *(_dinov2(*row, registers=4) for row in _DINOV2),
    _dinov3("small", _SMALL, 21_596_544, published="vits16"),
    _dinov3("small-plus", _SMALL, 28_692_864, published="vits16plus"),
    _dinov3("base", _BASE, 85_660_416, published="vitb16"),
    _dinov3("large", _LARGE, 303_129_600, published="vitl16"),
    _dinov3("large", _LARGE, 303_129_600, published="vitl16", satellite=True),
    _dinov3("huge-plus", _HUGE_PLUS, 840_592_640, published="vith16plus"),
    _dinov3("7b", _7B, 6_716_035_072, published="vit7b16"),
    _dinov3("7b", _7B, 6_716_035_072, published="vit7b16", satellite=True),
    _tipsv2("base", _BASE, 86_314_752, published="b14"),
    _tipsv2("large", _LARGE, 304_014_336, published="l14"),
    _tipsv2("so400m", _SO400M, 413_391_600, published="so400m14"),
    _tipsv2("giant", _GIANT, 1_135_949_312, published="g14"),
    _lingbot("small", _SMALL, 21_596_160),
    _lingbot("base", _BASE, 85_659_648),
    _lingbot("large", _LARGE, 303_128_576),
    _lingbot("giant", _GIANT, 1_134_473_216),
    _eupe("tiny", _TINY, 5_489_664),
    _eupe("small", _SMALL, 21_596_160),
    _eupe("base", _BASE, 85_659_648),
    _cradio("so400m", _SO400M, 431_237_232, published="SO400M"),
    _cradio("huge", (1280, 32, 16, 5120), 651_645_440, published="H"),
)
"""Small to large within a family. Of those after DINOv3, the publishers' pages were read (LingBot,
EUPE) or other libraries' tables of them (TIPSv2, C-RADIO); none of their weights was at hand."""
