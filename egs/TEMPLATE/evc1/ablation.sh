#!/usr/bin/env bash
# The ablation study of a trained system: what F0, spectrum and power contribute, each alone, and all of them together.
#
#   local/ablation.sh [the options of run.sh that the system was trained with]
#
# converts the test sets in three more ways, beside the way in which run.sh converts them, and compares:
#   f0_only      F0 by its transform; the source's spectrum and power
#   mcep_only    the spectrum by the network; the source's F0 and power
#   power_only   power by the log-Gaussian transform; the source's F0 and spectrum
#   all          everything, as run.sh converts with the same options
# One table, with natural speech, zero-effort and analysis-synthesis: exp/TAG/ablation_<set>/RESULTS.md (and report.html).
# Options of conversion hold for every row, e.g. --inference_args "--f0 cwt --f0_model DIR". What is up to date is kept.
set -euo pipefail

[ -x ./run.sh ] || { echo "${0##*/}: error: run local/ablation.sh in a recipe's folder, egs/<corpus>/evc1" >&2 && exit 1; }
# shellcheck source=utils/stages.sh
. utils/stages.sh
header_help "$@"
options=("$@" --anchors "zero_effort analysis_synthesis")
args=$(value_of inference_args "" "$@")
tag=$(value_of inference_tag "" "$@")
rows=

convert() {  # NAME TAG WORDS: a row of the table, converted with WORDS beside the other options of conversion
    ./run.sh "${options[@]}" --stage 6 --stop_stage 6 --inference_tag "$2" --inference_args "${args} $3"
    rows+="$1={exp}/decode_{set}${2:+_$2}/wav.scp "
}
convert f0_only "${tag:+${tag}_}f0_only" "--spectrum keep --power keep"
convert mcep_only "${tag:+${tag}_}mcep_only" "--f0 keep --power keep"
convert power_only "${tag:+${tag}_}power_only" "--f0 keep --spectrum keep --power gaussian"
convert all "${tag}" ""
./run.sh "${options[@]}" --stage 7 --stop_stage 7 \
    --table "ablation${tag:+_${tag}}" --more_systems "${rows}$(value_of more_systems "" "$@")"
