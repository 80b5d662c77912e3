#!/usr/bin/env bash
# down.sh FOLDER: cancel the jobs of the cluster that up.sh started in FOLDER, end its daemons, remove it.
set -uo pipefail

folder=$(cd "${1:?usage: down.sh FOLDER}" 2>/dev/null && pwd) || exit 0
export SLURM_CONF=$folder/slurm.conf

pids=$(cat "$folder"/pid/slurm*.pid 2>/dev/null)
alive() { # which of the daemons still are
    for pid in $pids; do
        kill -0 "$pid" 2>/dev/null && echo "$pid"
    done
}

timeout 2 scancel --user="$(id -un)" 2>/dev/null
# shellcheck disable=SC2046,SC2086
{
    kill -TERM $pids
    for _ in $(seq 10); do
        [ -z "$(alive)" ] && break
        sleep 0.1
    done
    kill -KILL $(alive)
    # What lives on of jobs: step daemons of this cluster, what its jobs started, what asks it.
    for environment in $(grep --files-with-matches --null-data --no-messages "$folder/" /proc/[0-9]*/environ); do
        process=${environment%/environ}
        if [ "$(cat "$process/comm")" = slurmstepd ] || grep --quiet --null-data "^SLURM_JOB_ID=\|^SLURM_CONF=$folder/" "$environment"; then
            [ "${process#/proc/}" = $$ ] || kill -KILL "${process#/proc/}"
        fi
    done
    kill -KILL "$(cat "$folder/pid/munged.pid")"
} 2>/dev/null
rm -rf "$folder"
