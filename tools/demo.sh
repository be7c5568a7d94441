#!/usr/bin/env bash
# From nothing to converted speech: sets up, runs the toy recipe from stage 1 to 8 and says where to listen and read.
# Options go to the recipe (`egs/toy/evc1/run.sh --help`).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "${root}/egs/toy/evc1"
case " $* " in *" --help "* | *" -h "*) exec ./run.sh --help ;; esac
"${root}/tools/setup.sh"

# The recipe's own settings: a small CycleGAN for some minutes. The table tells what that is worth.
exp=exp/demo
./run.sh --evc_tag demo --evc_exp "${exp}" --plots true "$@"

decode=${root}/egs/toy/evc1/${exp}/decode_test
echo
echo "report:        ${decode}/RESULTS.md"
[ ! -e "${decode}/report.html" ] || echo "page:          ${decode}/report.html"
echo "conversions:   ${decode}/wav/*.wav"
echo "pictures:      ${decode}/plots/"
echo "sources:       ${root}/egs/toy/evc1/dump/*/toy_test/wav.scp"
echo "model:         ${root}/egs/toy/evc1/${exp}/demo.zip   (tools/venv/bin/evc2 convert --model ... --emotion angry in.wav out.wav)"
