"""The README's Python is run as it stands, on a simulated GPU where it asks for one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def test_the_code_of_the_readme_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 2
    code = "\n".join([*blocks, "print(gradient.device, noise.device)"])
    environment = {**os.environ, "TRACEJIT_CUDA_RUNTIME": "cudasim", "TRACEJIT_CACHE_DIR": ""}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["cuda:0", "cuda:0"]
