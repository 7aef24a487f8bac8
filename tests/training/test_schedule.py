import json
from pathlib import Path

import pytest

from plainmask.training.schedule import annealing_windows, learning_rate, mask_probability

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "schedules.json").read_text())
COCO_STEPS, ADE_STEPS = 12 * 7391, 16 * 1262


@pytest.mark.parametrize("case", ["lr_coco", "lr_short", "lr_warm_beyond_total"])
def test_learning_rate_is_the_published_one(case: str):
    golden = GOLDEN[case]
    for step, rates in golden["values"].items():
        for base, rate in zip(golden["base_lrs"], rates, strict=True):
            ours = learning_rate(
                int(step),
                base=base,
                warmup=golden["warmup_steps"],
                total=golden["total_steps"],
                minimum=golden["min_lr"],
            )
            assert ours == pytest.approx(rate, abs=1e-9)
            assert ours == pytest.approx(rate, rel=1e-10, abs=1e-14)  # all the digits recorded


@pytest.mark.parametrize("case", ["mask_annealing_coco", "mask_annealing_ade"])
def test_mask_probabilities_are_the_published_ones(case: str):
    golden = GOLDEN[case]
    windows = list(zip(golden["start_steps"], golden["end_steps"], strict=True))
    for step, probabilities in golden["probs"].items():
        ours = [mask_probability(int(step), *window) for window in windows]
        assert ours == pytest.approx(probabilities, abs=1e-6)


@pytest.mark.parametrize(
    ("case", "total"), [("mask_annealing_coco", COCO_STEPS), ("mask_annealing_ade", ADE_STEPS)]
)
def test_annealing_windows_are_the_published_ones(case: str, total: int):
    golden = GOLDEN[case]
    published = list(zip(golden["start_steps"], golden["end_steps"], strict=True))
    assert annealing_windows(6, total) == published


@pytest.mark.parametrize("blocks", [1, 2, 3, 4, 6, 9])
@pytest.mark.parametrize("total", [1, 7, 100, 2000, 88692])
def test_every_block_is_free_in_order_before_the_run_ends(blocks: int, total: int):
    windows = annealing_windows(blocks, total)
    assert len(windows) == blocks
    assert windows == sorted(windows)
    assert all(0 <= start <= end <= total for start, end in windows)
    assert all(mask_probability(total, *window) == 0 for window in windows)


def test_a_short_run_frees_the_first_block_before_the_second():
    (_, first_end), (second_start, _), *_ = annealing_windows(4, 1500)
    assert first_end == second_start == 400


def test_the_first_update_with_warmup_has_rate_zero():
    assert learning_rate(0, base=1.0, warmup=10, total=100, minimum=0.0) == 0
    assert learning_rate(10, base=1.0, warmup=10, total=100, minimum=0.0) == 1
