"""The names of a Model's children, and the paths and ports that its pods share. Whoever looks for a child asks here."""

from typing import Final

from berth_api.names import child_name

ENGINE_CONTAINER: Final = "engine"
FETCH_CONTAINER: Final = "fetch"
RESOLVE_CONTAINER: Final = "resolve"
PREFETCH_CONTAINER: Final = "prefetch"
PREFETCH_COMPONENT: Final = "prefetch"
"""The label by which pods that are there for an image alone are told from engines."""
MEMBER_COMPONENT: Final = "member"
"""The label by which the members of a group are told from its head, which is an engine like any other."""
ENGINE_PORT: Final = 8000
ENGINE_PORT_NAME: Final = "http"
PROGRESS_PORT: Final = 8001
PROGRESS_PORT_NAME: Final = "progress"
SERVICE_PORT: Final = 80

MODELS_PATH: Final = "/models"
MODEL_VIEW_PATH: Final = "/models/model"
"""Where the loader shows the artifact's files under their own names."""
TEMPLATE_FOLDER: Final = "/etc/berth/chat-template"


def engine_name(model: str) -> str:
    """The Deployment, Service, PodDisruptionBudget and NetworkPolicy of a Model's engine."""
    return child_name(model, "engine")


def members_name(model: str) -> str:
    """The Deployment of the members of a Model's group: all of its pods but the head."""
    return child_name(model, "members")


def group_name(model: str) -> str:
    """The Service by which members find the head, and the NetworkPolicy that opens a group's pods to each other."""
    return child_name(model, "group")


def loading_name(model: str) -> str:
    """The NetworkPolicy that lets pods out while they load."""
    return child_name(model, "loading")


def claim_name(model: str) -> str:
    """The PersistentVolumeClaim of a Model that has one of its own."""
    return child_name(model, "cache")


def prefetch_name(model: str) -> str:
    """The DaemonSet by which nodes have the Model's image before its pods come."""
    return child_name(model, "prefetch")


def resolver_name(model: str, inputs: str, attempt: int) -> str:
    """The resolver Job for these inputs. Each attempt has its own name: the next may begin while one goes."""
    return child_name(model, "resolve", inputs, *([str(attempt)] if attempt > 1 else []))


def child_identities(model: str) -> tuple[tuple[str, str], ...]:
    """Kind and name of everything but Jobs that may be made for a Model."""
    engine = engine_name(model)
    return (
        ("Deployment", engine),
        ("Service", engine),
        ("PodDisruptionBudget", engine),
        ("NetworkPolicy", engine),
        ("NetworkPolicy", loading_name(model)),
        ("Deployment", members_name(model)),
        ("Service", group_name(model)),
        ("NetworkPolicy", group_name(model)),
        ("PersistentVolumeClaim", claim_name(model)),
        ("DaemonSet", prefetch_name(model)),
    )
