#!/usr/bin/env bash
# Make sure that system programs are here: system_packages.sh NAME…
#
# Names: venv (Python's own module), gdal (ogrinfo, ogr2ogr), browser (chromium), curl, openssl,
# network (ip), faketime, java (17 or newer, without a display), maven, mosquitto (with its clients),
# redis, prometheus, postgis (PostgreSQL's server with it), strace. Root installs what is missing; anybody else is told the one command that does.
set -euo pipefail

declare -A package=([venv]=python3-venv [gdal]=gdal-bin [browser]=chromium [curl]=curl [openssl]=openssl
    [network]=iproute2 [faketime]=faketime
    [java]=default-jre-headless [maven]=maven [mosquitto]="mosquitto mosquitto-clients" [redis]=redis-server [prometheus]=prometheus [postgis]=postgresql-postgis [strace]=strace)

is_present() {
    case $1 in
    venv) python3 -c 'import ensurepip' 2>/dev/null ;;
    gdal) command -v ogrinfo >/dev/null ;;
    browser) command -v chromium >/dev/null || command -v chromium-browser >/dev/null ||
        command -v google-chrome >/dev/null ;;
    maven) command -v mvn >/dev/null ;;
    mosquitto) { command -v mosquitto || [[ -x /usr/sbin/mosquitto ]]; } >/dev/null && command -v mosquitto_pub >/dev/null ;;
    redis) command -v redis-server >/dev/null ;;
    curl | openssl | faketime | java | prometheus | strace) command -v "$1" >/dev/null ;;
    postgis) compgen -G "/usr/share/postgresql/*/extension/postgis.control" >/dev/null ;;
    network) command -v ip >/dev/null ;;
    *)
        echo "zring: no system package is known by the name $1" >&2
        exit 2
        ;;
    esac
}

missing=()
for name in "$@"; do
    is_present "$name" || missing+=("${package[$name]}")
done
if [[ ${#missing[@]} -eq 0 ]]; then
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "zring: missing on this system: ${missing[*]} (names of Debian packages); install them and try again" >&2
    exit 1
fi
install="apt-get install --yes --no-install-recommends ${missing[*]}"
if [[ $(id -u) -ne 0 ]]; then
    echo "zring: missing system packages; this command installs them, then try again:" >&2
    echo "    sudo $install" >&2
    exit 1
fi
echo "zring: installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update --quiet=2
$install --quiet=2 >/dev/null
