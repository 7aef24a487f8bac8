"""Our server with heads of random weights, for `serve_peers.py`.

python benchmarks/random_server.py [--heads 4] [--size small] [--blocks 2] [--port 9000]
"""

import argparse

import uvicorn
from peers.eomt import ours

from plainmask.serve.app import build_app
from plainmask.serve.service import Service


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--heads", type=int, default=1)
    parser.add_argument("--size", default="small")
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--port", type=int, default=9000)
    options = parser.parse_args()
    segmenter = ours(options.size, options.heads, options.blocks, "auto")
    uvicorn.run(build_app(Service.of(segmenter)), port=options.port, log_level="warning")


if __name__ == "__main__":
    main()
