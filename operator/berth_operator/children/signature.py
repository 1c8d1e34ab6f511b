"""How resolver and loader get the key or the certificates by which a Model's artifact has to be signed.

A text in the Model travels as it is in their command line, one in a ConfigMap as a mounted file. As with Secrets the
mount is optional: a pod without it starts and says what is missing.
"""

from typing import Final

from berth_api.engine import ConfigMapKeyReference
from berth_api.signature import Signature
from berth_api.source import Source
from berth_operator.children.metadata import Manifest

_VOLUME: Final = "signature"
_PATH: Final = "/etc/berth/signature"


def signature_options(signature: Signature | None) -> list[str]:
    """The options of the command line. Each is one word, for a text in PEM begins like an option."""
    if signature is None:
        return []
    if signature.key is not None:
        return [f"--signed-by-key={signature.key.pem or _path(signature.key.config_map_ref)}"]
    assert signature.certificate is not None
    authority = signature.certificate.pem or _path(signature.certificate.config_map_ref)
    return [f"--signed-by-authority={authority}", *(f"--signer={name}" for name in signature.certificate.signers)]


def signature_volumes(source: Source, suffix: str = "") -> list[Manifest]:
    """The ConfigMap, if the source names one: of all its keys that one alone. `suffix` tells the sources of a pod from
    each other.
    """
    reference = _reference(source)
    if reference is None:
        return []
    items = [{"key": reference.key, "path": reference.key}]
    content = {"name": reference.name, "items": items, "optional": True}
    return [{"name": _volume_name(suffix), "configMap": content}]


def signature_mounts(source: Source, suffix: str = "") -> list[Manifest]:
    """Where it is seen."""
    if _reference(source) is None:
        return []
    return [{"name": _volume_name(suffix), "mountPath": _PATH, "readOnly": True}]


def _volume_name(suffix: str) -> str:
    return f"{_VOLUME}-{suffix}" if suffix else _VOLUME


def _reference(source: Source) -> ConfigMapKeyReference | None:
    signature = source.signature
    part = (signature.key or signature.certificate) if signature is not None else None
    return part.config_map_ref if part is not None else None


def _path(reference: ConfigMapKeyReference | None) -> str:
    assert reference is not None, "a rule of the API"
    return f"{_PATH}/{reference.key}"
