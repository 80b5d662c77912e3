#!/usr/bin/env bash
# Snakemake itself as a SLURM job, for runs that outlast a login session. From the top of the repository:
#   sbatch profiles/slurm/head_job.sh                                               the paper
#   sbatch --job-name=mine profiles/slurm/head_job.sh prepare --configfile mine.yaml   a stage, an experiment
# Arguments go to `snakemake --profile slurm`; options of sbatch (time, partition, account) stand before the script.
# An hour before its time limit the head starts no more jobs, waits for those that run, and queues itself again under
# the same number. Two heads at once need two names. docs/cluster.md tells more.
#SBATCH --job-name=reset
#SBATCH --output=head-%x-%j.log
#SBATCH --open-mode=append
#SBATCH --cpus-per-task=4
#SBATCH --mem=16000
#SBATCH --time=1-00:00:00
#SBATCH --signal=B:USR1@3600
#SBATCH --requeue
set -uo pipefail
warned=
trap 'warned=yes' USR1

# How long running jobs are waited for after the warning: less than the seconds of --signal above.
grace=${RESET_HEAD_GRACE:-3000}
poll=${RESET_HEAD_POLL:-30}
head=${SLURM_JOB_ID:?submit this script with sbatch}
name=${SLURM_JOB_NAME//[^A-Za-z0-9_-]/-}
name=${name:0:50} # what the plugin takes before the names of its jobs
restarts=${SLURM_RESTART_COUNT:-0}
cd "$SLURM_SUBMIT_DIR"
[ -d .venv/bin ] && PATH=$PWD/.venv/bin:$PATH

# What SLURM tells this job must not reach the jobs that it submits; what the user tells sbatch (SBATCH_QOS) must.
for variable in "${!SLURM_@}" "${!SBATCH_CPU_BIND@}" "${!SBATCH_MEM_BIND@}" "${!SRUN_@}"; do
    [ "$variable" = SLURM_CONF ] || unset "$variable"
done

run_snakemake() { snakemake --profile slurm --slurm-jobname-prefix "$name" "$@"; }
# How many jobs SLURM holds of the runs that this clone has noted under the head's name.
held_jobs() {
    local runs numbers
    runs=$(cat results/*/logs/slurm_runs.txt 2>/dev/null | grep "^${name}_" | sort -u | paste -sd ,)
    until numbers=$([ -z "$runs" ] || squeue --noheader --name="$runs" --format=%i); do
        echo "head $head: squeue does not answer; asking again" >&2
        sleep "$poll"
    done
    grep --count . <<<"$numbers"
}

# In its first life this head had jobs: SLURM runs them still when that life ended by force.
if [ "$restarts" -gt 0 ]; then
    while held=$(held_jobs) && [ "$held" -gt 0 ]; do
        echo "head $head: waiting for $held jobs of its earlier life"
        sleep "$poll"
    done
    run_snakemake "$@" --unlock
fi

run_snakemake "$@" &
main=$!
wait "$main"
status=$?
while kill -0 "$main" 2>/dev/null; do # `wait` ended by the warning, not by snakemake
    if [ -n "$warned" ] && [ "$warned" != told ]; then
        echo "head $head: the time limit is near; no more jobs are started"
        kill -TERM "$main"
        warned=told
        deadline=$((SECONDS + grace))
    fi
    [ -n "$warned" ] && [ "$SECONDS" -ge "$deadline" ] && break
    sleep 1
done
if ! kill -0 "$main" 2>/dev/null; then
    wait "$main"
    status=$?
    [ -z "$warned" ] || [ "$status" = 0 ] && exit "$status"
fi
echo "head $head: queued again"
scontrol requeue "$head" && sleep 120 # until SLURM ends this life
echo "head $head: could not be queued again; submit it once more to go on" >&2
exit 1
