# Sourced by run_train.sh, run_test.sh, run_demo.sh and tests/run.sh: sets PYTHON to an interpreter that meets the requirements files
# that are its arguments, the first of them requirements.txt.
#
# The interpreter at hand (PYTHON, or python3) is used if it meets requirements.txt: as it is if it meets the others too;
# with what is missing of those added, if it is a virtual environment. Else there is a .venv beside the scripts, made once,
# and remade when requirements.txt changes. Nothing is ever installed outside a virtual environment.

use_environment() {
    PYTHON=${PYTHON:-python3}
    if ! command -v "$PYTHON" >/dev/null || ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
        local found
        found=$("$PYTHON" --version 2>/dev/null) || found="not there"
        echo "error: Python 3.10 or newer is needed; $PYTHON is $found. Set PYTHON to one." >&2
        return 2
    fi
    if meets "$@"; then
        return 0
    fi
    if ! meets "$1" || ! "$PYTHON" -c 'import sys; sys.exit(sys.prefix == sys.base_prefix)'; then
        # The stamp is written last: an installation that was interrupted is begun again.
        local wanted
        wanted=$(cksum <"$1")
        if [ "$(cat .venv/requirements.stamp 2>/dev/null)" != "$wanted" ]; then
            echo "Making the environment .venv from $1 (a few minutes, once)."
            rm -rf .venv
            "$PYTHON" -m venv .venv || {
                echo "error: $PYTHON cannot make an environment (on Debian: apt-get install python3-venv)" >&2
                return 2
            }
            .venv/bin/python -m pip install --quiet --disable-pip-version-check -r "$1" || return 2
            echo "$wanted" >.venv/requirements.stamp
        fi
        PYTHON=.venv/bin/python
        if [ $# -eq 1 ] || meets "$@"; then
            return 0
        fi
    fi
    echo "Adding what is missing of ${*:2} to the environment of $PYTHON."
    "$PYTHON" -m pip install --quiet --disable-pip-version-check $(printf -- '-r %s ' "$@") || return 2
}

# Whether $PYTHON has what the files ask for: pip's own answer, with nowhere to fetch from.
meets() {
    PIP_CONFIG_FILE=/dev/null "$PYTHON" -m pip --isolated --disable-pip-version-check install \
        --dry-run --quiet --no-index --no-deps $(printf -- '-r %s ' "$@") >/dev/null 2>&1
}
