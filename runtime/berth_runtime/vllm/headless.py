"""`python -m berth_runtime.vllm.headless WORDS`: a member's part of vLLM, which has no server. Started by `member`.

It does what `vllm serve --headless` does, as its command line asks for the metadata of a package `vllm`, which a vLLM
for processors has not. `berth_runtime.vllm.arguments.find_headless` knows where the module lies that is imported here.
"""


def main() -> None:
    """Compute until this process is ended. vLLM's own processes import this module too, and must start nothing."""
    from vllm.entrypoints.cli.serve import (  # noqa: PLC0415 - those processes need little of it, and it takes seconds
        FlexibleArgumentParser,
        make_arg_parser,
        run_headless,
        validate_parsed_serve_args,
    )

    arguments = make_arg_parser(FlexibleArgumentParser()).parse_args()
    validate_parsed_serve_args(arguments)
    arguments.api_server_count = 0  # what the command line makes of `--headless`
    run_headless(arguments)


if __name__ == "__main__":
    main()
