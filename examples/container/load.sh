# Loads once. On failure, posts one line to ALERT_URL, and returns the exit code.
set -u
meltano run tap-aircall target-postgres
code=$?
if [ "$code" -ne 0 ] && [ -n "${ALERT_URL:-}" ]; then
  python -c 'import json, os, requests, sys
line = {"text": f"The load of Aircall failed with exit code {sys.argv[1]}; its log says why."}
requests.post(os.environ["ALERT_URL"], json=line, timeout=30, allow_redirects=False).raise_for_status()' "$code" \
    || echo "The alert could not be delivered." >&2
fi
exit "$code"
