"""How resolver and loader get the key or the certificates by which a Model's artifact has to be signed.

A text in the Model travels as it is in their command line, one in a ConfigMap as a mounted file. As with Secrets the
mount is optional: a pod without it starts and says what is missing.
"""

from typing import Final

from berth_api.engine import ConfigMapKeyReference
from berth_api.model import Model
from berth_api.signature import Signature
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


def signature_volumes(model: Model) -> list[Manifest]:
    """The ConfigMap, if the Model names one: of all its keys that one alone."""
    reference = _reference(model)
    if reference is None:
        return []
    items = [{"key": reference.key, "path": reference.key}]
    return [{"name": _VOLUME, "configMap": {"name": reference.name, "items": items, "optional": True}}]


def signature_mounts(model: Model) -> list[Manifest]:
    """Where it is seen."""
    return [{"name": _VOLUME, "mountPath": _PATH, "readOnly": True}] if _reference(model) is not None else []


def _reference(model: Model) -> ConfigMapKeyReference | None:
    signature = model.spec.source.signature
    part = (signature.key or signature.certificate) if signature is not None else None
    return part.config_map_ref if part is not None else None


def _path(reference: ConfigMapKeyReference | None) -> str:
    assert reference is not None, "a rule of the API"
    return f"{_PATH}/{reference.key}"
