#!/usr/bin/env bash
# RAVDESS: emotional speech. By default a text-to-speech system with emotion tokens, tested on neutral -> each other emotion.
#   ./run.sh --db_root DIR            the corpus is there
#   ./run.sh --download true          fetch it first (about 200 MB)
#   ./run.sh --help                   all options
# Four actors give nothing but neutral speech, and are then heard in every emotion:
#   ./run.sh ... --split transfer --test_sets "test test_transfer"
# Read speech without labels beside RAVDESS, so that other text can be said:
#   ./run.sh ... --train_config conf/train_emotts_semi.yaml --local_data_opts "--unlabelled_db librispeech:DIR,ljspeech:DIR"
# Recordings instead of text, without transcripts: a CycleGAN between two emotions (or conf/train_munit.yaml for many):
#   ./run.sh ... --train_config conf/train_cyclegan.yaml --directions "neutral:angry,angry:neutral"
#   local/all_pairs.sh ... --train_config conf/train_cyclegan.yaml      a CycleGAN for each of several pairs
#   local/ablation.sh ...             what F0, spectrum and power contribute to such a system
set -euo pipefail

# Calm joins neutral with: --emotion_map calm:neutral
# Unseen actors alone are tested with: --split speaker_disjoint (systems that convert recordings)
./evc.sh \
    --split speaker_dependent \
    --directions "neutral:calm,neutral:happy,neutral:sad,neutral:angry,neutral:fearful,neutral:disgust,neutral:surprised" \
    --intensity strong \
    --train_configs "conf/train_emotts.yaml" \
    "$@"
