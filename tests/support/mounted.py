"""What the kubelet lays before a container: ConfigMaps and Secrets as files, and the variables that lead to them.

    environ = mount_into(tmp_path, pod, container, {"ca-bundle": {"ca.crt": pem}})

Both kinds are given by name. As the kubelet does, what is optional and missing is passed over.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

Json = Mapping[str, Any]


def mount_into(folder: Path, pod: Json, container: Json, objects: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Write the files under `folder`; the container's variables, with paths there in place of its own."""
    sources = {volume["name"]: volume.get("configMap") or volume.get("secret") for volume in pod["volumes"]}
    environ = {variable["name"]: variable["value"] for variable in container["env"]}
    for mount in container["volumeMounts"]:
        source = sources[mount["name"]]
        if source is None:
            continue
        there = folder / mount["mountPath"].lstrip("/")
        there.mkdir(parents=True, exist_ok=True)
        content = objects.get(source.get("name") or source["secretName"], {})
        for item in source["items"]:
            if item["key"] in content:
                (there / item["path"]).write_text(content[item["key"]])
            else:
                assert source["optional"], f"a pod would hang: {item['key']} is missing"
        environ = {name: value.replace(mount["mountPath"], str(there)) for name, value in environ.items()}
    return {**environ, "HOME": str(folder)}
