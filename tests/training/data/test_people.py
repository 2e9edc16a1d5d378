"""People are kept together, and divided evenly."""

from __future__ import annotations

import numpy as np

from training.people import alike, by_fold, fingerprint, folds, together


def face(seed: int, size: int = 256) -> np.ndarray:
    import cv2

    small = np.random.default_rng(seed).integers(0, 256, (12, 12, 3)).astype(np.uint8)
    return cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC).astype(np.uint8)


def test_one_picture_twice_is_found_whatever_was_done_to_it() -> None:
    import cv2

    first = face(0)
    packed = cv2.imdecode(cv2.imencode(".jpg", first, [1, 30])[1], 1)
    assert packed is not None
    darker = (0.6 * packed.astype(np.float32) + 20).astype(np.uint8)
    prints = np.stack([fingerprint(picture) for picture in (first, face(1), darker, face(2))])
    assert prints.shape == (4, 256)
    assert alike(prints) == [(0, 2)]


def test_names_that_share_a_picture_are_one_person() -> None:
    person = together(["a", "b", "c", "d"], [("c", "d"), ("b", "c")])
    assert person == {"a": "a", "b": "b", "c": "b", "d": "b"}


def test_folds_hold_about_as_much_of_each_label() -> None:
    rng = np.random.default_rng(0)
    labels = {
        f"p{i}": list(rng.choice(["happy", "sad", "angry"], rng.integers(1, 9), p=[0.6, 0.3, 0.1]))
        for i in range(60)
    }
    chosen = folds(labels, 5)
    assert chosen == folds(labels, 5) and set(chosen.values()) == set(range(5))
    for name in ("happy", "sad", "angry"):
        counts = [
            sum(labels[p].count(name) for p in labels if chosen[p] == fold) for fold in range(5)
        ]
        assert max(counts) - min(counts) <= max(4, 0.25 * max(counts))


def test_as_many_folds_as_people_leave_each_out_once() -> None:
    labels = {f"s{i}": ["happy"] * (3 + i) + ["sad"] * 3 for i in range(8)}
    divided = by_fold(folds(labels, 8), {name: name for name in labels})
    assert sorted(map(len, divided)) == [1] * 8
