#!/usr/bin/env bash
# Makes what docker-compose.yml needs to keep secret, in .secrets/ or the folder given: a private certificate
# authority, a certificate for each listener, passwords, keys, the configuration files that hold them. What is there
# already stays, so it can be run again: after deleting one file, or when a new version needs another.
#
# The folder is for its owner alone (0700). The files in it are readable (0444), because a container gets each as it
# lies here, and the users they run as have no name on this machine.
set -euo pipefail
umask 077

here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-"$here/../../.secrets"}
mkdir -p "$folder"
chmod 0700 "$folder"
cd "$folder"

days=825
roles="retrieve ingest indexer admin audit all"

once() { [ ! -s "$1" ]; }

# keep <file>: standard input becomes the file, at once or not at all
keep() {
  cat >"$1.new"
  chmod 0444 "$1.new"
  mv -f "$1.new" "$1"
}

password() { if once "$1"; then openssl rand -hex 32 | tr -d '\n' | keep "$1"; fi; }

authority() {
  once ca.crt || return 0
  openssl ecparam -name prime256v1 -genkey -noout -out ca.key
  # signs only, here, and is given to no container
  chmod 0400 ca.key
  openssl req -x509 -new -key ca.key -sha256 -days 3650 -subj "/CN=Bulkhead private authority" \
    -addext "basicConstraints=critical,CA:TRUE,pathlen:0" -addext "keyUsage=critical,keyCertSign" | keep ca.crt
}

# certificate <name> <other names…>: <name>.crt and <name>.key, for the host names given
certificate() {
  local name=$1 names
  names=$(printf ',DNS:%s' "$@")
  once "$name.crt" || return 0
  openssl ecparam -name prime256v1 -genkey | openssl pkcs8 -topk8 -nocrypt | keep "$name.key"
  openssl req -new -key "$name.key" -subj "/CN=$name" |
    openssl x509 -req -CA ca.crt -CAkey ca.key -sha256 -days "$days" -extfile <(
      echo "subjectAltName=${names:1},IP:127.0.0.1"
      echo "basicConstraints=critical,CA:FALSE"
      echo "extendedKeyUsage=serverAuth"
    ) 2>/dev/null | keep "$name.crt"
}

authority
certificate postgres
certificate qdrant
certificate keycloak keycloak.localhost localhost
for role in retrieve ingest admin audit all; do certificate "$role" localhost; done

password postgres-superuser
password postgres-migrator
password postgres-keycloak
for role in $roles; do password "login-$role"; done
password qdrant-write-key
password qdrant-read-key
password keycloak-admin
password keycloak-client
password keycloak-first-password

if once qdrant.yaml; then
  keep qdrant.yaml <<EOF
service:
  enable_tls: true
  api_key: $(cat qdrant-write-key)
  read_only_api_key: $(cat qdrant-read-key)
tls:
  cert: /run/secrets/qdrant.crt
  key: /run/secrets/qdrant.key
EOF
fi

if once keycloak.conf; then
  keep keycloak.conf <<EOF
db-password=$(cat postgres-keycloak)
bootstrap-admin-username=admin
bootstrap-admin-password=$(cat keycloak-admin)
EOF
fi

if once keycloak-realm.json; then
  sed -e "s/@client-secret@/$(cat keycloak-client)/" -e "s/@first-password@/$(cat keycloak-first-password)/" \
    "$here/keycloak-realm.json" | keep keycloak-realm.json
fi

# Wraps the data keys of levels with encrypt: true. Keep a copy apart from the database: without it that text is lost.
once data-keys || :
echo "The secrets are in $PWD. First sign-in: the password in keycloak-first-password, then one's own."
