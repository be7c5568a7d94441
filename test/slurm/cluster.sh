#!/usr/bin/env bash
# A real SLURM on this machine: munged, slurmctld and one slurmd a node, all of this user, with sockets, ports, logs and
# state of their own in FOLDER. Nothing outside FOLDER is written; another SLURM on the machine is not touched.
#   cluster.sh start FOLDER [NODES]   starts it (2 nodes: n1, n2), waits until the nodes are idle, prints lines to source
#   cluster.sh kill FOLDER NODE       what a power cut does: kills the node's daemon and all that runs there, at once
#   cluster.sh up FOLDER NODE         starts the daemon of a node again
#   cluster.sh stop FOLDER            ends all processes that were started, by their numbers
# EVC2_LIMIT_SCALE=3 in the environment: waits so many times longer, on a busy machine.
# Debian and Ubuntu: apt-get install slurmctld slurmd munge
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p}' "$0" && exit 1; }
action=$1 name=${3-}
mkdir -p "$2"
folder=$(cd "$2" && pwd)
PATH=${PATH}:/usr/sbin:/sbin
export SLURM_CONF=${folder}/slurm.conf
die() {
    echo "cluster.sh: error: $*" >&2
    exit 1
}

# Seconds of two idle cores -> whole seconds here.
scaled() { LC_ALL=C awk -v s="$1" -v scale="${EVC2_LIMIT_SCALE:-1}" 'BEGIN { printf "%d", s * scale + 0.999 }'; }

# Ports that nothing listens on now.
free_ports() {
    python3 - "$1" <<'PY'
import socket, sys
sockets = [socket.socket() for _ in range(int(sys.argv[1]))]
for s in sockets:
    s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in sockets))
PY
}

write_configuration() {
    local nodes=$1 ports user host i
    read -r -a ports <<< "$(free_ports $((nodes + 1)))"
    user=$(id -un) host=$(hostname -s)
    cat > "${SLURM_CONF}" <<END
ClusterName=evc2
SlurmctldHost=${host}(127.0.0.1)
SlurmctldPort=${ports[0]}
SlurmUser=${user}
SlurmdUser=${user}
AuthType=auth/munge
# The second is also how long a job waits before it is started again; 120 s if nothing is said.
AuthInfo=socket=${folder}/munge.socket,cred_expire=10
StateSaveLocation=${folder}/state
SlurmctldPidFile=${folder}/slurmctld.pid
SlurmctldLogFile=${folder}/slurmctld.log
SlurmdPidFile=${folder}/slurmd.%n.pid
SlurmdLogFile=${folder}/slurmd.%n.log
SlurmdSpoolDir=${folder}/spool.%n
SlurmdParameters=config_overrides
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,sched_min_interval=0,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
# A dead node is noticed within this time; 300 s is usual on large clusters.
SlurmdTimeout=${EVC2_SLURMD_TIMEOUT:-10}
KillWait=${EVC2_KILL_WAIT:-30}
ReturnToService=2
MinJobAge=300
END
    for ((i = 1; i <= nodes; i++)); do
        echo "NodeName=n${i} NodeAddr=127.0.0.1 NodeHostname=${host} Port=${ports[i]} CPUs=2 RealMemory=1000" >> "${SLURM_CONF}"
    done
    echo "PartitionName=normal Nodes=ALL Default=YES MaxTime=INFINITE PriorityTier=1 PreemptMode=REQUEUE GraceTime=${EVC2_GRACE:-30}" \
        >> "${SLURM_CONF}"
    echo "PartitionName=urgent Nodes=ALL MaxTime=INFINITE PriorityTier=10 PreemptMode=OFF" >> "${SLURM_CONF}"
}

start_node() { slurmd -N "$1"; }

start() {
    local nodes=${1:-2} tool i limit end
    for tool in munged slurmctld slurmd sinfo; do
        command -v "${tool}" > /dev/null || die "${tool} is not installed (apt-get install slurmctld slurmd munge)"
    done
    [ ! -e "${SLURM_CONF}" ] || die "${folder} holds a cluster already; stop it and choose an empty folder"
    chmod 700 "${folder}"
    mkdir -p "${folder}/state"
    write_configuration "${nodes}"
    # munged wants its folders closed to others; the key is made here, of the system's random bytes.
    (umask 077 && head -c 128 /dev/urandom > "${folder}/munge.key")
    munged --force --socket="${folder}/munge.socket" --key-file="${folder}/munge.key" --pid-file="${folder}/munged.pid" \
        --log-file="${folder}/munged.log" --seed-file="${folder}/munge.seed"
    slurmctld
    for ((i = 1; i <= nodes; i++)); do start_node "n${i}"; done
    limit=$(scaled 30) end=$((SECONDS + limit))
    until [ "$(sinfo -h -p normal -t idle -o %D 2> /dev/null)" = "${nodes}" ]; do
        [ "${SECONDS}" -lt "${end}" ] || die "the nodes are not idle after ${limit} s; see ${folder}/*.log"
        sleep 0.1
    done
    echo "export SLURM_CONF=${SLURM_CONF}"
}

# The processes of a node: its daemon and the step daemons, which write its log, and what these have started, which has
# its name in the environment.
processes_of() {
    {
        find /proc/[0-9]*/fd -lname "${folder}/slurmd.$1.log" 2> /dev/null || true
        grep -lzx "SLURMD_NODENAME=$1" /proc/[0-9]*/environ 2> /dev/null | xargs -r grep -lzxF "SLURM_CONF=${SLURM_CONF}" 2> /dev/null || true
    } | cut -d / -f 3 | sort -u
}

kill_node() {
    local pids=()
    mapfile -t pids < <(processes_of "$1")
    [ "${#pids[@]}" -gt 0 ] || die "no process of node $1 found"
    kill -KILL "${pids[@]}" 2> /dev/null || true
}

# Whether a process runs; one that nobody has waited for yet (a zombie) has ended.
runs() {
    local stat
    stat=$(cat "/proc/$1/stat" 2> /dev/null) || return 1
    stat=${stat##*) }
    [ "${stat%% *}" != Z ]
}

stop() {
    local file pid node limit end pids=()
    [ -e "${SLURM_CONF}" ] || return 0
    for file in slurmctld.pid munged.pid; do
        [ ! -e "${folder}/${file}" ] || pids+=("$(cat "${folder}/${file}")")
    done
    while read -r node; do
        mapfile -t -O "${#pids[@]}" pids < <(processes_of "${node}")
    done < <(sed -n 's/^NodeName=\([^ ]*\).*/\1/p' "${SLURM_CONF}")
    [ "${#pids[@]}" -eq 0 ] || kill -KILL "${pids[@]}" 2> /dev/null || true
    limit=$(scaled 30) end=$((SECONDS + limit))
    for pid in "${pids[@]}"; do
        while runs "${pid}"; do
            [ "${SECONDS}" -lt "${end}" ] || die "process ${pid} still runs ${limit} s after SIGKILL; ${folder} is left as it is"
            sleep 0.05
        done
    done
    rm -f "${SLURM_CONF}"
}

case ${action} in
    start) start "${name:-2}" ;;
    kill) kill_node "${name:?expected the name of a node}" ;;
    up) start_node "${name:?expected the name of a node}" ;;
    stop) stop ;;
    *) die "expected start, kill, up or stop, found '${action}'" ;;
esac
