# shellcheck shell=bash
# Sourced by every script of a recipe, from the recipe's folder: where Python, evc2 and utils are.
_main_root=$(cd "${PWD}/../../.." && pwd)
if [ ! -f "${_main_root}/tools/activate_python.sh" ]; then
    echo "error: expected to be in a recipe's folder, egs/<corpus>/evc1; found ${PWD}" >&2
    return 1
fi
# shellcheck source=tools/activate_python.sh
. "${_main_root}/tools/activate_python.sh" || return 1
export PATH="${_main_root}/utils:${PATH}"
export PYTHONPATH="${_main_root}${PYTHONPATH:+:${PYTHONPATH}}"
export LC_ALL=C             # Kaldi's order of sorting
export PYTHONUTF8=1         # ... but text is UTF-8
export OMP_NUM_THREADS=1    # a job a core, a thread a job; stage 5 sets its own
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive} # idle threads sleep: spinning ones slow a shared machine manyfold
unset _main_root
