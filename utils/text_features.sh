# shellcheck shell=bash disable=SC2034,SC2154
# The part of stage 3 for systems that read text: phones, durations, speaker vectors. Sourced by evc.sh, whose variables
# it uses; leaves the array text_scps, what training depends on beside the features.

text_scps=()
if [ "${align}" != none ]; then
    text_scps=("${dump}_train/durations.scp" "${dump}_dev/durations.scp")
    [ "${spembs}" = none ] || text_scps+=("${dump}_train/spk2spembs.scp")
fi

text_features() {
    local set out how=(--g2p "${g2p}" ${lexicon:+--lexicon "${lexicon}"}) dumps=("${sets[@]/#/${dump}_}")
    local tree=()
    [ "${align}" = learned ] || { how+=(--textgrids "${align}") && tree=(--tree "${align}"); }
    for set in "${sets[@]}"; do
        out=${dump}_${set}
        todo "${out}/.phones" --inputs "${out}/text" ${lexicon:+"${lexicon}"} --scp "${out}/feats.scp" \
            "${tree[@]}" --options="${how[*]}" || continue
        # shellcheck disable=SC2086
        job ${train_cmd} "${out}/log/phonemize.log" "${python}" -m evc2.bin.phonemize --data_dir "${out}" --out "${out}" "${how[@]}"
        finished "${out}/.phones" "${out}/phones"
    done
    if [ "${align}" = learned ] && todo "${dump}_train/.align" --inputs "${align_config}" "${dumps[@]/%//phones}" \
        --scp "${dump}_train/feats.scp"; then
        "${force}" && resume=false || resume=true
        # shellcheck disable=SC2086
        job ${train_cmd} "${dump}_train/log/align.log" env -u OMP_NUM_THREADS "${python}" -m evc2.bin.align --config "${align_config}" \
            --train_dir "${dump}_train" --data_dirs "${dumps[@]}" --out "${dump}_aligner" --resume "${resume}"
        tail -n 3 "${dump}_train/log/align.log"
        finished "${dump}_train/.align" "${dumps[@]/%//durations.scp}"
    fi
    if [ "${spembs}" != none ]; then
        how=(--kind "${spembs}" ${spembs_weights:+--weights "${spembs_weights}"})
        todo "${dump}_train/.spembs" --scp "${dump}_train/wav.scp" --options="${how[*]}" || return 0
        # shellcheck disable=SC2086
        job ${train_cmd} "${dump}_train/log/spembs.log" "${python}" -m evc2.bin.extract_spembs --data_dir "${dump}_train" \
            --out "${dump}_train" "${how[@]}" --plot "${dump}_train/spembs.png"
        finished "${dump}_train/.spembs" "${dump}_train/spk2spembs.scp"
    fi
}
