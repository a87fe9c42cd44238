"""What all tests share: how hypothesis draws."""

from hypothesis import settings

# The same examples in every run, so that a red run is about a change and not about luck, and no
# deadline for one example: machines are shared, and time is measured in `bench/`.
settings.register_profile("zring", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("zring")
