#!/usr/bin/env bash
# NSynth: timbre transfer between instruments by a VAE-GAN on mel spectrograms; a family of instruments is a "speaker".
#   ./run.sh --db_root DIR            the corpus is there: nsynth-train, nsynth-valid, nsynth-test
#   ./run.sh --download true          fetch it first (about 25 GB; of it all, see README.md)
#   ./run.sh --db_root DIR --split bow --speakers "string brass"
#   ./run.sh --db_root DIR --split mine --speakers "" --domain_by folder         # DIR/<instrument>/*.wav, your own
#   ./run.sh --split toy --local_data_opts "--toy true"                          # generated notes, to see it work
#   ./run.sh --help                   all options
set -euo pipefail

# A note keeps its silence: its length and its decay belong to it. Pitch is kept, so there are no anchors of F0.
./evc.sh \
    --split notes \
    --domain_by speaker \
    --speakers "guitar flute" \
    --directions "" \
    --intensity "" \
    --trim false \
    --loudness -30 \
    --min_seconds 0.5 \
    --train_configs "conf/train_vaegan.yaml" \
    --inference_model latest.pth \
    --anchors "zero_effort analysis_synthesis" \
    "$@"
