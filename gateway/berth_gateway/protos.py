"""Envoy's message types for what goes over xDS, from the package xds-protos plus what Envoy 1.40 has and it has not.

The additions go into a private descriptor pool, so that nobody else's use of the package changes. Used by codec.py.
"""

from functools import cache

# Importing a module registers its types, also those that only ever stand inside an Any.
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.http.header_mutation.v3 import header_mutation_pb2
from envoy.extensions.filters.http.lua.v3 import lua_pb2
from envoy.extensions.filters.http.upstream_codec.v3 import upstream_codec_pb2
from envoy.extensions.load_balancing_policies.least_request.v3 import least_request_pb2
from envoy.extensions.matching.common_inputs.network.v3 import network_inputs_pb2
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2
from envoy.type.matcher.v3 import http_inputs_pb2
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool

_MODULES = (
    cluster_pb2,
    endpoint_pb2,
    header_mutation_pb2,
    http_inputs_pb2,
    http_protocol_options_pb2,
    least_request_pb2,
    lua_pb2,
    network_inputs_pb2,
    previous_hosts_pb2,
    route_pb2,
    upstream_codec_pb2,
)
_ROUTE_FILE = "envoy/config/route/v3/route_components.proto"
_WRAPPERS_FILE = "google/protobuf/wrappers.proto"


@cache
def envoy_pool() -> DescriptorPool:
    """All message types that render.py uses, as Envoy 1.40 defines them."""
    files: dict[str, FileDescriptorProto] = {}
    for module in _MODULES:
        _collect(module.DESCRIPTOR, files)
    _add_refresh_cluster_on_retry(files[_ROUTE_FILE])
    files["berth/priority_group.proto"] = _priority_group()
    pool = DescriptorPool()
    for file in files.values():
        pool.Add(file)
    return pool


def _collect(descriptor: FileDescriptor, files: dict[str, FileDescriptorProto]) -> None:
    """Put `descriptor`'s file and all that it imports into `files`, imports first."""
    if descriptor.name in files:
        return
    for dependency in descriptor.dependencies:
        _collect(dependency, files)
    file = FileDescriptorProto()
    descriptor.CopyToProto(file)
    files[descriptor.name] = file


def _add_refresh_cluster_on_retry(routes: FileDescriptorProto) -> None:
    """`RetryPolicy.refresh_cluster_on_retry`: choose the cluster anew for each attempt."""
    policy = next(message for message in routes.message_type if message.name == "RetryPolicy")
    if all(field.name != "refresh_cluster_on_retry" for field in policy.field):
        _field(policy.field.add(), "refresh_cluster_on_retry", 14, FieldDescriptorProto.TYPE_BOOL)


def _priority_group() -> FileDescriptorProto:
    """`PriorityGroupClusterSpecifier`, as far as Berth uses it; the numbers are those of Envoy's own file."""
    package = "envoy.extensions.router.cluster_specifiers.priority_group.v3"
    file = FileDescriptorProto(name="berth/priority_group.proto", package=package, syntax="proto3")
    file.dependency.append(_WRAPPERS_FILE)
    weight = file.message_type.add(name="ClusterWeight")
    _field(weight.field.add(), "cluster_name", 1, FieldDescriptorProto.TYPE_STRING)
    _field(weight.field.add(), "weight", 2, FieldDescriptorProto.TYPE_MESSAGE, ".google.protobuf.UInt32Value")
    group = file.message_type.add(name="PriorityGroup")
    _field(group.field.add(), "name", 1, FieldDescriptorProto.TYPE_STRING)
    clusters = _field(group.field.add(), "clusters", 2, FieldDescriptorProto.TYPE_MESSAGE, f".{package}.ClusterWeight")
    clusters.label = FieldDescriptorProto.LABEL_REPEATED
    specifier = file.message_type.add(name="PriorityGroupClusterSpecifier")
    message = f".{package}.PriorityGroup"
    groups = _field(specifier.field.add(), "priority_groups", 1, FieldDescriptorProto.TYPE_MESSAGE, message)
    groups.label = FieldDescriptorProto.LABEL_REPEATED
    return file


def _field(
    field: FieldDescriptorProto,
    name: str,
    number: int,
    kind: "FieldDescriptorProto.Type.ValueType",
    message: str = "",
) -> FieldDescriptorProto:
    field.name, field.number, field.type, field.label = name, number, kind, FieldDescriptorProto.LABEL_OPTIONAL
    if message:
        field.type_name = message
    return field
