#!/usr/bin/env bash
# ZeroSpeech 2019/2020, "TTS without T": units by a VQ-VAE, and a MelGAN that says them in the voices of the corpus.
#   ./run.sh --db_root DIR                       the folder with english/; training method 1: units first, then the voice
#   ./run.sh --db_root DIR --split surprise      the other language
#   ./run.sh --method 2 | --method 3             the encoder learns on with the voice | both at once, from scratch
#   ./run.sh --split toy --local_data_opts "--toy true"     a generated corpus, to see it work
#   ./run.sh --help                              all options
set -euo pipefail

method=1 options=()
while [ $# -gt 0 ]; do
    case $1 in
        --method) method=${2-} && shift $(($# > 1 ? 2 : 1)) ;;
        --method=*) method=${1#*=} && shift ;;
        *) options+=("$1") && shift ;;
    esac
done
case ${method} in
    1) configs="conf/train_vqvae.yaml conf/train_vqvae_melgan.yaml" ;;
    2) configs="conf/train_vqvae.yaml conf/train_vqvae_joint.yaml" ;;
    3) configs="conf/train_vqvae_scratch.yaml" ;;
    *) echo "run.sh: error: --method: expected 1, 2 or 3, found '${method}'" >&2 && exit 1 ;;
esac

# Test snippets are of a tenth of a second, and none may be missing. Nobody else says the test sentences: no reference.
./evc.sh \
    --split english \
    --domain_by speaker --speakers "" --directions "" --intensity "" \
    --trim false --vad none --min_seconds 0.02 \
    --train_configs "${configs}" \
    --inference_model valid.mel_l1.best.pth \
    --anchors "zero_effort f0 f0_power" \
    "${options[@]}"
