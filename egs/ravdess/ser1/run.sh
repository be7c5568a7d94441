#!/usr/bin/env bash
# RAVDESS: the emotion judges, eight emotions, folds of four actors.
#   ./run.sh --db_root DIR            the corpus is there
#   ./run.sh --download true          fetch it first (about 200 MB)
#   ./run.sh --help                   all options
set -euo pipefail

./ser.sh \
    --train_config conf/train_ser.yaml \
    "$@"
