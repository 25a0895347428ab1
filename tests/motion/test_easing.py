"""One smooth step, of numbers and of arrays."""

from __future__ import annotations

import numpy as np
import pytest

from livehead.motion.easing import smoothstep


def test_it_rises_from_0_at_the_start_to_1_at_the_end() -> None:
    assert [smoothstep(value, 2.0, 4.0) for value in (1.0, 2.0, 3.0, 4.0, 9.0)] == [0.0, 0.0, 0.5, 1.0, 1.0]
    assert smoothstep(0.25) == pytest.approx(0.15625)


def test_it_can_fall() -> None:
    assert [smoothstep(value, 4.0, 2.0) for value in (1.0, 3.0, 5.0)] == [1.0, 0.5, 0.0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_array_keeps_its_shape_and_type(dtype: type) -> None:
    values = np.linspace(-1, 2, 12, dtype=dtype).reshape(3, 4)
    steps = smoothstep(values)
    assert (steps.shape, steps.dtype) == (values.shape, values.dtype)
    np.testing.assert_allclose(steps.ravel(), [smoothstep(float(value)) for value in values.ravel()], atol=1e-6)
