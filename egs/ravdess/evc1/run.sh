#!/usr/bin/env bash
# RAVDESS: emotional voice conversion by CycleGAN, neutral <-> angry, emotions pooled over actors.
#   ./run.sh --db_root DIR            the corpus is there
#   ./run.sh --download true          fetch it first (about 200 MB)
#   ./run.sh --help                   all options
set -euo pipefail

# Calm joins neutral with: --emotion_map calm:neutral
# Unseen actors are tested with: --split speaker_disjoint
./evc.sh \
    --split speaker_dependent \
    --directions "neutral:angry,angry:neutral" \
    --intensity strong \
    --feats_conf conf/feats_world.yaml \
    --train_configs "conf/train_cyclegan.yaml" \
    "$@"
