"""`python -m derms.cli`, where the script `headroom` is not installed."""

from derms.cli.main import run

run()
