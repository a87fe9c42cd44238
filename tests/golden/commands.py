"""What all stages do with a line of a script."""

from collections.abc import Callable, Iterator


class Commands:
    """Carries out `name words…` by the method `_do_name`; hyphens are underscores there."""

    def play(self, line: str) -> Iterator[str]:
        """Carry out one command and yield the lines of its answer."""
        name, *words = line.split()
        act: Callable[..., Iterator[str] | None] = getattr(self, f"_do_{name.replace('-', '_')}")
        yield from act(*words) or ()
