"""Addresses of brokers and of listening sources, as settings give them."""

from collections.abc import Sequence

from ingest.errors import SettingsInvalid


def split_address(
    text: str, *, setting: str, schemes: Sequence[str] = (), port_min: int = 1
) -> tuple[str, int]:
    """Host and port of `HOST:PORT` or `SCHEME://HOST:PORT`; an IPv6 host stands in brackets.

    Args:
        port_min: 0 where the system may choose a free port.

    Raises:
        SettingsInvalid: names the setting.
    """
    rest = text
    scheme, separator, after = text.partition("://")
    if separator and scheme in schemes:
        rest = after
    host, colon, port = rest.rpartition(":")
    digits = port.isascii() and port.isdigit()
    if not (colon and host and digits and port_min <= int(port) < 1 << 16) or "/" in rest:
        raise SettingsInvalid(f"{setting}={text} is no address; write HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)
