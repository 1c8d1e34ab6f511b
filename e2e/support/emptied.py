"""A namespace that is gone soon after it is told to go."""

from berth_kube.resources import PODS
from e2e.support.objects import Objects
from e2e.support.programs import kubectl
from e2e.support.until import until

SECONDS = 60.0


def remove_namespace(objects: Objects, namespace: str) -> None:
    """Delete what is in it, wait for its pods, then delete it.

    Told at once, Kubernetes looks again only after half of the longest grace period of the pods that it found there,
    and that of an engine is its drain time: a minute for pods that went within seconds.
    """
    kubectl("delete", "models,modelroutes", "--all", "-n", namespace, seconds=SECONDS)
    until(lambda: not objects.items(PODS, namespace), seconds=SECONDS, what=f"{namespace} has no pods")
    kubectl("delete", "namespace", namespace, seconds=SECONDS)
