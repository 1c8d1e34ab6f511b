"""Whose signature an artifact must have: `source.signature` of a Model."""

from typing import Annotated

from pydantic import Field

from berth_api.bounds import ListOf
from berth_api.engine import ConfigMapKeyReference
from berth_api.part import Part
from berth_api.rules import Rule
from berth_api.scalars import Text

_KEY_BEGINS = "-----BEGIN PUBLIC KEY-----"
_CERTIFICATE_BEGINS = "-----BEGIN CERTIFICATE-----"

PublicKeyPem = Annotated[
    str,
    Text(
        1024,
        (
            Rule(
                f"self.startsWith('{_KEY_BEGINS}')",
                "not a public key in PEM",
                f"write the text that begins with `{_KEY_BEGINS}`, as `openssl pkey -pubout` prints it, and never the "
                "private one",
                holds=lambda pem: pem.startswith(_KEY_BEGINS),
            ),
        ),
    ),
]
CertificatesPem = Annotated[
    str,
    Text(
        16384,
        (
            Rule(
                f"self.startsWith('{_CERTIFICATE_BEGINS}')",
                "not a certificate in PEM",
                f"write the text that begins with `{_CERTIFICATE_BEGINS}`",
                holds=lambda pem: pem.startswith(_CERTIFICATE_BEGINS),
            ),
        ),
    ),
]
SignerName = Annotated[
    str,
    Text(
        256,
        (
            Rule(
                "self != ''",
                "an empty name is nobody's",
                "write it as the certificate has it, such as `release@example.com`",
                holds=bool,
            ),
        ),
    ),
]
_ONE_PLACE = Rule(
    "has(self.pem) != has(self.configMapRef)",
    "its text stands in exactly one place",
    "write `pem` or `configMapRef`, not both",
    holds=lambda part: (part.pem is None) != (part.config_map_ref is None),
)
_IN_CONFIG_MAP = "The key of a ConfigMap in which the PEM text stands, read when a pod fetches."


class SigningKey(Part):
    """The public key whose private half has signed: EC on P-256, P-384 or P-521."""

    invariants = (_ONE_PLACE,)

    pem: PublicKeyPem | None = Field(default=None, description="The key itself as PEM text.")
    config_map_ref: ConfigMapKeyReference | None = Field(default=None, description=_IN_CONFIG_MAP)


class SigningCertificate(Part):
    """The authorities whose certificates signers have: such as are for signing and valid now. And which of them may."""

    invariants = (_ONE_PLACE,)

    pem: CertificatesPem | None = Field(
        default=None, description="The certificates of the authorities as PEM text, one after the other."
    )
    config_map_ref: ConfigMapKeyReference | None = Field(default=None, description=_IN_CONFIG_MAP)
    signers: Annotated[tuple[SignerName, ...], ListOf(16, "set")] = Field(
        default=(),
        description="The names of those who may sign: an alternative name of their certificate (e-mail address, URI, "
        "DNS name) or, where it has none, the common name or whole subject. Without it whoever has a certificate may.",
        examples=[["release@example.com"]],
    )


class Signature(Part):
    """Who must have signed the artifact, by OpenSSF model signing."""

    invariants = (
        Rule(
            "has(self.key) != has(self.certificate)",
            "exactly one way to know the signer is needed",
            "write `key` or `certificate`, not both",
            holds=lambda signature: (signature.key is None) != (signature.certificate is None),
        ),
    )

    key: SigningKey | None = Field(default=None, description="The one key that signs.")
    certificate: SigningCertificate | None = Field(
        default=None, description="The authorities that give signers their certificates."
    )
