"""The set-up calls for tests cannot be switched on in production, and are not mounted when off."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from telemetry.protocols.ieee2030_5.test_api import TestApi

ROOT = Path(__file__).resolve().parents[2]


def test_production_refuses_the_test_api(tmp_path: Path) -> None:
    env = {**os.environ, "HEADROOM_PRODUCTION": "1", "UTILITY_TEST_API": "1", "SECRET_KEY": "x" * 50}
    env["HEADROOM_STATE_DIR"] = str(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", "import derms.settings"], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0 and "UTILITY_TEST_API" in done.stderr


def test_the_test_api_is_off_by_default() -> None:
    with pytest.raises(ImproperlyConfigured):
        TestApi()
