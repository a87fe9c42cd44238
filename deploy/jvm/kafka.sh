#!/usr/bin/env bash
# A Kafka broker on this machine, for development and tests: kafka.sh start|stop|status|fetch [OPTION…]
#
#   --version 3.9|4.2      release line (default 4.2; pykafka needs 3.9)
#   --port N               of clients (default 9092); the controller listens on --controller-port
#   --controller-port N    (default: the port after --port)
#   --data FOLDER          messages, log and process number (default .kafka/VERSION in the checkout)
#   --sasl-port N --user NAME:PASSWORD   a second listener that asks for this user (SASL PLAIN)
#
# `start` fetches the pinned jars once (Maven, into deploy/jvm/jars), formats the folder once and
# waits until the broker answers; `stop` ends it and keeps the messages; `fetch` only fetches.
# One broker in KRaft mode, replication 1, listening on 127.0.0.1 only: for development, no more.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

fail() {
    echo "zring: $1" >&2
    exit 1
}

[[ $# -ge 1 ]] || fail "say start, stop, status or fetch; the options are at the top of $0"
command=$1
shift
version=4.2 port=9092 controller_port="" data="" sasl_port="" user=""
while [[ $# -gt 0 ]]; do
    [[ $# -ge 2 ]] || fail "$1 needs a value"
    case $1 in
    --version) version=$2 ;;
    --port) port=$2 ;;
    --controller-port) controller_port=$2 ;;
    --data) data=$2 ;;
    --sasl-port) sasl_port=$2 ;;
    --user) user=$2 ;;
    *) fail "$1 is no option; the options are at the top of $0" ;;
    esac
    shift 2
done
[[ -f $here/kafka-$version/pom.xml ]] || fail "--version $version is not one of 3.9, 4.2"
controller_port=${controller_port:-$((port + 1))}
data=${data:-$(cd "$here/../.." && pwd)/.kafka/$version}
jars=$here/jars/kafka-$version
START_DEADLINE_S=90
STOP_DEADLINE_S=30

fetch() {
    "$here/fetch.sh" "kafka-$version"
}

# The process that the folder names, if it still is this broker and not another one's number.
running() {
    local pid
    pid=$(cat "$data/pid" 2>/dev/null) || return 1
    [[ -n $pid ]] && kill -0 "$pid" 2>/dev/null && grep -qa "kafka.Kafka" "/proc/$pid/cmdline" 2>/dev/null &&
        echo "$pid"
}

answers() {
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null
}

write_settings() {
    local listeners="PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller_port"
    local advertised="PLAINTEXT://127.0.0.1:$port"
    if [[ -n $sasl_port ]]; then
        listeners+=",SASL_PLAINTEXT://127.0.0.1:$sasl_port"
        advertised+=",SASL_PLAINTEXT://127.0.0.1:$sasl_port"
    fi
    cat <<SETTINGS
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller_port
controller.listener.names=CONTROLLER
listeners=$listeners
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT
advertised.listeners=$advertised
log.dirs=$data/log
num.partitions=4
auto.create.topics.enable=false
message.max.bytes=16777216
replica.fetch.max.bytes=16777216
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
SETTINGS
    if [[ -n $sasl_port ]]; then
        [[ $user == ?*:?* ]] || fail "--sasl-port needs --user NAME:PASSWORD"
        cat <<SETTINGS
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_${user%%:*}="${user#*:}";
SETTINGS
    fi
}

start() {
    if running >/dev/null; then
        fail "a broker runs on $data already (process $(running)); stop it first"
    fi
    if answers; then
        fail "port $port is taken by another program; give --port"
    fi
    fetch
    mkdir -p "$data"
    write_settings >"$data/server.properties"
    local java=(java -cp "$jars/*" -Dorg.slf4j.simpleLogger.defaultLogLevel=warn)
    if [[ ! -f $data/log/meta.properties ]]; then
        "${java[@]}" -Xmx128m -XX:TieredStopAtLevel=1 kafka.tools.StorageTool format \
            --cluster-id zring-development-aaa --config "$data/server.properties" >"$data/format.txt" 2>&1 ||
            fail "formatting $data failed: $(tail -n 3 "$data/format.txt")"
    fi
    # A session of its own: Ctrl-C in the terminal that started it is not for the broker.
    setsid "${java[@]}" -Xms512m -Xmx512m -XX:+UseSerialGC kafka.Kafka "$data/server.properties" \
        >>"$data/output.txt" 2>&1 </dev/null &
    echo $! >"$data/pid"
    local deadline=$((SECONDS + START_DEADLINE_S))
    until answers; do
        running >/dev/null || fail "the broker ended: $(tail -n 5 "$data/output.txt")"
        [[ $SECONDS -lt $deadline ]] || fail "no answer after $START_DEADLINE_S s; see $data/output.txt"
        sleep 0.1
    done
    echo "Kafka $version answers at 127.0.0.1:$port (process $(running), data in $data)"
}

stop() {
    local pid
    pid=$(running) || fail "no broker runs on $data"
    kill "$pid"
    local deadline=$((SECONDS + STOP_DEADLINE_S))
    while running >/dev/null; do
        if [[ $SECONDS -ge $deadline ]]; then
            kill -9 "$pid"
        fi
        sleep 0.1
    done
    rm -f "$data/pid"
    echo "stopped; the messages stay in $data"
}

status() {
    local pid
    pid=$(running) || fail "no broker runs on $data"
    answers || fail "process $pid does not answer at 127.0.0.1:$port"
    echo "Kafka $version answers at 127.0.0.1:$port (process $pid, data in $data)"
}

case $command in
start | stop | status | fetch) "$command" ;;
*) fail "$command is not one of start, stop, status, fetch" ;;
esac
