#!/usr/bin/env bash
# A Spark cluster on this machine from the pyspark package: one master and some workers, in the
# foreground until they are stopped.
#
# standalone.sh [--workers N] [--cores N] [--memory 1g] [--host H] [--port N] [--folder F] [--stop-on-eof]
#
#   --workers, --cores, --memory   how many workers, and what each may use (2, 1, 1g)
#   --host, --port                 of the master (127.0.0.1, 7077; port 0 takes a free one)
#   --folder                       logs and the workers' files (.spark in the checkout)
#   --stop-on-eof                  stop when standard input ends, so that no test leaves it behind
#
# Prints the master's address, spark://HOST:PORT, when every worker is registered. Jobs need the
# same Python with this package at the same place on every machine. The master takes orders from
# whoever reaches it: on another address than 127.0.0.1 set spark.authenticate and a firewall.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)

fail() {
    echo "zring: $1" >&2
    exit 1
}

workers=2 cores=1 memory=1g host=127.0.0.1 port=7077 folder=$root/.spark stop_on_eof=
while [[ $# -gt 0 ]]; do
    case $1 in
    --stop-on-eof) stop_on_eof=1 && shift && continue ;;
    --workers | --cores | --memory | --host | --port | --folder) [[ $# -ge 2 ]] || fail "$1 needs a value" ;;
    *) fail "$1 is no option; they are at the top of $0" ;;
    esac
    declare "${1#--}=$2"
    shift 2
done

python=${PYTHON:-$root/.venv/bin/python}
command -v java >/dev/null || "$root/deploy/local/system_packages.sh" java >&2
SPARK_HOME=$("$python" -c 'import os, pyspark; print(os.path.dirname(pyspark.__file__))' 2>/dev/null) ||
    fail "$python has no pyspark; install it: pip install 'zring[spark]'"
export SPARK_HOME PYSPARK_PYTHON=$python SPARK_LOCAL_IP=$host SPARK_DAEMON_MEMORY=${SPARK_DAEMON_MEMORY:-256m}
export SPARK_NO_DAEMONIZE=1
mkdir -p "$folder"

children=()
stop() {
    trap - EXIT INT TERM
    kill "${children[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
}
trap stop EXIT
trap 'exit 0' INT TERM

# Waits until a log holds a pattern; prints the last line that does.
wait_for() {
    local log=$1 pattern=$2 process=$3 waited=0
    until grep -qE "$pattern" "$log"; do
        kill -0 "$process" 2>/dev/null || fail "it ended: $(tail -n 3 "$log")"
        [[ $waited -lt 1200 ]] || fail "no sign of life in two minutes: $(tail -n 3 "$log")"
        sleep 0.1
        waited=$((waited + 1))
    done
    grep -oE "$pattern" "$log" | tail -n 1
}

launch() {
    local log=$1
    shift
    : >"$log"
    "$SPARK_HOME/bin/spark-class" "$@" </dev/null >>"$log" 2>&1 &
    children+=($!)
}

launch "$folder/master.log" org.apache.spark.deploy.master.Master --host "$host" --port "$port" --webui-port 0
master=$(wait_for "$folder/master.log" 'spark://[^ ]+:[0-9]+' "${children[0]}")
for number in $(seq "$workers"); do
    launch "$folder/worker-$number.log" org.apache.spark.deploy.worker.Worker --host "$host" --port 0 \
        --webui-port 0 --cores "$cores" --memory "$memory" --work-dir "$folder/work-$number" "$master"
done
for number in $(seq "$workers"); do
    wait_for "$folder/worker-$number.log" 'Successfully registered with master' "${children[$number]}" >/dev/null
done
echo "$master"

if [[ -n $stop_on_eof ]]; then
    cat >/dev/null # until the caller is gone
else
    wait -n "${children[@]}"
fi
