"""The PersistentVolumeClaim of a Model with `spec.cache.type: OwnedClaim`.

One that is retained has no owner, so that nothing takes it away with the Model; by its labels a Model of the same name
takes it up again, and finds what was fetched.
"""

from berth_api.model import Model
from berth_api.names import model_labels
from berth_api.scale import DeletionPolicy
from berth_kube.resources import PERSISTENT_VOLUME_CLAIMS, Object
from berth_operator.children.metadata import Manifest, build_child, with_hash
from berth_operator.children.names import claim_name


def build_claim(model: Model) -> Manifest | None:
    """The claim, or None where the Model asks for none."""
    wanted = model.spec.cache.owned_claim
    if wanted is None:
        return None
    spec: Manifest = {
        "accessModes": [str(wanted.access_mode)],
        "resources": {"requests": {"storage": str(wanted.size)}},
    }
    if wanted.storage_class_name:
        spec["storageClassName"] = wanted.storage_class_name
    child = build_child(PERSISTENT_VOLUME_CLAIMS, model, claim_name(model.metadata.name), {"spec": spec})
    if wanted.deletion_policy is DeletionPolicy.DELETE:
        return child
    kept = ("name", "namespace", "labels")
    return with_hash({**child, "metadata": {name: child["metadata"][name] for name in kept}})


def is_retained(claim: Object, model: str) -> bool:
    """Whether a claim is one that Berth made for a Model of that name, and that nobody owns."""
    metadata = claim["metadata"]
    is_ours = model_labels(model).items() <= (metadata.get("labels") or {}).items()
    return is_ours and not any(one.get("controller") for one in metadata.get("ownerReferences") or ())
