#!/usr/bin/env bash
# Makes a smaller data directory: [--first|--last|--shortest|--speakers|--per-spk] SRC NUMBER DST,
# or --utt-list FILE SRC DST, or --spk-list FILE SRC DST
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH} exec "${PYTHON:-python3}" -m evc2.bin.data_dir subset "$@"
