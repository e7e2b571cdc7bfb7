#!/usr/bin/env python3
"""Headroom's command line: `python manage.py help`."""

import os
import sys


def main() -> None:
    """Hand the command line to Django."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "derms.settings")
    if sys.argv[1:2] == ["bench"]:
        # As the feeders' processes run: threads of a linear algebra that wait for each other count as processor time.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
