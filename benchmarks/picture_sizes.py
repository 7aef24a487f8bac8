"""Time of encoder and decoder by the size at which a head sees a picture, in two dtypes.

    python benchmarks/picture_sizes.py [PICTURE] [--head scenes] [--sizes 140 392] [--plot FILE.svg]

Prints a table; the plot has the same figures. What is timed, and how: `plainmask bench`.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SIZES = (70, 98, 140, 196)
DTYPES: Mapping[Any, str] = {"float32": "#4477aa", "bfloat16": "#cc6677"}
Curve = Sequence[tuple[int, float]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("picture", nargs="?", default="docs/sheet.jpg")
    parser.add_argument("--head", default="scenes")
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    parser.add_argument("--plot", type=Path, help="an SVG of the encoder's times")
    options = parser.parse_args()
    print("| dtype | size | tokens | encoder ms (least to most) | of peak | decoder ms |")
    print("|---|---|---|---|---|---|")
    curves = {
        dtype: [measure(options.head, dtype, options.picture, size) for size in options.sizes]
        for dtype in DTYPES
    }
    if options.plot:
        options.plot.write_text(drawing(curves))


def measure(head: str, dtype: Any, picture: str, size: int) -> tuple[int, float]:
    """Print a row; the tokens and the encoder's median milliseconds."""
    from plainmask.inference.bench import bench
    from plainmask.inference.loading import load_heads

    found = bench(load_heads([head], dtype=dtype), picture, size=size)
    steps = {step.name: step for step in found.steps}
    encoder, decoder = steps["encoder"], steps["decoder"]
    share = (encoder.gflops or 0) / found.peak_gflops
    least, most = 1e3 * min(encoder.seconds), 1e3 * max(encoder.seconds)
    print(
        f"| {dtype} | {size} | {found.tokens} | {1e3 * encoder.median:.0f} "
        f"({least:.0f} to {most:.0f}) | {100 * share:.0f} % | {1e3 * decoder.median:.0f} |",
        flush=True,
    )
    return found.tokens, 1e3 * encoder.median


def drawing(curves: Mapping[str, Curve]) -> str:
    """The curves as an SVG: tokens to the right, milliseconds up."""
    most = [max(point[axis] for curve in curves.values() for point in curve) for axis in (0, 1)]
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 480 300" font-family="sans-serif" '
        'font-size="12"><rect width="480" height="300" fill="white"/>',
        '<path d="M60 20V250H450" fill="none" stroke="black"/>',
        '<text x="255" y="285" text-anchor="middle">tokens</text>',
        '<text x="60" y="14" text-anchor="middle">encoder, ms</text>',
        f'<text x="54" y="34" text-anchor="end">{most[1]:.0f}</text>',
        '<text x="54" y="254" text-anchor="end">0</text>',
    ]
    for tokens, _ in next(iter(curves.values())):
        x = 60 + 380 * tokens / most[0]
        parts.append(f'<text x="{x:.0f}" y="266" text-anchor="middle">{tokens}</text>')
    for row, (name, curve) in enumerate(curves.items()):
        points = [(60 + 380 * x / most[0], 250 - 220 * y / most[1]) for x, y in curve]
        line, colour = " ".join(f"{x:.0f},{y:.0f}" for x, y in points), DTYPES[name]
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.0f}" cy="{y:.0f}" r="3" fill="{colour}"/>' for x, y in points]
        parts.append(f'<text x="80" y="{45 + 18 * row}" fill="{colour}">{name}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


if __name__ == "__main__":
    main()
