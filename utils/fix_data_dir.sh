#!/usr/bin/env bash
# Sorts a data directory and drops what is not in all of its files; old files go to DIR/.backup: DIR
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH} exec "${PYTHON:-python3}" -m evc2.bin.data_dir fix "$@"
