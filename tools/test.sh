#!/usr/bin/env bash
# Sets up and runs all tests: style, shell, import directions, unit tests, and the recipes of test/recipes/*.csv.
#   tools/test.sh             the fast ones, at most 20 minutes on two cores
#   tools/test.sh --full      also those marked `long` and the rows marked `full`
#   tools/test.sh --no_setup  with the python3 that is active
#   tools/test.sh ... PYTEST-ARGUMENTS    e.g. test/fileio -x
set -euo pipefail
tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "${tools}/.."
full=false setup=true arguments=()
for word; do
    case ${word} in
        --full) full=true ;;
        --no_setup | --no-setup) setup=false ;;
        -h | --help)
            sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
            exit 0
            ;;
        *) arguments+=("${word}") ;;
    esac
done
if "${setup}"; then
    "${tools}/setup.sh" --extras dev,eval
    export PATH="${tools}/venv/bin:${PATH}"
fi
# Two threads at most: more only disturb each other on small machines, and results do not depend on the machine.
export PYTHONUTF8=1 OMP_NUM_THREADS=${OMP_NUM_THREADS:-2} OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive} MPLBACKEND=Agg

failed=0
step() {
    echo "== $1"
    shift
    "$@" || failed=1
}
start=${SECONDS}
step "ruff" python3 -m ruff check --quiet .
step "ruff format" python3 -m ruff format --quiet --check .
marks="not long"
! "${full}" || marks=""
# Shell scripts and import directions are tests too: test/test_shell.py, test/test_imports.py.
step "pytest${marks:+ (${marks})}" python3 -m pytest -q --durations=15 ${marks:+-m "${marks}"} "${arguments[@]}"
echo "== $((SECONDS - start)) seconds; style and tests $([ "${failed}" -eq 0 ] && echo passed || echo FAILED)"
exit "${failed}"
