"""Convert an encoder from safetensors to ONNX: `python -m examples.quickstart.encoder_to_onnx FOLDER OUT`."""

import argparse
import sys
from pathlib import Path

from berth_api.errors import BerthError
from berth_cli.failure import exit_code_of, failure_block
from berth_store.convert.encoder import convert_encoder


def main() -> None:
    """Convert, and say where the graph lies; an error is one block on stderr."""
    parser = argparse.ArgumentParser(prog="python -m examples.quickstart.encoder_to_onnx", description=__doc__)
    parser.add_argument("source", type=Path, metavar="FOLDER", help="config.json, safetensors and tokenizer.json")
    parser.add_argument("target", type=Path, metavar="OUT", help="the folder to write, made if it is not there")
    arguments = parser.parse_args()
    try:
        print(convert_encoder(arguments.source, arguments.target))
    except (BerthError, OSError) as error:
        print(failure_block(error), file=sys.stderr)
        sys.exit(exit_code_of(error))


if __name__ == "__main__":
    main()
