"""Memory and time of images that are larger and larger, seen in tiles.

    python benchmarks/tiled_memory.py [--head street-semantic] [--sizes 1000x750 8000x6000]

Each size runs in a process of its own; its peak memory is printed beside that of the image and its
result, which are the only parts that may grow.
"""

import argparse
import resource
import subprocess
import sys
import time

import numpy as np

SIZES = ("1000x750", "2000x1500", "4000x3000", "8000x6000")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--head", default="street-semantic")
    parser.add_argument("--sizes", nargs="+", default=SIZES, help="WIDTHxHEIGHT")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        run(options.head, options.only)
        return
    print(f"{'size':>12}{'tiles':>8}{'seconds':>10}{'peak MB':>10}{'image + result MB':>20}")
    for size in options.sizes:
        command = [sys.executable, __file__, "--head", options.head, "--only", size]
        subprocess.run(command, check=True)


def run(name: str, size: str) -> None:
    """Segment one made-up image and print a row."""
    from plainmask.allocator import keep_freed_memory
    from plainmask.inference.loading import load

    keep_freed_memory()
    width, height = map(int, size.split("x"))
    pattern = np.random.default_rng(0).integers(0, 256, (height // 20, width // 20, 3), np.uint8)
    image = np.repeat(np.repeat(pattern, 20, 0), 20, 1)
    segmenter = load(name)
    segmenter = segmenter.seeing("tiles")
    tiles: list[int] = []
    began = time.monotonic()
    result = segmenter(image, on_tile=lambda done, total: tiles.append(total))
    seconds = time.monotonic() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    own = (image.nbytes + result.flat_map().nbytes) / 1e6
    print(f"{size:>12}{tiles[-1]:8}{seconds:10.1f}{peak:10.0f}{own:20.0f}", flush=True)


if __name__ == "__main__":
    main()
