"""What a worker process is started with."""

from berth_runtime.process import worker_environment


def test_a_worker_has_no_more_threads_than_its_container_has_cores() -> None:
    assert worker_environment({"HOME": "/tmp"}, 2)["OPENBLAS_NUM_THREADS"] == "2"


def test_what_the_user_has_set_stays() -> None:
    environment = worker_environment({"OPENBLAS_NUM_THREADS": "1", "HOME": "/tmp"}, 8)
    assert (environment["OPENBLAS_NUM_THREADS"], environment["HOME"]) == ("1", "/tmp")


def test_no_library_reports_to_its_makers() -> None:
    assert worker_environment({"ORT_DISABLE_TELEMETRY": "0"}, 1)["ORT_DISABLE_TELEMETRY"] == "1"
