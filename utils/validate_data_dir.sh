#!/usr/bin/env bash
# Checks a data directory and lists all that is wrong: [--no-wav] [--no-text] [--no-feats] [--need NAME ...] DIR
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH} exec "${PYTHON:-python3}" -m evc2.bin.data_dir validate "$@"
