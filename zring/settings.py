"""The settings that all nodes of a cluster share, and the limits of what a ring may hold."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgpack

from zring.digest import hash_bytes
from zring.errors import InvalidDocument
from zring.fields import checked_items, integer_of, member_of, text_of

PLACEMENTS = ("halo", "edge", "corner", "moore")
NAME_BYTES_MAX = 128
"""Names of clusters, nodes and collections; they stand in every ring and on every status page."""
EPOCH_MAX = 1 << 53
"""Changes of a ring; an epoch beyond it is damage, and would leave no room to move forward."""
KEEP_DAYS_MAX = 1 << 20
"""Days that records may be kept; whoever wants longer than 2,800 years sets none."""
COPIES_MAX = 64
"""Replicas or far copies of a grain."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What all nodes must agree on besides ownership.

    Attributes:
        epoch: rises with every change; settings of the greatest epoch win a merge.
        placement: one of `PLACEMENTS`.
        replicas: nodes besides the owner that keep each grain (`halo` only).
        far_copies: further copies on the farthest nodes.
        archives: nodes that own nothing and hold everything, sorted.
        keep_days: collection → days that its records are kept; others are kept for ever.
        expiry_days: collection → first day (since the epoch of time) that is kept now.

    Raises:
        InvalidDocument: names the setting and what it may be.
    """

    epoch: int = 0
    placement: str = "halo"
    replicas: int = 2
    far_copies: int = 0
    archives: tuple[str, ...] = ()
    expiry_days: Mapping[str, int] = field(default_factory=dict)
    keep_days: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_range("settings.epoch", self.epoch, 0, EPOCH_MAX)
        if self.placement not in PLACEMENTS:
            raise InvalidDocument(
                f"placement={self.placement!r} is none of {', '.join(PLACEMENTS)}"
            )
        check_range("replicas", self.replicas, 0, COPIES_MAX)
        check_range("far_copies", self.far_copies, 0, COPIES_MAX)
        for name in (*self.archives, *self.expiry_days, *self.keep_days):
            check_name(name)
        if list(self.archives) != sorted(set(self.archives)):
            object.__setattr__(self, "archives", tuple(sorted(set(self.archives))))
        for collection, day in self.expiry_days.items():
            check_range(f"expiry_days.{collection}", day, -(1 << 31), 1 << 31)
        for collection, days in self.keep_days.items():
            check_range(f"keep_days.{collection}", days, 1, KEEP_DAYS_MAX)

    def to_plain(self) -> dict[str, Any]:
        """Plain values in a fixed order.

        What came later is left out where it is not used, so that nodes of before agree on the
        digest until then.
        """
        plain: dict[str, Any] = {
            "epoch": self.epoch,
            "placement": self.placement,
            "replicas": self.replicas,
            "far_copies": self.far_copies,
            "archives": list(self.archives),
            "expiry_days": dict(sorted(self.expiry_days.items())),
        }
        if self.keep_days:
            plain["keep_days"] = dict(sorted(self.keep_days.items()))
        return plain

    def rank(self) -> tuple[int, int, bytes]:
        """What decides between two settings: the epoch, then the digest of the content.

        Expiry days are left out: they are merged one by one and never go back (PROTOCOL 8).
        """
        content = packed({**self.to_plain(), "expiry_days": {}})
        return self.epoch, hash_bytes(content), content

    def merged(self, other: "Settings") -> "Settings":
        """The settings of the greater rank, with the greater expiry day of each collection."""
        winner = max(self, other, key=Settings.rank)
        days = dict(self.expiry_days)
        for collection, day in other.expiry_days.items():
            days[collection] = max(day, days.get(collection, day))
        return replace(winner, expiry_days=days)


def settings_from_plain(plain: object) -> Settings:
    """Undo `Settings.to_plain`; documents of before `keep_days` have none.

    Raises:
        InvalidDocument: a field is absent, of another type or out of its range.
    """
    if not isinstance(plain, dict):
        raise InvalidDocument("field settings is missing or no dict")
    archives = member_of(plain, "archives", list)
    return Settings(
        epoch=integer_of(plain, "epoch"),
        placement=text_of(plain, "placement"),
        replicas=integer_of(plain, "replicas"),
        far_copies=integer_of(plain, "far_copies"),
        archives=tuple(checked_items(archives, str, "archives")),
        expiry_days=_days(plain, "expiry_days"),
        keep_days=_days(plain, "keep_days") if "keep_days" in plain else {},
    )


def _days(plain: dict[str, Any], name: str) -> dict[str, int]:
    days = member_of(plain, name, dict)
    return dict(zip(days, checked_items(days.values(), int, name), strict=True))


def check_name(name: str) -> None:
    """Refuse names that are empty, too long or not printable."""
    if not 1 <= len(name.encode(errors="replace")) <= NAME_BYTES_MAX or not name.isprintable():
        raise InvalidDocument(
            f"name {name[:NAME_BYTES_MAX]!r} must be printable, of 1 to {NAME_BYTES_MAX} bytes"
        )


def check_range(name: str, value: int, low: int, high: int) -> None:
    """Refuse a number outside [low, high]."""
    if not low <= value <= high:
        raise InvalidDocument(f"{name}={value} is not between {low} and {high}")


def packed(plain: object) -> bytes:
    """Plain values as msgpack; equal values in equal order give equal bytes."""
    document: bytes = msgpack.packb(plain, use_bin_type=True)
    return document
