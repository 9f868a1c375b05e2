#!/usr/bin/env bash
# Finds the system programs that are asked for and prints their paths, one a line. What is missing it installs where
# it may (as root on Debian); else it says what to install, and exits 1.
#
#   bash tests/system.sh git make python java maven chromium
set -euo pipefail

find_program() {
    case $1 in
        python) find_python ;;
        java) find_java ;;
        maven) command -v mvn ;;
        chromium) command -v chromium || command -v chromium-browser || command -v google-chrome ;;
        *) command -v "$1" ;;
    esac
}

# Debian splits ensurepip, without which a venv has no pip, into a package of its own.
find_python() {
    local name
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        if "$name" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    return 1
}

# Kafka's classes need Java 17; java -version says: openjdk version "17.0.15" 2025-04-15
find_java() {
    local version
    version=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p') || return 1
    [ "${version:-0}" -ge 17 ] && command -v java
}

title() {
    case $1 in
        python) echo "Python 3.11 or newer with its venv module" ;;
        java) echo "Java 17 or newer" ;;
        *) echo "$1" ;;
    esac
}

debian_packages() {
    case $1 in
        python) echo python3 python3-venv ;;
        java) echo default-jre-headless ;;
        chromium) echo chromium fonts-dejavu-core ;; # without a font its screenshots have no letters
        *) echo "$1" ;;
    esac
}

say() { echo "system.sh: $*" >&2; }

missing=() packages=()
for name in "$@"; do
    if ! find_program "$name" >/dev/null; then
        missing+=("$name")
        packages+=($(debian_packages "$name"))
    fi
done

if [ ${#missing[@]} -gt 0 ] && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    say "installing ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq </dev/null >/dev/null
    apt-get install -qq --no-install-recommends -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "${packages[@]}" </dev/null >/dev/null
fi

status=0
for name in "$@"; do
    if ! find_program "$name"; then
        status=1
        advice=""
        if command -v apt-get >/dev/null; then
            advice="; on Debian, as root: apt-get install $(debian_packages "$name")"
        fi
        say "$(title "$name") is needed and not installed$advice"
    fi
done
exit $status
