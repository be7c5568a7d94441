# shellcheck shell=bash disable=SC2154
# The part of stage 4 for systems that are told how strong an emotion is: utt2strength of every set, by ranking functions
# that are learned on the training set. Sourced by evc.sh, whose variables it uses.

strength_tables() {
    local set out=${stats%/*}/strength.npz dirs=() inputs_of=() scps=() tables=()
    for set in "${sets[@]}"; do
        [ "${set}" = train ] || dirs+=("${dump}_${set}")
        inputs_of+=("${dump}_${set}/utt2spk" "${dump}_${set}/utt2emo")
        scps+=("${dump}_${set}/feats.scp")
        tables+=("${dump}_${set}/utt2strength")
    done
    todo "${stats%/*}/.strength" --inputs "${inputs_of[@]}" --scp "${scps[@]}" || return 0
    rm -f "${tables[@]}"  # of other utterances, perhaps
    # shellcheck disable=SC2086
    job ${train_cmd} "${stats%/*}/log/strength.log" "${python}" -m evc2.bin.emotion_strength --train_dir "${dump}_train" \
        --dirs "${dirs[@]}" --out "${out}"
    sed -n '/^emotion above /,/^#/{/^#/!p}' "${stats%/*}/log/strength.log"
    finished "${stats%/*}/.strength" "${out}" "${tables[@]}"
}
