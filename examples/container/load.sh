# Loads once. On failure, sends an alert to ALERT_URL. Exits with Meltano's exit code.
set -u
meltano run tap-aircall target-postgres
code=$?
if [ "$code" -ne 0 ] && [ -n "${ALERT_URL:-}" ]; then
  python -c 'import json, os, requests, sys
line = {"text": f"The load of Aircall failed with exit code {sys.argv[1]}; see its log."}
requests.post(os.environ["ALERT_URL"], json=line, timeout=30, allow_redirects=False).raise_for_status()' "$code" \
    || echo "The alert could not be delivered." >&2
fi
exit "$code"
