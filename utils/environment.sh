# Sourced by run_train.sh, run_test.sh and tests/run.sh: sets PYTHON to an interpreter that meets the requirements.
# The one at hand (PYTHON, or python3) if it does; else a .venv beside the scripts, made once, remade when
# requirements.txt changes. Arguments: the requirements files.

use_environment() {
    PYTHON=${PYTHON:-python3}
    if ! command -v "$PYTHON" >/dev/null || ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
        local found
        found=$("$PYTHON" --version 2>/dev/null) || found="not there"
        echo "error: Python 3.10 or newer is needed; $PYTHON is $found. Set PYTHON to one." >&2
        return 2
    fi
    if "$PYTHON" utils/requirements.py "$@" 2>/dev/null; then
        return 0
    fi
    # The stamp is written last: an installation that was interrupted is begun again.
    local wanted
    wanted=$(cat requirements.txt | cksum)
    if [ "$(cat .venv/requirements.stamp 2>/dev/null)" != "$wanted" ]; then
        echo "Making the environment .venv from requirements.txt (a few minutes, once)."
        rm -rf .venv
        "$PYTHON" -m venv .venv || {
            echo "error: $PYTHON cannot make an environment (on Debian: apt-get install python3-venv)" >&2
            return 2
        }
        .venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt || return 2
        echo "$wanted" >.venv/requirements.stamp
    fi
    PYTHON=.venv/bin/python
    # What only the tests need is added when it is asked for.
    if ! "$PYTHON" utils/requirements.py "$@"; then
        local files=()
        for file in "$@"; do files+=(-r "$file"); done
        "$PYTHON" -m pip install --quiet --disable-pip-version-check "${files[@]}" || return 2
    fi
}
