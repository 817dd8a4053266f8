#!/usr/bin/env bash
# The server wants a key that nobody else can read, and a secret comes as it lies on the host: take a copy, in memory.
set -euo pipefail
install -m 0600 /run/secrets/postgres.key /var/run/postgresql/server.key
exec docker-entrypoint.sh postgres \
  -c ssl=on \
  -c ssl_cert_file=/run/secrets/postgres.crt \
  -c ssl_key_file=/var/run/postgresql/server.key \
  -c ssl_min_protocol_version=TLSv1.3 \
  -c hba_file=/etc/bulkhead/pg_hba.conf \
  -c password_encryption=scram-sha-256 \
  -c max_connections=200
