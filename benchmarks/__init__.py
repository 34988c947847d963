"""The measuring programs. Each imports this package before torch: they wait for their threads as the scripts do."""

from utils.threads import wait_passively

wait_passively()
