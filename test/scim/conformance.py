"""Holds a SCIM server against scim2-tester. Arguments: address of /scim/v2, bearer token. Fails on any error."""

import sys
from collections import Counter

from httpx2 import Client
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import Status, check_server

address, token = sys.argv[1:3]
http = Client(base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=60)
results = check_server(SyncSCIMClient(http))
for result in results:
    if result.status not in (Status.SUCCESS, Status.COMPLIANT):
        print(f"{result.status.name} {result.resource_type or ''} {result.title}: {result.reason}")
counts = Counter(result.status.name for result in results)
print("scim2-tester:", ", ".join(f"{count} {name}" for name, count in sorted(counts.items())))
sys.exit(1 if any(result.status in (Status.ERROR, Status.CRITICAL) for result in results) else 0)
