"""Entry point of `python -m apps.trade`."""

from apps.trade.cli import app

app(prog_name="python -m apps.trade")
