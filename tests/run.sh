#!/usr/bin/env bash
# Runs the tests. What is missing of requirements-dev.txt is added to the virtual environment at hand if that meets
# requirements.txt, else to .venv, which is made if need be. Arguments go to pytest: bash tests/run.sh -m slow
#
# The page is tested in Debian's Chromium, and those tests are skipped where it is not. WITH_BROWSER=1 bash tests/run.sh,
# which is what .ci/run does, installs it first, as root; where that cannot be done, it says so, and the other tests run.
set -euo pipefail
cd "$(dirname "$0")/.."
. utils/environment.sh

has_browser() {
    command -v chromium >/dev/null && command -v chromedriver >/dev/null
}

# A mirror that does not answer cannot hold the tests up for long. Only what fetches is ever cut off, never what installs:
# that would leave dpkg half done. Lists that are not to be had in full, or at all, may do.
add_browser() {
    local install=(apt-get install -y --no-install-recommends)
    timeout 90 apt-get update || true
    timeout 300 "${install[@]}" --download-only chromium chromium-driver && "${install[@]}" chromium chromium-driver
}

if [ "${WITH_BROWSER:-0}" = 1 ] && ! has_browser; then
    echo "Installing Chromium, for the tests of the page (a minute or two, once)."
    if ! said=$(DEBIAN_FRONTEND=noninteractive add_browser 2>&1 </dev/null) || ! has_browser; then
        echo "Note: it cannot be installed, and its tests are skipped: ${said##*$'\n'}" >&2
    fi
fi

use_environment requirements.txt requirements-dev.txt || exit $?
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} # a process a core, rather than all cores for each
exec "$PYTHON" -m pytest -n auto "$@"
