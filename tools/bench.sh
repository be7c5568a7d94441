#!/usr/bin/env bash
# Runs the measurements of test/perf on generated material and prints a table of ratios: the plain eager fp32 form
# against ours, in one run each. Every figure is a JSON line that goes to a file at once, so that a stop loses none.
set -euo pipefail
_tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
_root=$(dirname "${_tools}")

quick=false        # Few repeats and small cases: minutes instead of an hour.
only=              # Scripts of test/perf to run, with commas (empty: all).
out=bench.jsonl    # File that the figures are appended to; what the scripts say goes to <out>.logs/.
table=             # Print the table of this file of an earlier run, and nothing else.
. "${_root}/utils/parse_options.sh"

# Script | its options with --quick true | its options otherwise. One thread each, unless OMP_NUM_THREADS says more.
suite=(
    "imports          | 2                                                   | 5"
    "feats            | --minutes 0.5 --rounds 1 --pieces 5                 | --minutes 10"
    "loader           | --batches 100 --num_workers 0                       | --batches 500"
    "corpus_growth    | --counts 60 120 --no_training                       | --counts 100 1000 10000"
    "system_step      | --configs tuning/train_cyclegan_small.yaml tuning/train_munit_small.yaml --steps 2 | --steps 3"
    "cyclegan_step    | --channels 16 --steps 2 --warmup 1 --no_memory      | --steps 5 --compile"
    "vaegan_step      | --batch 1 --steps 2 --warmup 1                      | --steps 5"
    "vqvae_step       | --batch 1 --steps 3 --warmup 1                      | --steps 9"
    "emotts_step      | --batch 4 --steps 5 --warmup 1                       | --steps 25 --bf16"
    "seq2seq_step     | --batch 2 --phones 10 --frames 60 --steps 3 --warmup 1 | --steps 10 --bf16"
    "hifigan_step     | --version v3 --batch 1 --frames 8 --steps 1 --no_memory | --steps 3"
    "trainer          | --cases cyclegan_debug hifigan_debug --seconds 2 --rounds 3 | --seconds 10 --rounds 7"
    "scaling          | --configs debug/train_cyclegan.yaml --batches 10 --rounds 1 | --rounds 3"
    "conversion       | --seconds 2 --repeats 2                             | --seconds 5 --repeats 5"
    "vaegan_convert   | --frames 200 --repeats 2                            | --repeats 7"
    "emotts_synthesis | --presets default --repeats 5                       | --repeats 15"
    "seq2seq_inference| --presets small --repeats 3                         | --repeats 9"
    "vocoders         | --threads 1 --rounds 1                              | --rounds 3"
    "hifigan          | --seconds 2 --rounds 2 --threads 1                  | --rounds 5"
    "griffin_lim      | --files 1 --repeats 1                               | --files 4"
    "wavernn          | --seconds 1 --stretch 2048 --rounds 1 --no_compile  | --seconds 5"
    "evaluate         | --utterances 10 30                                  | --utterances 100 1000"
    "abx              | --pairs 100000 --plain_pairs 300                    | --pairs 1000000"
)

die() {
    echo "bench: error: $*" >&2
    exit 1
}

[ $# -eq 0 ] || die "expected options only, found '$1'; see $0 --help"
# shellcheck source=tools/activate_python.sh
. "${_tools}/activate_python.sh"
show() { python3 "${_root}/test/perf/table.py" "$1"; }
if [ -n "${table}" ]; then
    [ -r "${table}" ] || die "--table ${table}: no such file, or not readable; expected a file that bench.sh wrote"
    show "${table}"
    exit 0
fi
known=()
for row in "${suite[@]}"; do read -r name _ <<< "${row//|/ }" && known+=("${name}"); done
IFS=', ' read -r -a chosen <<< "${only:-${known[*]}}"
for name in "${chosen[@]}"; do
    case " ${known[*]} " in *" ${name} "*) ;; *) die "--only: there is no script '${name}'; known: ${known[*]}" ;; esac
done
{ mkdir -p "${out}.logs" && touch "${out}"; } || die "--out ${out}: cannot be written; give another file"
# Half a line, of a machine that stopped while it was written, would spoil the next one.
[ -z "$(tail -c 1 "${out}")" ] || sed -i '$d' "${out}"
before=$(wc -l < "${out}")

export PYTHONPATH="${_root}${PYTHONPATH:+:${PYTHONPATH}}" PYTHONUTF8=1 MPLBACKEND=Agg OMP_WAIT_POLICY=passive
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
failed=()
for row in "${suite[@]}"; do
    IFS='|' read -r name short long <<< "${row}"
    name=${name// /}
    case " ${chosen[*]} " in *" ${name} "*) ;; *) continue ;; esac
    options=${long}
    ! "${quick}" || options=${short}
    log=${out}.logs/${name}.log
    echo "bench: ${name} ${options}" | tr -s ' ' >&2
    start=${SECONDS}
    # shellcheck disable=SC2086  # options are words
    if ! python3 -W ignore "${_root}/test/perf/${name}.py" ${options} 2> "${log}" | tee -a "${out}" > /dev/null; then
        failed+=("${name}")
        echo "bench: ${name} FAILED after $((SECONDS - start)) s; the end of ${log}:" >&2
        tail -n 5 "${log}" >&2
    fi
done
status=0
tail -n "+$((before + 1))" "${out}" | show /dev/stdin || status=1
if [ ${#failed[@]} -gt 0 ]; then
    echo "bench: FAILED: ${failed[*]} (logs: ${out}.logs)" >&2
    status=1
fi
exit "${status}"
