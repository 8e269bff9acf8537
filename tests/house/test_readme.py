"""The README's Python is run as it stands, on a simulated GPU where it asks for one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"

CHECKS = """
import numpy as np

np.testing.assert_allclose(by_reverse, by_forward, rtol=1e-12)
assert abs(slope - 0.5) + abs(row - 0.5) < 1e-12
assert matrix.shape == (1_000, 1_000)
assert matrix.nnz == 3_000
np.testing.assert_allclose(derivatives, [1.0, 0.0, -1.0, 0.0, 1.0], atol=1e-12)
np.testing.assert_allclose(slopes, 2 * x0)
np.testing.assert_allclose(at_identity, np.e * np.eye(3), atol=1e-12)
print(gradient.device, noise.device)
"""


def test_the_code_of_the_readme_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 2
    code = "\n".join([*blocks, CHECKS])
    environment = {**os.environ, "TRACEJIT_CUDA_RUNTIME": "cudasim", "TRACEJIT_CACHE_DIR": ""}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["|x|^2", "is", "3.50", "cuda:0", "cuda:0"]
