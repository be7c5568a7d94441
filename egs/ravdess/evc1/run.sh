#!/usr/bin/env bash
# RAVDESS: emotional voice conversion. By default a CycleGAN, neutral <-> angry, emotions pooled over actors.
#   ./run.sh --db_root DIR            the corpus is there
#   ./run.sh --download true          fetch it first (about 200 MB)
#   ./run.sh --help                   all options
# Neutral <-> happy, sad, angry and fearful, 8 directions, tested on actors of the training and on others:
#   to_four="neutral:happy,happy:neutral,neutral:sad,sad:neutral,neutral:angry,angry:neutral,neutral:fearful,fearful:neutral"
#   ./run.sh ... --split seen_unseen --test_sets "test test_unseen" --directions "$to_four" --train_config conf/train_munit.yaml
#   local/all_pairs.sh ... --split seen_unseen --test_sets "test test_unseen"      # the same by a CycleGAN for each pair
#   local/ablation.sh ...             what F0, spectrum and power contribute to a trained system
set -euo pipefail

# Calm joins neutral with: --emotion_map calm:neutral
# Unseen actors alone are tested with: --split speaker_disjoint
./evc.sh \
    --split speaker_dependent \
    --directions "neutral:angry,angry:neutral" \
    --intensity strong \
    --feats_conf conf/feats_world.yaml \
    --train_configs "conf/train_cyclegan.yaml" \
    "$@"
