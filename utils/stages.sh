# shellcheck shell=bash disable=SC2034,SC2154
# What the staged pipelines share (evc.sh, ...). Sourced after their options; needs python, stage, stop_stage and force.

log() { echo "$(date '+%H:%M:%S') $*"; }
die() {
    echo "${0##*/}: error: $*" >&2
    exit 1
}

# begins N WHAT [SKIP]: whether stage N is to be run; SKIP=true leaves it out.
begins() {
    now=$1
    [ "${stage}" -le "$1" ] && [ "${stop_stage}" -ge "$1" ] && [ "${3:-false}" = false ] || return 1
    log "stage $1: $2"
}

# need FILE N: stops unless FILE is there, which stage N makes.
need() { [ -e "$1" ] || die "stage ${now}: expected $1, which stage $2 makes; run with --stage $2 first"; }

# todo MARK INPUTS...: whether there is work. If so, the mark of the last time goes first, so that a run that is cut off is
# done again. INPUTS, as stage_done.py takes them, are kept for `finished MARK OUTPUTS...`.
todo() {
    local mark=$1 reason='' folder=${1%/*} status=1
    inputs=("${@:2}")
    "${force}" || { reason=$("${python}" utils/stage_done.py check "${mark}" "${inputs[@]}") && status=0; } || status=$?
    if [ "${status}" -eq 0 ]; then
        log "  ${mark%/*}: up to date, skipped (--force true redoes it)"
        return 1
    fi
    [ "${status}" -ne 3 ] || die "${now:+stage ${now}: }${reason}"
    [ -z "${reason}" ] || log "  ${mark%/*}: done again, for ${reason}"
    while [ ! -e "${folder}" ]; do folder=$(dirname "${folder}"); done
    # Not left to errexit, which is off where the caller asks `if todo` or `todo || continue`: a folder that cannot be
    # written would pass for one that is up to date.
    { [ -w "${folder}" ] && rm -f "${mark}"; } || die "${now:+stage ${now}: }there is work to do in ${mark%/*}, but" \
        "${folder} cannot be written: expected a folder of this user on a disk that is not read-only"
}
finished() { "${python}" utils/stage_done.py write "$1" "${inputs[@]}" --outputs "${@:2}"; }

# job COMMAND...: runs one command such as ${train_cmd} and waits. It leads a process group of its own, so that Ctrl-C
# reaches it once, as SIGTERM from here; run.pl and slurm.pl then end their jobs.
child=
job() {
    local status=0
    set -m
    "$@" < /dev/null &
    child=$!
    set +m
    wait "${child}" || status=$?
    child=
    return "${status}"
}
stopped() {
    if [ -n "${child}" ]; then
        trap 'kill -TERM "${child}" 2> /dev/null || true' INT TERM HUP  # a second time: at once
        kill -TERM "${child}" 2> /dev/null || true
        while kill -0 "${child}" 2> /dev/null; do wait "${child}" || true; done
    fi
    exit "$1"
}
at_exit() {
    local status=$?
    [ "${status}" -eq 0 ] || [ -z "${now-}" ] || echo "${0##*/}: stage ${now} failed (status ${status}); what earlier" \
        "stages made is kept: mend what is said above, then go on with --stage ${now}" >&2
}
watch_signals() {
    trap 'stopped 129' HUP
    trap 'stopped 130' INT
    trap 'stopped 143' TERM
    trap at_exit EXIT
}

