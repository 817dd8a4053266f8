#!/usr/bin/env bash
# Runs once, on an empty data folder: what needs the superuser, so that nothing later does. `bulkhead migrate` makes
# the rest as bulkhead_migrator, who owns the database and may create roles.
set -euo pipefail
psql --username "$POSTGRES_USER" --dbname bulkhead --no-psqlrc --quiet -v ON_ERROR_STOP=1 \
  -v migrator="$(cat /run/secrets/postgres-migrator)" -v keycloak="$(cat /run/secrets/postgres-keycloak)" <<'EOF'
create extension vector;
create role bulkhead_migrator login createrole password :'migrator';
alter database bulkhead owner to bulkhead_migrator;
create role keycloak login password :'keycloak';
create database keycloak owner keycloak;
revoke connect on database keycloak, postgres from public;
EOF
