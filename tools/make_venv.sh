#!/bin/sh
# Make a virtual environment with the first Python >= 3.11 that is found.
set -eu
venv=$1
for python in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
    if "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
        "$python" -m venv "$venv"
        exit 0
    fi
done
cat >&2 <<'END'
Lookalike needs Python 3.11 or newer with its venv module, and none was found on the PATH.
Install one (on Debian and Ubuntu: apt-get install python3 python3-venv), or name it:
    make setup PYTHON=/path/to/python3.12
END
exit 1
