"""`listen_everywhere`: one port on every address of a pod, whichever IP family its cluster has."""

import errno
import socket

_NO_IPV6 = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


def listen_everywhere(port: int) -> socket.socket:
    """A socket that takes IPv4 and IPv6, or IPv4 alone on a machine without the other. Raises OSError.

    One socket for both, because with two, port 0 would be two ports.
    """
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        except OSError as error:
            if error.errno not in _NO_IPV6:
                raise
    return socket.create_server(("", port))
