# shellcheck shell=bash disable=SC2154
# The body of the jobs that slurm.pl submits, sourced by a script that sets: log, status and why (files), comment, threads,
# requeue (0 or 1) and the function `run_command`.

# srun: end all tasks when one fails. And it does not take the number of cores over from sbatch by itself.
export SLURM_KILL_BAD_EXIT=1
[ -z "${SLURM_CPUS_PER_TASK-}" ] || export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK}
start=$(date +%s)
[ "${SLURM_RESTART_COUNT:-0}" -gt 0 ] || : > "${log}" || exit 1
rm -f "${status}" "${why}"
# One task of an array has the number of the whole array, too: without this it would ask for all of them.
id=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}}
id=${id:-${SLURM_JOB_ID}}
{
    printf '%s\n' "# ${comment}"
    echo "# Running on ${SLURM_JOB_NODELIST:-$(hostname)}, SLURM job ${SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+ (task ${SLURM_ARRAY_TASK_ID})}"
    [ "${SLURM_RESTART_COUNT:-0}" -eq 0 ] || echo "# Started again, number ${SLURM_RESTART_COUNT}"
    echo "# Started at $(date)"
    echo '#'
} >> "${log}" || exit 1

# SIGUSR1 comes to this script alone, so it is handed on; SIGTERM comes to all processes of the job. After either the
# command ends by itself: it may have something to save.
set +e -m
job='' told=false
trap 'told=true; [ -z "${job}" ] || kill -USR1 -- "-${job}"' USR1
trap : TERM
(
    trap : USR1 TERM
    set +e +u -o pipefail
    run_command
    echo $? > "${status}.code"  # what `wait` says after a signal is not to be relied on
) < /dev/null >> "${log}" 2>&1 &
job=$!
while kill -0 "${job}" 2> /dev/null; do wait "${job}" 2> /dev/null; done
code=$(cat "${status}.code" 2> /dev/null) || code=137  # killed
rm -f "${status}.code"

reason='' record=''
[ "${code}" -eq 0 ] || record=$(scontrol -o show job "${id}" 2> /dev/null)
case ${code}:${told}:${record} in
    # A job that was cancelled, or whose time is over, or that SLURM itself starts again, is not RUNNING any more.
    # Of a preemption with some time to go only the steps hear, not this script.
    # srun ends the processes that leave a little later than the first by SIGTERM.
    138:true:*JobState=RUNNING* | 143:true:*JobState=RUNNING*) reason="it was told to end by SIGUSR1 on ${SLURM_JOB_NODELIST-}" ;;
    143:*JobState=RUNNING*PreemptTime=[0-9]*) reason="it was told to end by SIGTERM on ${SLURM_JOB_NODELIST-}, for another job" ;;
esac
if [ -n "${reason}" ]; then
    :
elif [ "${code}" -ne 0 ] && [ "${SLURM_JOB_NUM_NODES:-1}" -gt 1 ] && [[ ${record} == *JobState=RUNNING* ]]; then
    # The processes of a training fail at once when one of them loses its node, long before SLURM misses the node. So ask
    # all nodes: a step that does nothing.
    reason=$(timeout 300 srun --overlap --ntasks-per-node=1 --nodes="${SLURM_JOB_NUM_NODES}" true 2>&1 < /dev/null \
        | sed -n 's/.*failed on node \([^:]*\): \(.*\)/node \1 does not answer (\2)/p' | paste -s -d ';')
fi
seconds=$(($(date +%s) - start))
if [ -n "${reason}" ] && [ "${requeue}" -eq 1 ]; then
    # What keeps it from working may be there the next time, too.
    quick=$(cat "${status}.quick" 2> /dev/null) || quick=0
    [ "${seconds}" -lt 60 ] && quick=$((quick + 1)) || quick=0
    echo "${quick}" > "${status}.quick"
    if [ "${quick}" -ge 5 ]; then
        requeue=0 reason+="; ${quick} starts in a row have ended within a minute, so it is not started again"
    fi
fi
[ -z "${reason}" ] || echo "${reason}" | tee "${why}" >> "${log}"
{
    echo "# Accounting: time=${seconds} threads=${threads}"
    echo "# Ended (code ${code}) at $(date), elapsed time ${seconds} seconds"
} >> "${log}" || [ "${code}" -ne 0 ] || code=1
if [ -n "${reason}" ] && [ "${requeue}" -eq 1 ]; then
    # On success SLURM ends this script.
    scontrol requeue "${id}" >> "${log}" 2>&1 && sleep 60
fi
echo "${code} ${SLURM_RESTART_COUNT:-0}" > "${status}.part" && mv "${status}.part" "${status}"
exit "${code}"
