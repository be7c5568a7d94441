#!/usr/bin/env bash
# Joins data directories: DST SRC1 SRC2 ...
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH} exec "${PYTHON:-python3}" -m evc2.bin.data_dir combine "$@"
