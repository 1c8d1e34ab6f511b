"""What one reading of credentials gave, as values: made by credentials.py and kubeconfig.py."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Login:
    """Server and identity. Certificates and key are PEM texts; what is empty is not used.

    `authority` empty means the authorities that the machine trusts. `origin` is the file that an error would name.
    """

    server: str
    token: str = field(default="", repr=False)
    authority: str = ""
    certificate: str = ""
    key: str = field(default="", repr=False)
    server_name: str = ""
    verify: bool = True
    origin: str = "the service account"
