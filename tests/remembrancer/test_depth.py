"""The depth of the tests: which steps are tested, and which are left out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remembrancer.testing.depth import failing_steps, stride


@given(last=st.integers(1, 60), usual=st.integers(1, 20), name=st.text())
def test_tested_steps_are_a_stride_apart_at_most_up_to_the_last(
    last: int, usual: int, name: str
) -> None:
    found = list(failing_steps(lambda at: at <= last, usual=usual, name=name))
    gaps = [after - before for before, after in zip([0, *found], found, strict=False)]
    assert all(1 <= gap <= stride(usual) for gap in gaps)
    assert found[-1] == last


def test_work_without_a_step_is_an_error() -> None:
    with pytest.raises(AssertionError, match="no step"):
        list(failing_steps(lambda _at: False, usual=7, name="any"))
