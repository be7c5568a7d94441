#!/usr/bin/env bash
# IEMOCAP: emotional voice conversion by CycleGAN, neutral <-> angry, emotions pooled over actors.
#   ./run.sh --db_root /corpora/IEMOCAP_full_release
#   ./run.sh --help                   all options
set -euo pipefail

./evc.sh \
    --split speaker_dependent \
    --emotion_map "excited:happy" \
    --directions "neutral:angry,angry:neutral" \
    --intensity "" \
    --train_configs "conf/train_cyclegan.yaml" \
    "$@"
