"""What a worker process is started with."""

from berth_runtime.process import worker_environment


def test_a_worker_has_no_more_threads_than_its_container_has_cores() -> None:
    assert worker_environment({"HOME": "/tmp"}, 2) == {"HOME": "/tmp", "OPENBLAS_NUM_THREADS": "2"}


def test_what_the_user_has_set_stays() -> None:
    assert worker_environment({"OPENBLAS_NUM_THREADS": "1"}, 8) == {"OPENBLAS_NUM_THREADS": "1"}
