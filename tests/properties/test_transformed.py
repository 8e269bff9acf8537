"""Random programs with control flow under random stacks of transformations.

A failure shows the program as Python source.
"""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from tracejit.testing.random_stacks import TRANSFORMATIONS, Stack, check_stack, random_stack


@st.composite
def stacks(draw: Any, top: str) -> Stack:
    return random_stack(lambda n: draw(st.integers(0, n - 1)), top=top)


@pytest.mark.parametrize("top", TRANSFORMATIONS)
@hypothesis.given(st.data())
@hypothesis.settings(max_examples=hypothesis.settings.default.max_examples // 5)
def test_every_way_agrees_and_the_transformation_is_what_it_says(top: str, data: Any) -> None:
    check_stack(data.draw(stacks(top)))
