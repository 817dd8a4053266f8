#!/usr/bin/env bash
# Copies what proves each role's audit chain, its public key and its checkpoints, to the audit service, which verifies
# with them. Run it before `audit verify`, and from a timer; a copy kept elsewhere too is one that nobody here can change.
#
# A role that was taken over writes these files as it likes. So only plain files of bounded size are copied, a key that
# was copied once is never replaced, and checkpoints only by more of the same: what else comes is kept beside them, with
# `.refused` at its end, and this script ends with 1.
set -euo pipefail
data=/var/lib/bulkhead
most=$((1 << 30))

in_service() { docker compose --profile roles exec -T "$@"; }

# Runs in the role's container: the file's bytes, of the plain file that was looked at and no longer than allowed. What
# it may say is not believed; the copy is looked at again where it arrives.
read -r -d '' send <<'SH' || true
[ -f "$1" ] && [ ! -L "$1" ] || exit 3
head -c "$2" "$1"
SH

# Runs in the container of the audit service, with the new copy on standard input.
read -r -d '' receive <<'SH' || true
set -e
umask 077
mkdir -p "$1"
cd "$1"
head -c "$4" > "$2.new"
if [ "$(stat -c %s "$2.new")" -ge "$4" ]; then rm "$2.new"; echo "is longer than $4 bytes"; exit 4; fi
# a line that is being written comes whole the next time
[ "$3" = fixed ] || [ -z "$(tail -c 1 "$2.new")" ] || sed -i '$d' "$2.new"
if [ -e "$2" ]; then
  old=$(stat -c %s "$2")
  if [ "$3" = fixed ]; then cmp -s "$2" "$2.new" || why="is another than the one copied before"
  else head -c "$old" "$2.new" | cmp -s - "$2" || why="does not go on from the one copied before"; fi
  if [ -n "${why:-}" ]; then mv "$2.new" "$2.refused"; echo "$why; the old one stays, the new one is beside it as $2.refused"; exit 4; fi
fi
mv "$2.new" "$2"
SH

result=0
copy() { # role, file, fixed|growing
  local said
  if ! in_service "$1" sh -c "$send" send "$data/$2" "$most" < /dev/null | head -c "$most" > "$copied"; then
    echo "$1: $2 is missing, or no plain file, and was not copied" >&2
    result=1
  elif ! said=$(in_service audit sh -c "$receive" receive "$data/witnesses/$1-1" "$2" "$3" "$most" < "$copied"); then
    echo "$1: $2 ${said:-could not be copied}" >&2
    result=1
  fi
}

copied=$(mktemp)
trap 'rm -f "$copied"' EXIT
for role in retrieve ingest admin; do
  copy "$role" audit.pub fixed
  copy "$role" audit-checkpoints.ndjson growing
done
exit "$result"
