# shellcheck shell=bash disable=SC2034
# Where jobs run: `cmd_backend=slurm ./run.sh ...` sends them to SLURM, with conf/slurm.conf.
#   train_cmd   features, statistics, scores    cuda_cmd   training    decode_cmd   conversion
case ${cmd_backend:=local} in
    local)
        train_cmd="utils/run.pl"
        cuda_cmd="utils/run.pl"
        decode_cmd="utils/run.pl"
        ;;
    slurm)
        # conf/slurm.conf says what --gpu, --mem, --time and --num_threads become for sbatch. A corpus may have its own.
        _conf=conf/slurm.conf
        [ -e "${_conf}" ] || _conf=../../TEMPLATE/evc1/conf/slurm.conf
        train_cmd="utils/slurm.pl --config ${_conf}"
        cuda_cmd="utils/slurm.pl --config ${_conf} --requeue true"
        decode_cmd="utils/slurm.pl --config ${_conf}"
        unset _conf
        ;;
    *)
        echo "error: cmd_backend: expected local or slurm, found '${cmd_backend}'" >&2
        return 1
        ;;
esac
