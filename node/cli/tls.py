"""TLS contexts of a node: for its two ports, and for its calls to others."""

import ssl

from node.config import Config
from node.errors import ConfigInvalid


def client_port_tls(config: Config) -> ssl.SSLContext | None:
    """TLS of the port for people and programs; None without a certificate.

    Raises:
        ConfigInvalid: a file cannot be used.
    """
    return _server(config, certificates=config.security.client_certificates)


def peer_port_tls(config: Config) -> ssl.SSLContext | None:
    """TLS of the port for other nodes; None without a certificate.

    Raises:
        ConfigInvalid: a file cannot be used.
    """
    return _server(config, certificates=config.security.peer_certificates)


def peer_call_tls(config: Config) -> ssl.SSLContext | None:
    """TLS for calls to other nodes, with our own certificate; None without one.

    Raises:
        ConfigInvalid: a file cannot be used.
    """
    if config.security.tls_cert is None:
        return None
    context = ssl.create_default_context()
    if config.security.tls_ca is not None:
        context = ssl.create_default_context(cafile=_readable_ca(config))
    load_certificate(context, config)
    return context


def load_certificate(context: ssl.SSLContext, config: Config) -> None:
    """Read certificate and key (again); connections from now on use them.

    Raises:
        ConfigInvalid: they cannot be used.
    """
    security = config.security
    assert security.tls_cert is not None and security.tls_key is not None
    try:
        context.load_cert_chain(security.tls_cert, security.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigInvalid(
            f"security.tls_cert={security.tls_cert} cannot be used: {error}",
            setting="security.tls_cert",
        ) from None


def _server(config: Config, *, certificates: bool) -> ssl.SSLContext | None:
    if config.security.tls_cert is None:
        return None
    cafile = _readable_ca(config) if certificates else None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=cafile)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load_certificate(context, config)
    if certificates:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _readable_ca(config: Config) -> str:
    file = config.security.tls_ca
    assert file is not None
    try:
        ssl.create_default_context(cafile=file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigInvalid(
            f"security.tls_ca={file} cannot be used: {error}", setting="security.tls_ca"
        ) from None
    return str(file)
