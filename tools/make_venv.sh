#!/bin/sh
# Make a virtual environment with the first Python >= 3.11 that is found, or with $PYTHON.
set -eu
venv=$1
for python in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
        "$python" -m venv "$venv"
        exit 0
    fi
done
echo "Lookalike needs Python 3.11 or newer with its venv module; ${PYTHON:-what is on the PATH} is not that." >&2
echo "Install one (on Debian and Ubuntu: apt-get install python3 python3-venv), or name it:" >&2
echo "    make setup PYTHON=/path/to/python3.12" >&2
exit 1
