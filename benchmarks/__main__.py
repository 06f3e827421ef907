"""`python -m benchmarks [NAME ...]`: what `firsthand bench` does, from a checkout that is not installed."""

import typer

from firsthand.cli.bench import bench

if __name__ == "__main__":
    typer.run(bench)
