#!/usr/bin/env bash
# Runs the tests. What is missing of requirements-dev.txt is added to the virtual environment at hand if that meets
# requirements.txt, else to .venv, which is made if need be. Arguments go to pytest: bash tests/run.sh -m slow
#
# The page is tested in Debian's Chromium, and those tests are skipped where it is not. WITH_BROWSER=1 bash tests/run.sh
# installs it first (as root); in CI, where CI=true, so does root without being asked; WITH_BROWSER=0 never does.
set -euo pipefail
cd "$(dirname "$0")/.."
. utils/environment.sh

wants_browser() {
    [ "${WITH_BROWSER:-}" = 1 ] || { [ -z "${WITH_BROWSER:-}" ] && [ "${CI:-}" = true ] && [ "$(id -u)" = 0 ]; }
}

has_browser() {
    command -v chromium >/dev/null && command -v chromedriver >/dev/null
}

add_browser() {
    timeout 40 apt-get update && timeout 120 apt-get install -y --no-install-recommends chromium chromium-driver
}

if wants_browser && ! has_browser; then
    echo "Installing Chromium, for the tests of the page (a minute or two at most, once)."
    if ! DEBIAN_FRONTEND=noninteractive add_browser >/dev/null 2>&1 || ! has_browser; then
        echo "Note: it cannot be installed, and its tests are skipped; by hand: apt-get install chromium chromium-driver" >&2
    fi
fi

use_environment requirements.txt requirements-dev.txt || exit $?
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} # a process a core, rather than all cores for each
exec "$PYTHON" -m pytest -n auto "$@"
