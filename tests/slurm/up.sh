#!/usr/bin/env bash
# up.sh FOLDER [PORT]: a real SLURM cluster on this machine, with all its files in FOLDER. Needs root,
# slurmctld, slurmd and munged; touches nothing outside of FOLDER. down.sh FOLDER ends it.
#
#   cpu1 cpu2   16 CPUs each, partition cpu
#   gpu1 gpu2   64 CPUs and 8 GPUs each, partition gpu
#   low         all four nodes; jobs of the other partitions preempt its jobs, which are requeued
#
# CPUs, memory and GPUs are claims: SLURM hands them out and counts them, this machine need not have
# them. A GPU is a character device (an alias of /dev/null), so that its index reaches the job in
# CUDA_VISIBLE_DEVICES. After it: source FOLDER/env.sh
set -euo pipefail

folder=${1:?usage: up.sh FOLDER [PORT]}
port=${2:-16800} # and the nine after it
host=$(hostname -s)
if [ -e "$folder/slurm.conf" ]; then
    echo "$folder holds a cluster: end it with down.sh first" >&2
    exit 1
fi
folder=$(realpath --canonicalize-missing "$folder")
# A step's socket lies in its node's spool. Linux takes 107 characters; with a longer name SLURM holds
# every job for ever and says so in the node's log alone.
socket=$folder/spool-cpu1/cpu1_99999.4294967291
if [ ${#socket} -gt 107 ]; then
    echo "the name of $folder is $((${#socket} - 107)) characters too long for SLURM's sockets: take a shorter one" >&2
    exit 1
fi
mkdir -p "$folder"/{bin,controller,log,munge/run,pid}
chmod 755 "$folder" "$folder/munge" "$folder/munge/run"

# Its own munge, with its own key and socket.
(umask 077 && head -c 128 /dev/urandom >"$folder/munge/munge.key")
/usr/sbin/munged --force --num-threads=2 \
    --key-file="$folder/munge/munge.key" --seed-file="$folder/munge/munged.seed" \
    --socket="$folder/munge/run/socket" --pid-file="$folder/pid/munged.pid" \
    --log-file="$folder/log/munged.log"

: >"$folder/gres.conf"
for node in gpu1 gpu2; do
    mkdir -p "$folder/devices/$node"
    for index in 0 1 2 3 4 5 6 7; do
        mknod "$folder/devices/$node/nvidia$index" c 1 3
    done
    echo "NodeName=$node Name=gpu Type=a100 File=$folder/devices/$node/nvidia[0-7]" >>"$folder/gres.conf"
done
echo "CgroupAutomount=no" >"$folder/cgroup.conf"

# cred_expire is what a requeued job waits for before it starts again (5 is the least that SLURM takes);
# KillWait what a job has between SIGTERM and SIGKILL. For MinJobAge ended jobs stay known: to
# Snakemake's squeue, and to tests that look for jobs of many minutes ago. A machine whose disk is busy
# can hold a daemon up for many seconds: after MessageTimeout without an answer from a node SLURM holds
# the job for ever (launch_failed_requeued_held), after SlurmdTimeout the node is down.
cat >"$folder/slurm.conf" <<CONF
ClusterName=reset-tests
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge/run/socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=$folder/controller
SlurmdSpoolDir=$folder/spool-%n
SlurmctldPidFile=$folder/pid/slurmctld.pid
SlurmdPidFile=$folder/pid/slurmd-%n.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
GresTypes=gpu
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
MinJobAge=36000
KillWait=5
MessageTimeout=90
TCPTimeout=30
SlurmctldTimeout=90
SlurmdTimeout=90
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,sched_min_interval=0,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
PlugStackConfig=/dev/null
NodeName=cpu[1-2] NodeHostname=$host NodeAddr=127.0.0.1 Port=[$((port + 1))-$((port + 2))] CPUs=16 RealMemory=64000
NodeName=gpu[1-2] NodeHostname=$host NodeAddr=127.0.0.1 Port=[$((port + 3))-$((port + 4))] CPUs=64 RealMemory=1000000 Gres=gpu:a100:8
PartitionName=cpu Nodes=cpu[1-2] Default=YES MaxTime=7-0 DefaultTime=10 PriorityTier=10 PreemptMode=OFF
PartitionName=gpu Nodes=gpu[1-2] MaxTime=7-0 DefaultTime=10 PriorityTier=10 PreemptMode=OFF
PartitionName=low Nodes=cpu[1-2],gpu[1-2] MaxTime=7-0 DefaultTime=10 PriorityTier=1 PreemptMode=REQUEUE
CONF

# Snakemake's job step drops every SLURM_* variable before its srun, SLURM_CONF too: commands that
# name the configuration themselves stand first on PATH.
for command in srun sbatch scontrol squeue sinfo scancel; do
    printf '#!/bin/sh\nSLURM_CONF=%q exec /usr/bin/%s "$@"\n' "$folder/slurm.conf" "$command" >"$folder/bin/$command"
    chmod +x "$folder/bin/$command"
done
printf 'export PATH=%q:$PATH\n' "$folder/bin" >"$folder/env.sh"

export SLURM_CONF=$folder/slurm.conf
slurmctld
for node in cpu1 cpu2 gpu1 gpu2; do
    mkdir -p "$folder/spool-$node"
    slurmd -N "$node"
done
for _ in $(seq 1200); do
    idle=$(timeout 3 sinfo --noheader --Node --format='%N %t' 2>/dev/null | awk '$2 == "idle" {print $1}' | sort -u | wc -l)
    if [ "$idle" = 4 ]; then
        echo "4 nodes are up: source $folder/env.sh"
        exit 0
    fi
    sleep 0.1
done
echo "only $idle of 4 nodes came up" >&2
tail -n 5 "$folder"/log/*.log >&2
exit 1
