# shellcheck shell=bash disable=SC2154
# The body of the jobs that slurm.pl submits, sourced by a script that sets: log, status and why (files), comment, threads,
# requeue (0 or 1) and the function `run_command`.

# srun: end all tasks when one fails. And it does not take the number of cores over from sbatch by itself.
export SLURM_KILL_BAD_EXIT=1
[ -z "${SLURM_CPUS_PER_TASK-}" ] || export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK}
start=$(date +%s)
[ "${SLURM_RESTART_COUNT:-0}" -gt 0 ] || : > "${log}" || exit 1
rm -f "${status}" "${why}"
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
job=''
trap '[ -z "${job}" ] || kill -USR1 -- "-${job}"' USR1
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

reason=''
if [ "${code}" -eq 138 ] || [ "${code}" -eq 143 ]; then  # SIGUSR1, SIGTERM; of a preemption only the steps hear
    # A job that was cancelled, or whose time is over, or that SLURM itself starts again, is not RUNNING any more.
    state=$(scontrol -o show job "${SLURM_JOB_ID}" 2> /dev/null | sed -n 's/.*JobState=\([A-Z_]*\).*/\1/p')
    [ "${state}" != RUNNING ] || reason="it was told to end by SIG$(kill -l "${code}") on ${SLURM_JOB_NODELIST-}"
elif [ "${code}" -ne 0 ] && [ "${SLURM_JOB_NUM_NODES:-1}" -gt 1 ]; then
    # The processes of a training fail at once when one of them loses its node, long before SLURM misses the node. So ask
    # all nodes: a step that does nothing.
    reason=$(timeout 300 srun --overlap --ntasks-per-node=1 --nodes="${SLURM_JOB_NUM_NODES}" true 2>&1 < /dev/null \
        | sed -n 's/.*failed on node \([^:]*\): \(.*\)/node \1 does not answer (\2)/p' | paste -s -d ';')
fi
[ -z "${reason}" ] || echo "${reason}" | tee "${why}" >> "${log}"
{
    echo "# Accounting: time=$(($(date +%s) - start)) threads=${threads}"
    echo "# Ended (code ${code}) at $(date), elapsed time $(($(date +%s) - start)) seconds"
} >> "${log}" || [ "${code}" -ne 0 ] || code=1
if [ -n "${reason}" ] && [ "${requeue}" -eq 1 ]; then
    # On success SLURM ends this script.
    scontrol requeue "${SLURM_JOB_ID}" >> "${log}" 2>&1 && sleep 60
fi
echo "${code} ${SLURM_RESTART_COUNT:-0}" > "${status}.part" && mv "${status}.part" "${status}"
exit "${code}"
