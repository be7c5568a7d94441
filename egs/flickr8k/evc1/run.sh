#!/usr/bin/env bash
# Flickr 8k Audio: conversion of the speaker by a VAE-GAN on mel spectrograms. By default a woman (4) and a man (7).
#   ./run.sh --db_root DIR            the corpus is there: the folder with wav2spk.txt and wavs/
#   ./run.sh --download true          fetch it first (4.2 GB)
#   ./run.sh --db_root DIR --split four --speakers "4 7 49 17"                   # two women, two men
#   ./run.sh --db_root DIR --split mine --speakers "" --domain_by folder        # DIR/<speaker>/*.wav, another corpus
#   ./run.sh --help                   all options
set -euo pipefail

# The spoken captions are of different sentences, so there is no reference to measure distances to (README.md).
./evc.sh \
    --split random \
    --domain_by speaker \
    --speakers "4 7" \
    --directions "" \
    --intensity "" \
    --vad energy \
    --loudness -30 \
    --min_seconds 0.5 \
    --train_configs "conf/train_vaegan.yaml" \
    --inference_model latest.pth \
    --anchors "zero_effort analysis_synthesis f0 f0_power" \
    "$@"
