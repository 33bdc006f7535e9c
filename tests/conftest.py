"""What holds for every test."""

from hypothesis import settings

# Tests never time; a machine that others use too is slow at any moment. What is promised about time is a bar.
settings.register_profile("commonweal", deadline=None)
settings.load_profile("commonweal")
