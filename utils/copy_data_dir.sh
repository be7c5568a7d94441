#!/usr/bin/env bash
# Writes DST with SRC's labels: [--utt-suffix TEXT] [--wav-scp FILE] [--set utt2NAME=VALUE ...] SRC DST
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH} exec "${PYTHON:-python3}" -m evc2.bin.data_dir copy "$@"
