#!/usr/bin/env bash
# Your own recordings, DB/<speaker>/<emotion>/*.wav (see README.md): emotional voice conversion by CycleGAN.
#   ./run.sh --db_root DB
#   ./run.sh --db_root DB --directions "neutral:happy,happy:neutral" --evc_tag happy
#   ./run.sh --db_root DB --domain_by folder --directions "" --train_config conf/train_vaegan.yaml \
#       --vad energy --loudness -30 --anchors "zero_effort analysis_synthesis f0 f0_power" --split voices    # DB/<speaker>/*.wav: the speaker
#   ./run.sh --help                   all options
set -euo pipefail

./evc.sh \
    --split mine \
    --directions "neutral:angry,angry:neutral" \
    --intensity "" \
    --train_configs "conf/train_cyclegan.yaml" \
    --inference_model latest.pth \
    "$@"
