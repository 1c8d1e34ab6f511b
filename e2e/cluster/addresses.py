"""Every address in the cluster's network namespace. Nothing outside reaches them, so they are the same everywhere."""

NODE_NAME = "berth-node"
NODE_ADDRESS = "10.77.0.1"
API_SERVER = f"https://{NODE_ADDRESS}:6443"
REGISTRY = f"{NODE_ADDRESS}:5000"

POD_SUBNET = "10.244.0.0/24"
SERVICE_SUBNET = "10.96.0.0/16"
# The first address of the subnet is always that of the Service `kubernetes`.
API_SERVICE_ADDRESS = "10.96.0.1"
DNS_ADDRESS = "10.96.0.10"
DNS_DOMAIN = "cluster.local"
# Pods on fake nodes get addresses here; nothing answers at them, and whoever tries is told at once.
FAKE_POD_SUBNET = "10.245.0.0/16"

# What the files in config/ may leave open, each written as @NAME@.
PLACEHOLDERS = {
    "NODE_ADDRESS": NODE_ADDRESS,
    "NODE_NAME": NODE_NAME,
    "REGISTRY": REGISTRY,
    "POD_SUBNET": POD_SUBNET,
    "DNS_ADDRESS": DNS_ADDRESS,
    "DNS_DOMAIN": DNS_DOMAIN,
}
