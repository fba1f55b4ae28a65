"""TLS of a fake, with certificates of an authority that lives as long as a test."""

import ssl

import trustme


def serving(authority: trustme.CA, host: str) -> ssl.SSLContext:
    """Return what a server at `host` speaks TLS with, certified by `authority`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    return context
