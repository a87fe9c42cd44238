"""Fields of documents that came from elsewhere: the value with the right type, or an error."""

from collections.abc import Iterable, Mapping
from typing import Any

from zring.errors import InvalidDocument


def member_of(plain: Mapping[str, Any], name: str, kind: type) -> Any:
    """A field of one type; `bool` is no `int` here.

    Raises:
        InvalidDocument: it is absent or of another type.
    """
    value = plain.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise InvalidDocument(f"field {name} is missing or no {kind.__name__}")
    return value


def integer_of(plain: Mapping[str, Any], name: str) -> int:
    """A whole number."""
    return int(member_of(plain, name, int))


def text_of(plain: Mapping[str, Any], name: str) -> str:
    """A text."""
    return str(member_of(plain, name, str))


def integers_of(plain: Mapping[str, Any], name: str) -> list[int]:
    """A list of whole numbers."""
    return list(checked_items(member_of(plain, name, list), int, name))


def checked_items(values: Iterable[Any], kind: type, name: str) -> Iterable[Any]:
    """The values as they are, each of one type.

    Raises:
        InvalidDocument: one of them is of another type.
    """
    for value in values:
        if not isinstance(value, kind) or isinstance(value, bool):
            raise InvalidDocument(f"field {name} holds {type(value).__name__}, not {kind.__name__}")
        yield value
