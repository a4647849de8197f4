"""Small words and small pictures that all pages share."""

from __future__ import annotations

import numpy as np
import pytest

from app import parts
from ddm_core import pictures


@pytest.mark.parametrize(("count", "says"), [(0, "0 steps"), (1, "1 step"), (2000, "2,000 steps")])
def test_one_is_no_plural(count: int, says: str) -> None:
    assert parts.counted(count, "step") == says


def test_a_hyphen_between_words_is_no_minus() -> None:
    before = "Expert-Data: FID(full) - FID(top_k:k=2) = -3.07 [-4.95, -.2], made 2026-11-24"
    after = "Expert-Data: FID(full) − FID(top_k:k=2) = −3.07 [−4.95, −.2], made 2026-11-24"
    assert parts.minus(before) == after


@pytest.mark.parametrize(("side", "line"), [(16, 1), (17, 0)])
def test_small_images_are_parted_by_a_line_and_keep_their_pixels(side: int, line: int) -> None:
    images = np.random.default_rng(0).integers(100, 256, (5, side, side, 3)).astype(np.uint8)
    picture = pictures.grid(images)
    step = side + line
    assert picture.shape == (2 * step - line, 3 * step - line, 3)
    for i, image in enumerate(images):
        y, x = step * (i // 3), step * (i % 3)
        np.testing.assert_array_equal(picture[y : y + side, x : x + side], image)
    if line:
        assert len(np.unique(picture[side])) == len(np.unique(picture[:, side])) == 1
