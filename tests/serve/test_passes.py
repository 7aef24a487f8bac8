"""The queue: what joins a pass, what comes out, and what is refused."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from plainmask.errors import PlainmaskError
from plainmask.inference.segmenter import Segmenter
from plainmask.serve.limits import Limits, RefusedError
from plainmask.serve.numbers import Numbers
from plainmask.serve.passes import Passes
from servers import Held
from tiny import tiny_encoder, tiny_head


def picture(seed: int, height: int = 60, width: int = 80) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture
def segmenter() -> Segmenter:
    encoder = tiny_encoder()
    heads = {"a": tiny_head("semantic", encoder), "b": tiny_head("semantic", encoder, 5)}
    return Segmenter(encoder, heads, device="cpu")


@pytest.fixture
def passes(segmenter: Segmenter) -> Iterator[Passes]:
    made = Passes(segmenter.shared, Limits(waiting=6), Numbers("tiny"))
    yield made
    made.close()


def test_results_are_those_of_the_segmenter(segmenter: Segmenter, passes: Passes):
    image = picture(0)
    expected = segmenter(image)
    found = passes.submit(image, segmenter.heads).result(30)
    assert list(found.results) == ["a", "b"]
    for name, result in expected.items():
        assert np.array_equal(found.results[name].flat_map(), result.flat_map())
    assert set(found.seconds) == {"queue", "encoder", "decoder", "results"}


def test_pictures_that_wait_share_a_pass_whatever_head_they_are_for(
    segmenter: Segmenter, passes: Passes
):
    held = Held(passes)
    first = passes.submit(picture(0), segmenter.heads)
    assert held.begun.wait(30)
    wanted = [("a", picture(1)), ("b", picture(2)), ("a", picture(3, 40, 80))]
    futures = [passes.submit(image, {name: segmenter.heads[name]}) for name, image in wanted]
    held.go.set()
    first.result(30)
    found = [future.result(30).results for future in futures]
    assert held.batches == [1, 2, 1]  # the third picture is of another size
    for (name, image), results in zip(wanted, found, strict=True):
        alone = Segmenter(segmenter.encoder, {name: segmenter.heads[name]}, device="cpu")(image)
        share = (results[name].flat_map() == alone[name].flat_map()).mean()
        assert share > 0.999  # sums of a batch may differ in the last bit
        for one, expected in zip(results[name].segments, alone[name].segments, strict=True):
            assert one.label == expected.label
            assert one.score == pytest.approx(expected.score, rel=1e-5)


def test_another_head_on_the_same_picture_needs_no_encoder(segmenter: Segmenter, passes: Passes):
    held = Held(passes)
    held.go.set()
    image = picture(0)
    passes.submit(image, {"a": segmenter.heads["a"]}).result(30)
    found = passes.submit(image, {"b": segmenter.heads["b"]}).result(30)
    assert held.batches == [1]
    assert np.array_equal(found.results["b"].flat_map(), segmenter["b"](image).flat_map())
    text = passes.numbers.text().decode()
    assert 'plainmask_encoder_passes_total{encoder="tiny"} 1.0' in text
    assert 'plainmask_head_runs_total{encoder="tiny",head="b",task="semantic"} 1.0' in text


def test_features_are_forgotten_within_the_limit(segmenter: Segmenter):
    passes = Passes(segmenter.shared, Limits(cache_megabytes=0.05), Numbers("tiny"))
    for seed in range(8):
        passes.submit(picture(seed), segmenter.heads).result(30)
        assert passes.kept.bytes <= 50_000
    passes.close()


def test_a_full_queue_says_when_to_come_again(segmenter: Segmenter, passes: Passes):
    held = Held(passes)
    futures = [passes.submit(picture(0), segmenter.heads)]
    assert held.begun.wait(30)
    futures += [passes.submit(picture(k), segmenter.heads) for k in range(1, 7)]
    with pytest.raises(RefusedError, match="6 pictures are waiting, of at most 6") as caught:
        passes.submit(picture(9), segmenter.heads)
    assert caught.value.status == 429
    assert caught.value.retry_after is not None
    held.go.set()
    assert all(future.result(30).results for future in futures)


def test_who_went_away_is_not_worked_for(segmenter: Segmenter, passes: Passes):
    held = Held(passes)
    first = passes.submit(picture(0), segmenter.heads)
    assert held.begun.wait(30)
    gone = passes.submit(picture(1), segmenter.heads)
    assert gone.cancel()
    held.go.set()
    first.result(30)
    passes.submit(picture(2), segmenter.heads).result(30)
    assert held.batches == [1, 1]


def test_what_fails_fails_alone(segmenter: Segmenter, passes: Passes):
    held = Held(passes)
    broken = tiny_head("semantic", segmenter.encoder)
    broken.decoder.queries.data.fill_(float("nan"))
    first = passes.submit(picture(0), segmenter.heads)
    assert held.begun.wait(30)
    bad = passes.submit(picture(1), {"broken": broken})
    good = passes.submit(picture(2), segmenter.heads)
    held.go.set()
    assert first.result(30).results
    assert good.result(30).results
    with pytest.raises(PlainmaskError, match="NaN"):
        bad.result(30)


def test_at_the_end_what_waits_is_answered_and_nothing_more_is_taken(segmenter: Segmenter):
    passes = Passes(segmenter.shared, Limits(), Numbers("tiny"))
    futures = [passes.submit(picture(k), segmenter.heads) for k in range(3)]
    passes.close()
    assert all(future.result(0).results for future in futures)
    with pytest.raises(RefusedError, match="shutting down") as caught:
        passes.submit(picture(4), segmenter.heads)
    assert caught.value.status == 503


def test_a_head_in_tiles_goes_alone(segmenter: Segmenter, passes: Passes):
    tiled = tiny_head("semantic", segmenter.encoder).seeing("tiles")
    image = picture(0, 90, 130)
    heads = {"tiled": tiled, "a": segmenter.heads["a"]}
    found = passes.submit(image, heads).result(30)
    assert list(found.results) == ["tiled", "a"]
    alone = Segmenter(segmenter.encoder, {"tiled": tiled}, device="cpu")(image)["tiled"]
    assert np.array_equal(found.results["tiled"].flat_map(), alone.flat_map())
