# shellcheck shell=bash disable=SC2034,SC2154
# The part of stage 3 for systems that read text: phones, durations (unless align=phones), speaker vectors. Sourced by
# evc.sh, whose variables it uses; leaves two arrays as todo takes them: text_inputs, what training depends on beside the
# features, and grids, the folder of TextGrids (where durations come from such).

# shellcheck source=utils/strength.sh
. utils/strength.sh
text_inputs=() grids=()
case ${align} in
    none) ;;
    phones) text_inputs=(--inputs "${dump}_train/phones" "${dump}_dev/phones") ;;
    *) text_inputs=(--scp "${dump}_train/durations.scp" "${dump}_dev/durations.scp") ;;
esac
[ "${align}" = none ] || [ "${spembs}" = none ] || text_inputs+=(--scp "${dump}_train/spk2spembs.scp")
! "${strength}" || text_inputs+=(--inputs "${dump}_train/utt2strength" "${dump}_dev/utt2strength")
[[ ${align} =~ ^(none|phones|learned)$ ]] || grids=(--tree "${align}")

text_features() {
    local set out how=(--g2p "${g2p}" ${lexicon:+--lexicon "${lexicon}"}) aligner=${dump}_aligner inputs_of=()
    [ "${#grids[@]}" -eq 0 ] || how+=(--textgrids "${align}")
    for set in "${sets[@]}"; do
        out=${dump}_${set}
        todo "${out}/.phones" --inputs "${out}/text" ${lexicon:+"${lexicon}"} --scp "${out}/feats.scp" \
            "${grids[@]}" --options="${how[*]}" || continue
        # shellcheck disable=SC2086
        job ${train_cmd} "${out}/log/phonemize.log" "${python}" -m evc2.bin.phonemize --data_dir "${out}" --out "${out}" "${how[@]}"
        finished "${out}/.phones" "${out}/phones"
    done
    [ "${align}" != learned ] || learned_durations
    if [ "${spembs}" != none ]; then
        how=(--kind "${spembs}" ${spembs_weights:+--weights "${spembs_weights}"})
        [ ! -f "${spembs}" ] || inputs_of=(--inputs "${spembs}")
        [ ! -d "${spembs}" ] || inputs_of=(--tree "${spembs}")
        todo "${dump}_train/.spembs" "${inputs_of[@]}" --scp "${dump}_train/wav.scp" --options="${how[*]}" || return 0
        # shellcheck disable=SC2086
        job ${train_cmd} "${dump}_train/log/spembs.log" "${python}" -m evc2.bin.extract_spembs --data_dir "${dump}_train" \
            --out "${dump}_train" "${how[@]}" --plot "${dump}_train/spembs.png"
        finished "${dump}_train/.spembs" "${dump}_train/spk2spembs.scp"
    fi
}

learned_durations() {
    local set out train=${dump}_train again=false
    [ ! -e "${aligner}/.done" ] || again=true
    if todo "${aligner}/.done" --inputs "${align_config}" "${train}/phones" "${train}/g2p.yaml" --scp "${train}/feats.scp"; then
        if "${again}"; then rm -rf "${aligner}"; fi  # of other phones or features; one that was cut off goes on
        # shellcheck disable=SC2086
        job ${cuda_cmd} --gpu "$((ngpu > 0))" "${aligner}/log/align.log" env -u OMP_NUM_THREADS "${python}" -m evc2.bin.align --config "${align_config}" \
            --train_dir "${train}" --out "${aligner}" --ngpu "$((ngpu > 0))"
        finished "${aligner}/.done" "${aligner}/latest.pth"
    fi
    for set in "${sets[@]}"; do
        out=${dump}_${set}
        todo "${out}/.durations" --inputs "${out}/phones" "${aligner}/latest.pth" --scp "${out}/feats.scp" || continue
        # shellcheck disable=SC2086
        job ${train_cmd} "${out}/log/align.log" "${python}" -m evc2.bin.align --model "${aligner}" --data_dirs "${out}"
        tail -n 3 "${out}/log/align.log" | grep aligned || true
        finished "${out}/.durations" "${out}/durations.scp"
    done
}
