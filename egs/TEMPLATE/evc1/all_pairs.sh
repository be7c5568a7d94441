#!/usr/bin/env bash
# For systems between two emotions: a model for each pair of emotions, then one table of all directions together, on the
# same trials as one system for many emotions with the same --directions.
#
#   local/all_pairs.sh [A:B ...] [options of run.sh]
#
# Pairs are trained and converted both ways, in exp/TAG_A_B; without any, those of local/pairs. TAG is --evc_tag, or made
# from configuration and split. Corpus, features and anchors are shared by all pairs. The table: exp/TAG/all_pairs_<set>/
# RESULTS.md (and report.html). Other systems may join it: --more_systems "munit=exp/OTHER/decode_{set}/wav.scp".
# After an interruption the same command goes on; a pair that is up to date is left as it is.
set -euo pipefail

[ -x ./run.sh ] || { echo "${0##*/}: error: run local/all_pairs.sh in a recipe's folder, egs/<corpus>/evc1" >&2 && exit 1; }
# shellcheck source=utils/stages.sh
. utils/stages.sh
header_help "$@"
pairs=()
while [[ ${1-} =~ ^[a-z_]+:[a-z_]+$ ]]; do
    pairs+=("$1")
    shift
done
[ "${#pairs[@]}" -gt 0 ] || read -r -a pairs < local/pairs

directions=()
for pair in "${pairs[@]}"; do
    directions+=("${pair}" "${pair#*:}:${pair%:*}")
done
twice=$(printf '%s\n' "${directions[@]}" | LC_ALL=C sort | uniq -d | paste -sd ' ')
[ -z "${twice}" ] || die "pairs: expected each pair once (both ways belong to it), found ${twice} more than once"

config=$(basename "$(value_of train_config "" "$@")" .yaml) split=$(value_of split "" "$@")
tag=$(value_of evc_tag "pairs${config:+_${config}}${split:+_${split}}" "$@")
decode=$(value_of inference_tag "" "$@")
decode="decode_{set}${decode:+_${decode}}"
exp=$(value_of expdir exp "$@")
run() { ./run.sh "${options[@]}" --directions "$(IFS=, && echo "${directions[*]}")" --evc_exp "" "$@"; }
options=("$@")

[ "$(value_of skip_data_prep false "$@")" = true ] || run --stop_stage 4
read -r -a sets <<< "$(value_of test_sets test "$@")"
for pair in "${pairs[@]}"; do
    log "pair ${pair}: ${exp}/${tag}_${pair/:/_}"
    run --evc_tag "${tag}_${pair/:/_}" --trials_of "${pair},${pair#*:}:${pair%:*}" --stage 5 --stop_stage 6
done
for set in "${sets[@]}"; do
    out=${exp}/${tag}/${decode/\{set\}/${set}}
    mkdir -p "${out}"
    for pair in "${pairs[@]}"; do
        cat "${exp}/${tag}_${pair/:/_}/${decode/\{set\}/${set}}/wav.scp"
    done | LC_ALL=C sort > "${out}/wav.scp.tmp"
    mv "${out}/wav.scp.tmp" "${out}/wav.scp"
done
run --evc_tag "${tag}" --stage 7 --stop_stage 7 --table all_pairs \
    --more_systems "${tag}={exp}/${decode}/wav.scp $(value_of more_systems "" "$@")"
