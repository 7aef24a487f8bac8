"""Whether painting is smooth: milliseconds of the page's own work at 4,000 x 3,000 pixels.

    python benchmarks/label_page.py

Strokes by mouse over a large picture, in chromium without a window, on a server with a tiny
encoder: what a segment of a stroke takes, what its end takes, and the time between two frames.
Needs playwright, and chromium.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from pages import chromium, labelling, large_picture, opened, settle, zigzag

MEASURED = """() => {
    window.segments = [];
    let began = 0;
    addEventListener("pointermove", () => { began = performance.now(); }, { capture: true });
    addEventListener("pointermove", () => segments.push(performance.now() - began));
    window.frames = [];
    let last = performance.now();
    requestAnimationFrame(function frame(now) {
        frames.push(now - last);
        last = now;
        requestAnimationFrame(frame);
    });
    window.releases = [];
    addEventListener("pointerup", () => { began = performance.now(); }, { capture: true });
    addEventListener("pointerup", () => releases.push(performance.now() - began));
}"""


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        chromium() as browser,
        labelling(large_picture(Path(folder))) as (_, address),
        opened(browser, address) as page,
    ):
        page.evaluate(MEASURED)
        for k in range(6):
            zigzag(page, 500 + 250 * k)
        settle(page)
        print(f"{'':<18}{'count':>6}{'median':>8}{'p95':>8}{'most':>8}  ms")
        names = {"segments": "part of a stroke", "releases": "end of a stroke", "frames": "frame"}
        for key, name in names.items():
            found = np.array(page.evaluate(key))
            low, high = np.percentile(found, [50, 95])
            print(f"{name:<18}{len(found):>6}{low:>8.1f}{high:>8.1f}{found.max():>8.1f}")


if __name__ == "__main__":
    main()
