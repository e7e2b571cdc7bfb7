"""Where compiled kernels are kept: a folder named after the kernels' own text.

numba looks only at the file of the function it loads: a kernel that another file's change should have changed would be
taken from the cache as it was. With the digest of all of them in the path, it never is. Imported before any kernel.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from numba import config

FOLDER = Path(__file__).parent


def digest() -> str:
    """Return the digest of the program text of every file here that holds a kernel, or what kernels are made of."""
    text = hashlib.sha256()
    for path in sorted(FOLDER.glob("*.py")):
        content = path.read_bytes()
        if b"njit" in content or b"numba" in content:
            text.update(path.name.encode() + b"\0" + content)
    return text.hexdigest()[:16]


def choose() -> Path:
    """Return the folder: beside the program where that can be written, else the user's own under the temporary one."""
    beside = FOLDER / "__pycache__"
    try:
        beside.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=beside):
            return beside / f"kernels-{digest()}"
    except OSError:
        return Path(tempfile.gettempdir()) / f"headroom-kernels-{os.getuid()}" / digest()


if not getattr(config, "CACHE_DIR", ""):
    setattr(config, "CACHE_DIR", str(choose()))  # noqa: B010 - numba declares it at run time
