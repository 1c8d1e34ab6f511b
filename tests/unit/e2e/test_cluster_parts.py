"""The parts of the cluster that are values: where it lives, who is who, what runs, what is fake."""

import base64
import io
import json
import tarfile
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from e2e.cluster import addresses, pause
from e2e.cluster.fleet import KINDS, TAINT, build_fleet
from e2e.cluster.identities import IDENTITIES, write_identities
from e2e.cluster.layout import DEFAULT_STATE, Layout, StateFolderRefused
from e2e.cluster.namespaces import NotUp, anchor_pid, build_setup, entering
from e2e.cluster.processes import CLIENTS, FOUNDATION, PROCESSES


def test_the_environment_names_the_state_folder() -> None:
    assert Layout.from_environment({}).state == DEFAULT_STATE
    assert Layout.from_environment({"BERTH_CLUSTER_STATE": "/srv/one"}).state == Path("/srv/one")


@pytest.mark.parametrize("folder", ["/run/user/0/cluster", "/var/lib/cluster", "/var/log", "cluster"])
def test_a_state_folder_that_the_cluster_could_not_see_is_refused(folder: str) -> None:
    with pytest.raises(StateFolderRefused, match="set BERTH_CLUSTER_STATE"):
        Layout.at(Path(folder))


def test_two_clusters_share_no_control_group() -> None:
    assert Layout.at(Path("/srv/one")).name != Layout.at(Path("/srv/two")).name


def test_a_process_id_that_another_program_got_is_not_the_cluster(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.anchor.write_text("1")
    assert anchor_pid(layout) is None
    with pytest.raises(NotUp, match="make cluster"):
        entering(layout)


def test_the_network_has_no_way_out_but_one_to_services() -> None:
    commands = build_setup(Path("/srv/one"), Path("/etc/resolv.conf"))
    routes = [command for command in commands if command.startswith("ip route add")]
    assert f"ip route add {addresses.SERVICE_SUBNET} dev node0" in routes
    assert {"ip route add unreachable 0.0.0.0/1", "ip route add unreachable 128.0.0.0/1"} <= set(routes)


def test_the_dns_servers_file_is_made_where_a_link_leads_below_run() -> None:
    commands = build_setup(Path("/srv/one"), Path("/run/systemd/resolve/stub-resolv.conf"))
    covered = commands.index("mount --bind /srv/one/run /run")
    assert commands.index("mkdir -p /run/systemd/resolve") > covered


def test_the_api_server_starts_after_etcd_and_before_its_clients() -> None:
    names = [process.name for process in PROCESSES]
    assert names.index("etcd") < names.index("kube-apiserver")
    assert FOUNDATION[-1].name == "kube-apiserver"
    assert {"kubelet", "kube-scheduler", "kwok"} <= {process.name for process in CLIENTS}


def test_every_file_that_a_program_is_given_is_written(tmp_path: Path) -> None:
    write_identities(tmp_path)
    given = {word for process in PROCESSES for word in " ".join(process.arguments).replace("=", " ").split()}
    keys = {word for word in given if word.endswith((".crt", ".key", ".kubeconfig"))}
    assert keys
    for word in keys:
        assert (tmp_path / Path(word).relative_to("/run/berth")).exists(), word


def test_certificates_say_user_and_group(tmp_path: Path) -> None:
    write_identities(tmp_path)
    for identity in IDENTITIES:
        subject = x509.load_pem_x509_certificate((tmp_path / f"pki/{identity.name}.crt").read_bytes()).subject
        (user,) = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        (group,) = subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        assert (user.value, group.value) == (identity.user, identity.group)


def test_a_kubeconfig_may_be_copied_elsewhere(tmp_path: Path) -> None:
    write_identities(tmp_path)
    kubeconfig = json.loads((tmp_path / "admin.kubeconfig").read_text())
    assert str(tmp_path) not in json.dumps(kubeconfig)
    authority = base64.b64decode(kubeconfig["clusters"][0]["cluster"]["certificate-authority-data"])
    assert authority == (tmp_path / "pki/ca.crt").read_bytes()


def test_the_pause_image_runs_its_one_program() -> None:
    with tarfile.open(fileobj=io.BytesIO(pause.build_archive(b"program"))) as archive:
        (manifest,) = json.load(archive.extractfile("manifest.json") or io.BytesIO())
        config = json.load(archive.extractfile(manifest["Config"]) or io.BytesIO())
        layer = archive.extractfile(manifest["Layers"][0])
        assert layer is not None
        with tarfile.open(fileobj=layer) as files:
            (entry,) = files.getmembers()
    assert manifest["RepoTags"] == [pause.REFERENCE]
    assert (f"/{entry.name}", entry.mode) == (config["config"]["Entrypoint"][0], 0o755)


def test_fake_nodes_take_only_pods_that_tolerate_them() -> None:
    for node in build_fleet(dict.fromkeys(KINDS, 1)):
        assert node["spec"] == {"taints": [{"key": TAINT, "value": "fake", "effect": "NoSchedule"}]}
        assert node["metadata"]["annotations"] == {TAINT: "fake"}


def test_the_fleet_has_five_kinds_with_the_labels_of_their_vendors() -> None:
    products = {kind.labels.get("nvidia.com/gpu.product") for kind in KINDS.values()} - {None}
    assert products == {"NVIDIA-L4", "NVIDIA-A10G", "NVIDIA-A100-SXM4-80GB", "NVIDIA-H100-80GB-HBM3"}
    assert [kind.resource for kind in KINDS.values()].count("amd.com/gpu") == 1


def test_nodes_of_a_kind_are_numbered() -> None:
    names = [node["metadata"]["name"] for node in build_fleet({"l4": 2, "h100": 1})]
    assert names == ["l4-0", "l4-1", "h100-0"]
