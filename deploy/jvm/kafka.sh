#!/usr/bin/env bash
# A Kafka broker on this machine, for development and tests: kafka.sh start|stop|status|fetch [OPTION…]
#
#   --version 3.9|4.2      release line (default 4.2; pykafka needs 3.9)
#   --port N               of clients (default 9092); the controller listens on --controller-port
#   --controller-port N    (default: the port after --port)
#   --data FOLDER          messages, log and process number (default .kafka/VERSION in the checkout)
#   --sasl-port N --user NAME:PASSWORD   a second listener that asks for this user (SASL PLAIN)
#   --tls-port N --certs FOLDER          one with TLS that asks for a client's certificate; the folder
#                          is one of `zring certs`, with a node that is called broker
#   --sasl-tls-port N      one with TLS that asks for a user (SASL PLAIN with --user; SCRAM-SHA-256 and
#                          -512 for users that `kafka-configs` or an admin client makes)
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
tls_port="" sasl_tls_port="" certs=""
while [[ $# -gt 0 ]]; do
    [[ $# -ge 2 ]] || fail "$1 needs a value"
    case $1 in
    --version) version=$2 ;;
    --port) port=$2 ;;
    --controller-port) controller_port=$2 ;;
    --data) data=$2 ;;
    --sasl-port) sasl_port=$2 ;;
    --user) user=$2 ;;
    --tls-port) tls_port=$2 ;;
    --sasl-tls-port) sasl_tls_port=$2 ;;
    --certs) certs=$2 ;;
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
    local listeners="CONTROLLER://127.0.0.1:$controller_port" advertised="" kind
    local -A ports=([PLAINTEXT]=$port [SASL_PLAINTEXT]=$sasl_port [SSL]=$tls_port [SASL_SSL]=$sasl_tls_port)
    for kind in PLAINTEXT SASL_PLAINTEXT SSL SASL_SSL; do
        [[ -n ${ports[$kind]} ]] || continue
        advertised+="${advertised:+,}$kind://127.0.0.1:${ports[$kind]}"
    done
    cat <<SETTINGS
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller_port
controller.listener.names=CONTROLLER
listeners=$listeners,$advertised
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL
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
    [[ -z $sasl_port ]] || user_settings sasl_plaintext PLAIN
    [[ -z $tls_port ]] || tls_settings ssl required
    if [[ -n $sasl_tls_port ]]; then
        user_settings sasl_ssl PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
        tls_settings sasl_ssl none
    fi
}

# Who may come in by a listener: one user with PLAIN, those that the cluster keeps with SCRAM.
user_settings() {
    local scope=listener.name.$1 modules=org.apache.kafka.common.security number
    [[ $user == ?*:?* ]] || fail "--sasl-port and --sasl-tls-port need --user NAME:PASSWORD"
    cat <<SETTINGS
$scope.sasl.enabled.mechanisms=$2
$scope.plain.sasl.jaas.config=$modules.plain.PlainLoginModule required user_${user%%:*}="${user#*:}";
SETTINGS
    for number in 256 512; do
        [[ $2 != *SCRAM-SHA-$number* ]] ||
            echo "$scope.scram-sha-$number.sasl.jaas.config=$modules.scram.ScramLoginModule required;"
    done
}

# The broker's certificate and key in one file, as Kafka reads PEM, and the authority of clients.
tls_settings() {
    local scope=listener.name.$1
    cat <<SETTINGS
$scope.ssl.keystore.type=PEM
$scope.ssl.keystore.location=$data/broker.pem
$scope.ssl.truststore.type=PEM
$scope.ssl.truststore.location=$certs/ca.pem
$scope.ssl.client.auth=$2
SETTINGS
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
    if [[ -n $tls_port$sasl_tls_port ]]; then
        [[ -f $certs/broker.pem ]] || fail "--certs needs a folder that zring certs FOLDER --node broker has made"
        (umask 077 && cat "$certs/broker-key.pem" "$certs/broker.pem" >"$data/broker.pem")
    fi
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
