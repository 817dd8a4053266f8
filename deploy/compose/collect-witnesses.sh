#!/usr/bin/env bash
# Copies what proves each role's audit chain, its public key and its checkpoints, to the audit service, which verifies
# with them. Run it before `audit verify`, and from a timer; a copy kept elsewhere too is one that nobody here can change.
set -euo pipefail
data=/var/lib/bulkhead

for role in retrieve ingest admin; do
  docker compose --profile roles exec -T "$role" tar -C "$data" --ignore-failed-read -c audit.pub audit-checkpoints.ndjson |
    docker compose --profile roles exec -T audit sh -c "mkdir -p $data/witnesses/$role-1 && tar -C $data/witnesses/$role-1 -x"
done
