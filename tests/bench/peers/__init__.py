"""What the benchmarks compare with; every module here runs in an environment of its own (.venv-bench)."""
