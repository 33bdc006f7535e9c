"""`python -m operators.cli`."""

from operators.cli.main import app

app()
