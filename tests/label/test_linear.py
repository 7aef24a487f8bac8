"""The linear head in closed form: what it learns, and that sums forget what is taken away."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from plainmask.label.linear import PRIOR, LinearHead, Sums, entropy


def clouds(count: int = 300, width: int = 12) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
    """Features around three points, and their classes as shares."""
    rng = np.random.default_rng(0)
    middles = 3 * rng.standard_normal((3, width))
    which = np.arange(count) % 3
    features = (middles[which] + rng.standard_normal((count, width))).astype(np.float16)
    return features, np.eye(3, dtype=np.float32)[which]


def ones(count: int) -> NDArray[np.float32]:
    return np.ones(count, np.float32)


def solved(*parts: tuple[NDArray[np.float16], NDArray[np.float32], NDArray[np.float32]]):
    sums = Sums(12)
    for part in parts:
        sums.change("a", *part)
    return sums.solve()


def close(one: LinearHead | None, other: LinearHead | None) -> bool:
    assert one is not None
    assert other is not None
    return np.array_equal(one.classes, other.classes) and all(
        np.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in zip(one[1:], other[1:], strict=True)
    )


def test_it_is_discriminant_analysis_with_equal_classes():
    features, shares = clouds()
    values, weights = features.astype(np.float64), ones(300).astype(np.float64)
    weights[::3] = 2.5
    head = solved((features, shares, weights.astype(np.float32)))
    assert head is not None
    counts = (shares * weights[:, None]).sum(0)
    means = (shares * weights[:, None]).T @ values / counts[:, None]
    centred = values - means[shares.argmax(1)]
    within = (centred * weights[:, None]).T @ centred
    variance = np.trace((values * weights[:, None]).T @ values) / (counts.sum() * 12)
    covariance = (within + PRIOR * variance * np.eye(12)) / (counts.sum() + PRIOR)
    inverse = np.linalg.inv(covariance)
    assert np.allclose(head.weights, inverse @ means.T, rtol=1e-4, atol=1e-5)
    assert np.allclose(head.bias, -0.5 * np.einsum("kd,de,ke->k", means, inverse, means), rtol=1e-4)
    assert (head.predict(features) == shares.argmax(1)).mean() > 0.99


def test_it_does_not_matter_in_which_pieces_patches_come():
    features, shares = clouds()
    whole = solved((features, shares, ones(300)))
    pieces = solved(
        *((features[k : k + 50], shares[k : k + 50], ones(50)) for k in range(0, 300, 50))
    )
    assert close(whole, pieces)


def test_what_is_taken_away_is_forgotten():
    features, shares = clouds()
    noise = np.random.default_rng(1).standard_normal((40, 12)).astype(np.float16)
    wrong = np.eye(5, dtype=np.float32)[np.arange(40) % 2 + 3]
    longer = np.pad(shares, ((0, 0), (0, 2)))
    weights = np.linspace(0.1, 3, 40).astype(np.float32)
    changed = solved(
        (features, shares, ones(300)), (noise, wrong, weights), (noise, wrong, -weights)
    )
    assert close(changed, solved((features, longer, ones(300))))
    assert changed is not None
    assert changed.classes.tolist() == [0, 1, 2]


def test_much_of_a_class_does_not_outweigh_the_others():
    features, shares = clouds(600)
    few = np.concatenate([np.flatnonzero(shares[:, 0]), np.flatnonzero(shares[:, 1])[:4]])
    head = solved((features[few], shares[few][:, :2], ones(len(few))))
    assert head is not None
    seen_of_1 = features[np.flatnonzero(shares[:, 1])]
    assert (head.predict(seen_of_1) == 1).mean() > 0.9


def pictures_of(
    class_id: int, count: int, rng: np.random.Generator, width: int = 100
) -> list[NDArray[np.float16]]:
    """Patches of pictures that differ more from each other than patches within one."""
    middle = np.zeros(width)
    middle[class_id] = 4
    return [
        (middle + rng.standard_normal(width) + 0.3 * rng.standard_normal((20, width))).astype(
            np.float16
        )
        for _ in range(count)
    ]


def test_a_class_of_few_pictures_is_not_lost(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(0)
    sums, shares = Sums(100), np.eye(2, dtype=np.float32)
    for class_id, count in ((0, 60), (1, 2)):
        for number, features in enumerate(pictures_of(class_id, count, rng)):
            name = f"{class_id} {number}"
            sums.change(name, features, shares[[class_id] * 20], ones(20))
            sums.see(name, features, 0.3)
    new = [np.concatenate(pictures_of(class_id, 50, rng)) for class_id in (0, 1)]

    def right() -> list[float]:
        head = sums.solve()
        assert head is not None
        return [float((head.predict(new[k]) == k).mean()) for k in (0, 1)]

    corrected = right()
    monkeypatch.setattr(Sums, "_off", lambda self, classes, scatter: torch.zeros(len(classes)))
    plain = right()
    assert corrected[1] > plain[1] + 0.2
    assert corrected[0] > 0.95


@pytest.mark.parametrize("count", [0, 1])
def test_one_class_makes_no_head(count: int):
    features, shares = clouds()
    rows = np.flatnonzero(shares[:, 0])[:count]
    assert solved((features[rows], shares[rows], ones(count))) is None


def test_patches_without_labels_join_the_classes():
    features, shares = clouds(600)
    few = np.concatenate([np.flatnonzero(shares[:, k])[: 2 + k] for k in range(3)])
    noisy = (features + 4 * np.random.default_rng(3).standard_normal(features.shape)).astype(
        np.float16
    )
    sums = Sums(12)
    sums.change("a", noisy[few], shares[few], ones(len(few)))
    alone = sums.solve()
    sums.see("a", noisy, 0.3)
    joined = sums.solve()
    assert alone is not None
    assert joined is not None
    right = [(head.predict(noisy) == shares.argmax(1)).mean() for head in (alone, joined)]
    assert right[1] > right[0]
    sums.see("a", noisy[:9], 2.0)  # instead
    sums.forget("a")
    sums.forget("b")
    assert close(sums.solve(), alone)


def test_what_is_undecided():
    scores = np.array([[0, 0, 0], [50, 0, 0], [9, 9, -50]], np.float32)
    assert np.allclose(entropy(scores), [1, 0, np.log(2) / np.log(3)], atol=1e-5)
