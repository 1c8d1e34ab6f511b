"""The command line itself: help, usage, errors, completion, both programs."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from berth_api.errors import BerthError
from berth_cli import main
from berth_cli.laptop.settings import UpSettings

pytestmark = pytest.mark.timeout(60)
COMMANDS = list(main.COMMANDS)


def run(capsys: pytest.CaptureFixture[str], *arguments: str, program: str = "berth") -> tuple[int, str, str]:
    code = main.run(list(arguments), program)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BERTH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--help")
    assert code == 0
    for name, what in main.COMMANDS.items():
        assert name in out
        assert what.split()[0] in out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_an_alias_h(capsys: pytest.CaptureFixture[str], name: str) -> None:
    code, out, _ = run(capsys, name, "-h")
    assert code == 0
    assert f"Usage: berth {name}" in out


def test_the_same_commands_are_a_plugin_of_kubectl(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "version", "--help", program="kubectl-model")
    assert code == 0
    assert "Usage: kubectl model version" in out


def test_an_unknown_command_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "upp")
    assert code == 2
    assert "No such command 'upp'" in err


def test_up_without_a_file_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "up")
    assert code == 2
    assert "Missing option '-f'" in err


def test_an_artifact_that_is_not_here_is_not_inspected(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "inspect", "smollm2")
    assert (code, out) == (1, "")
    assert "`berth pull smollm2`" in err
    code, _, err = run(capsys, "inspect", "--remote", "localhost/mine")
    assert code == 2
    assert "leave it out" in err


def test_a_host_that_is_no_address_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "up", "-f", "x.yaml", "--host", "my-machine")
    assert code == 2
    assert "'my-machine' is no IP address" in err


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("10.0.0.7", "http://10.0.0.7:80"),
    ],
)
def test_the_address_that_is_shown_can_be_opened(host: str, address: str, tmp_path: Path) -> None:
    settings = UpSettings(home=tmp_path, host=host, port=80, version="1")
    assert settings.address == address
    assert bool(settings.notes) is (host != "127.0.0.1")


def test_a_bad_manifest_is_shown_and_nothing_is_started(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, home: Path
) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("kind: Modle\n")
    code, out, err = run(capsys, "up", "-f", str(file), "-d")
    assert (code, out) == (2, "")
    assert err.startswith("Error: 2 mistakes in the manifest:\n")
    assert f"  {file}:1: kind: " in err
    assert not home.exists()


def test_down_with_nothing_running_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "down") == (0, "No berth is running.\n", "")


def test_a_home_that_cannot_be_written_is_a_sentence(
    capsys: pytest.CaptureFixture[str], home: Path, tmp_path: Path
) -> None:
    home.write_text("a file where a folder should be")
    file = tmp_path / "a.yaml"
    file.write_text(
        "apiVersion: berth.dev/v1alpha1\nkind: Model\nmetadata: {name: a}\nspec: {source: {uri: 'oci://localhost/a'}}\n"
    )
    for arguments in (["up", "-f", str(file)], ["up", "-d", "-f", str(file)]):
        code, _, err = run(capsys, *arguments)
        assert code == 1
        assert "BERTH_HOME" in err
        assert "Traceback" not in err


def test_a_home_that_is_a_file_is_a_sentence_for_every_command(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    home.write_text("a file where a folder should be")
    for arguments in (["list"], ["push", "127.0.0.1:1/a"]):
        code, _, err = run(capsys, *arguments)
        assert (code, err[:7]) == (1, "Error: ")
        assert str(home) in err
        assert "set BERTH_HOME" in err


def test_a_home_of_nobody_is_explained(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTH_HOME", "~no-such-user/x")
    code, _, err = run(capsys, "list")
    assert code == 2
    assert err.splitlines() == [
        "Error: BERTH_HOME: ~no-such-user/x names a user who has no home here",
        "      set it to the whole path of a folder of yours",
    ]


def test_a_user_without_a_home_is_told_to_choose_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(_: type[Path]) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("BERTH_HOME")
    monkeypatch.setattr(Path, "home", classmethod(nobody))
    code, _, err = run(capsys, "list")
    assert code == 2
    assert err.startswith("Error: BERTH_HOME: it is not set, and this user has no home\n")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/x/index.json"), "/x/index.json: Permission denied.\n"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device.\n  Free some space, "),
    ],
)
def test_what_the_system_refuses_is_a_sentence_and_the_rest_on_request(
    error: OSError, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(main.cli, "main", fail)
    monkeypatch.setenv("BERTH_DEBUG", "0")
    assert main.run([], "berth") == 1
    brief = capsys.readouterr().err
    assert brief.startswith(f"Error: {said}")
    assert "set BERTH_HOME" in brief
    assert "Traceback" not in brief
    monkeypatch.setenv("BERTH_DEBUG", "1")
    assert main.run([], "berth") == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_reference_that_is_none_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "pull", "UPPER/case")
    assert code == 2
    assert "did you mean 'upper/case'?" in err


def test_a_quota_that_is_none_is_explained(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTH_STORE_QUOTA", "plenty")
    code, _, err = run(capsys, "pull", "localhost/nothing")
    assert code == 2
    assert "BERTH_STORE_QUOTA: 'plenty' is no quantity\n      write one such as 100Gi" in err


def test_a_local_name_that_is_not_here_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "pull", "localhost/nothing")
    assert code == 1
    assert "berth package" in err


def test_an_empty_store_lists_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "list", "-q") == (0, "", "")
    assert run(capsys, "list", "--json")[1] == "[]\n"
    assert run(capsys, "list")[1].startswith("MODEL NAME  PARAMETERS  QUANTIZATION")
    assert run(capsys, "list", "--json", "-q")[0] == 2


def test_a_missing_package_names_the_remedy(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: str) -> None:
        raise ModuleNotFoundError("No module named 'grpc'", name="grpc")

    monkeypatch.setattr(main, "import_module", fail)
    code, _, err = run(capsys, "up")
    assert code == 1
    assert "this needs the Python package grpc" in err
    assert "pip install 'berth[laptop]'" in err


def test_ctrl_c_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(main.cli, "main", interrupt)
    assert main.run([], "berth") == 130


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(main.cli, "main", fail)
    with pytest.raises(RuntimeError):
        main.run([], "berth")


def test_an_error_says_its_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(*_: object, **__: object) -> None:
        raise BerthError("what\nwhy")

    monkeypatch.setattr(main.cli, "main", fail)
    assert main.run([], "berth") == 1
    assert capsys.readouterr().err == "Error: what\n  why\n"


@pytest.mark.parametrize(
    ("program", "variable"), [("berth", "_BERTH_COMPLETE"), ("kubectl-model", "_KUBECTL_MODEL_COMPLETE")]
)
def test_the_shell_completes_commands(
    program: str, variable: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, "bash_complete")
    monkeypatch.setenv("COMP_WORDS", f"{program} pu")
    monkeypatch.setenv("COMP_CWORD", "1")
    with pytest.raises(SystemExit):
        main.run([], program)
    assert capsys.readouterr().out == "plain,push\nplain,pull\n"


@pytest.mark.parametrize(("environment", "expected"), [({}, "without"), ({"FORCE_COLOR": "1"}, "with")])
def test_a_pull_loads_rich_for_a_terminal_alone(tmp_path: Path, environment: dict[str, str], expected: str) -> None:
    code = (
        "import sys; from berth_cli.main import run; assert run(['pull', 'localhost/none'], 'berth') == 1; "
        "print('with' if 'rich' in sys.modules else 'without', file=sys.stderr)"
    )
    environ = {name: value for name, value in os.environ.items() if name not in {"FORCE_COLOR", "TTY_COMPATIBLE"}}
    environ |= {"BERTH_HOME": str(tmp_path), **environment}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == expected


def test_help_and_list_do_not_load_engines_or_grpc() -> None:
    code = (
        "import sys; from berth_cli.main import run; run(['--help'], 'berth'); run(['list'], 'berth'); "
        "sys.exit(bool({'grpc', 'berth_runtime', 'berth_gateway', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False).returncode == 0