# words NAME TEXT: sets the array `extra` to the words of TEXT, the value of option NAME; quotes hold words together.
words() {
    local text
    # The line at the end keeps an empty last word, as in "--intensity ''".
    text=$(xargs -n 1 printf '%s\n' <<< "$2" 2> /dev/null && echo end) || die "--$1: a quote is not closed: $2"
    mapfile -t extra <<< "${text}"
    unset 'extra[-1]'
    [ -n "${2//[[:space:]]/}" ] || extra=()
}
# header_help OPTIONS...: for --help, prints the comment at the head of the script, and ends it.
header_help() {
    [[ ${1-} =~ ^(--help|-h)$ ]] || return 0
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
    exit 0
}
# value_of NAME DEFAULT OPTIONS...: the last value of --NAME among options that go on to another script, else DEFAULT.
value_of() {
    local name=$1 value=$2
    shift 2
    while [ $# -gt 0 ]; do
        case ${1//-/_} in
            "__${name}="*) value=${1#*=} ;;
            "__${name}") value=${2-} && shift $(($# > 1)) ;;
        esac
        shift
    done
    printf '%s\n' "${value}"
}
# require_numbers NAME...: stops unless each of these options is a number from 1 on.
require_numbers() {
    local name
    for name in "$@"; do
        [[ ${!name} =~ ^[1-9][0-9]*$ ]] || die "--${name}: expected a number from 1 on, found '${!name}'"
    done
}
# phase_of CONFIG: its name as a folder's, conf/debug/train_x.yaml -> debug_train_x.
phase_of() {
    local name=${1#conf/}
    name=${name%.yaml}
    echo "${name//\//_}"
}
lines() { wc -l < "$1"; }
least() { echo $(($1 < $2 ? $1 : $2)); }

# in_jobs OPTIONS NJ LIST LOG COMMAND...: a command with --job, --njobs and --merge, in at most NJ jobs, no more than LIST has
# lines. OPTIONS: ${train_cmd} and the like, with their options.
in_jobs() {
    local n
    n=$(least "$2" "$(lines "$3")")
    # shellcheck disable=SC2086
    job $1 JOB=1:"${n}" "$4" "${@:5}" --njobs "${n}" --job JOB
    "${@:5}" --njobs "${n}" --merge true
}

# resolve_ngpu: sets ngpu=auto to 1 where this machine has a GPU, else to 0.
resolve_ngpu() {
    if [ "${ngpu}" = auto ]; then
        ngpu=$(nvidia-smi -L 2> /dev/null | grep -c '^GPU' || true)
        ngpu=$((ngpu > 0 ? 1 : 0))
    fi
    [[ ${ngpu} =~ ^[0-9]+$ ]] || die "--ngpu: expected a number or auto, found '${ngpu}'"
}
# check_launch: what --ngpu, --num_nodes and the backend ask of train_in.
check_launch() {
    local asked=${ngpu}
    resolve_ngpu
    [ "${asked}" != auto ] || [ "${cmd_backend}" = local ] \
        || log "--ngpu auto: ${ngpu}, what this machine has; on a cluster say --ngpu N for N GPUs a node" >&2
    [ "${num_nodes}" -eq 1 ] || [ "${cmd_backend}" != local ] || die "--num_nodes ${num_nodes} needs cmd_backend=slurm"
}
# train_in FOLDER COMMAND...: runs a training, its log FOLDER/train.log, with --ngpu processes (or one, without GPU) on each of
# --num_nodes nodes. It goes on from the last checkpoint, unless --force true.
train_in() {
    local out=$1 old launch=() meet=() threads=(env -u OMP_NUM_THREADS)
    shift
    if "${force}"; then  # put aside, for a job that the cluster starts again must find its own
        for old in "${out}"/checkpoint*.pth; do [ ! -e "${old}" ] || mv "${old}" "${old%.pth}.old"; done
    fi
    # A task of its own hears at once that the job has to make room; and others may end before the first has written all.
    [ "${cmd_backend}" = local ] || launch=(srun --export=ALL --wait=0)
    # Of a cluster's node no more cores are used than were asked for.
    [ -z "${train_threads}" ] && [ "${cmd_backend}" = local ] || threads=(env "OMP_NUM_THREADS=${train_threads:-1}")
    if [ "${num_nodes}" -gt 1 ]; then
        # A port, and no file to meet at: a job that is started again could not use the file a second time.
        meet=(--multiprocessing_distributed true --dist_launcher slurm)
        meet+=(--dist_master_port "${master_port:-$((20000 + $(cksum <<< "${PWD}/${out}" | cut -d ' ' -f 1) % 12000))}")
        [ "${ngpu}" -gt 0 ] || meet+=(--dist_backend gloo)
    fi
    log "  ${out}: tensorboard --logdir ${out}/tensorboard; log: ${out}/train.log"
    [ ! -e "${out}/train.log" ] || mv "${out}/train.log" "${out}/train.$(date +%Y%m%d-%H%M%S).log"
    # shellcheck disable=SC2086
    job ${cuda_cmd} --gpu "${ngpu}" --num_nodes "${num_nodes}" --num_threads "$(((ngpu > 0 ? ngpu : 1) * ${train_threads:-1}))" \
        "${out}/train.log" "${launch[@]}" "${threads[@]}" "$@" --ngpu "${ngpu}" "${meet[@]}" --resume true
}
