"""The Service of a Model's engine. Its EndpointSlices carry its labels, by which the gateway finds them."""

from berth_api.model import Model
from berth_api.names import model_labels
from berth_kube.resources import SERVICES
from berth_operator.children.metadata import Manifest, build_child
from berth_operator.children.names import ENGINE_PORT_NAME, SERVICE_PORT, engine_name


def build_service(model: Model) -> Manifest:
    """The Service: port 80 leads to the engine."""
    port = {"name": ENGINE_PORT_NAME, "port": SERVICE_PORT, "targetPort": ENGINE_PORT_NAME, "protocol": "TCP"}
    content = {"spec": {"selector": model_labels(model.metadata.name), "ports": [port]}}
    return build_child(SERVICES, model, engine_name(model.metadata.name), content)
