"""Where in a latent space each emotion lies from neutral (SSERD, eq. 11): normals of linear
boundaries that don't depend on what a mouth says.

What changes as a mouth speaks and nothing is felt is taken out of the space before a boundary is
looked for, so latents of one emotion and different mouths lie on one side at one distance. What is
left is whitened: a boundary's normal is the way to go only where latents vary alike in all
directions, as StyleGAN's nearly do. It works in any latent space, StyleGAN2's too.
Legend: M codes, N tokens, D numbers of each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.errors import MienError
from engine.types import F32
from face.types import EMOTIONS

NEUTRAL: Final = EMOTIONS.index("neutral")
FEWEST: Final = 4
"""codes of an emotion"""
SOFTNESS: Final = 0.001
"""C of the support vector machine"""
EXPLAINED: Final = 0.95
"""share of what mouths do to a latent that is taken out"""
KEPT: Final = 0.99
"""share of what latents differ in that boundaries are looked for in: the rest is noise"""
MOST: Final = 16
"""directions of the latent space that speech may take"""


def speech_basis(codes_MND: F32, group: Sequence[int]) -> F32:
    """Orthonormal directions [K, N * D] in which the latents of each ``group`` [M] (one head that
    feels nothing, and speaks) differ."""
    flat, of = codes_MND.reshape(len(codes_MND), -1).astype(np.float64), np.asarray(group)
    apart = [flat[of == one] - flat[of == one].mean(axis=0) for one in np.unique(of)]
    if not apart:
        return np.zeros((0, flat.shape[1]), np.float32)
    _, sizes, right = np.linalg.svd(np.concatenate(apart), full_matrices=False)
    share = np.cumsum(sizes**2) / max(float((sizes**2).sum()), 1e-12)
    count = min(int(np.searchsorted(share, EXPLAINED)) + 1, MOST, int((sizes > 1e-9).sum()))
    return right[:count].astype(np.float32)


def from_own_neutral(
    codes_MND: F32, label: NDArray[np.int64], whose: Sequence[str]
) -> tuple[F32, NDArray[np.bool_]]:
    """Codes less each person's own neutral, which one who isn't seen neutral has not: whose codes
    are left out by the second answer [M]. Else what tells people and sources apart, of which some
    show an emotion more than others do, would be taken for it."""
    own, known = codes_MND.copy(), np.zeros(len(label), np.bool_)
    of = np.asarray(whose)
    for person in np.unique(of):
        calm = (of == person) & (label == NEUTRAL)
        if calm.any():
            own[of == person] -= codes_MND[calm].mean(axis=0)
            known |= of == person
    return own, known & (label >= 0)


def mean_directions(codes_MND: F32, label: NDArray[np.int64], speech: F32) -> Mapping[int, F32]:
    """The same from the mean of neutral to that of each emotion: what faces do, where a boundary's
    normal is what tells them apart. Raises MienError where nothing is neutral."""
    flat = codes_MND.reshape(len(codes_MND), -1)
    calm = _calm(label)
    found = {}
    for emotion in _felt(label):
        change = flat[label == emotion].mean(axis=0) - flat[calm].mean(axis=0)
        change -= change @ speech.T @ speech
        change /= np.linalg.norm(change)
        found[emotion] = change.reshape(codes_MND.shape[1:]).astype(np.float32)
    return found


def _calm(label: NDArray[np.int64]) -> NDArray[np.bool_]:
    calm = label == NEUTRAL
    if calm.sum() < FEWEST:
        raise MienError(f"{calm.sum()} neutral faces are too few to tell emotions from; add some")
    return np.asarray(calm)


def _felt(label: NDArray[np.int64]) -> list[int]:
    """Emotions of which there are enough codes."""
    return [e for e in range(len(EMOTIONS)) if e != NEUTRAL and (label == e).sum() >= FEWEST]


def emotion_directions(codes_MND: F32, label: NDArray[np.int64], speech: F32) -> Mapping[int, F32]:
    """The unit vector [N, D] from neutral towards each emotion (eq. 11), by its place in EMOTIONS;
    those of which there are too few codes are left out. ``speech`` [K, N * D] is what they are
    to be blind to. Raises MienError where nothing is neutral."""
    from sklearn.svm import LinearSVC

    flat = codes_MND.reshape(len(codes_MND), -1)
    calm = _calm(label)
    blind = flat - flat @ speech.T @ speech
    middle = blind.mean(axis=0)
    _, sizes, right = np.linalg.svd((blind - middle).astype(np.float64), full_matrices=False)
    share = np.cumsum(sizes**2) / max(float((sizes**2).sum()), 1e-12)
    count = int(np.searchsorted(share, KEPT)) + 1
    spread = sizes[:count, None] / np.sqrt(len(flat)) * right[:count]
    white = (blind - middle) @ np.linalg.pinv(spread)
    found = {}
    for emotion in _felt(label):
        felt = label == emotion
        both = calm | felt
        machine = LinearSVC(C=SOFTNESS, class_weight="balanced", random_state=0, max_iter=20_000)
        machine.fit(white[both], felt[both])
        normal = machine.coef_[0] @ spread
        normal /= np.linalg.norm(normal)
        found[emotion] = normal.reshape(codes_MND.shape[1:]).astype(np.float32)
    return found
