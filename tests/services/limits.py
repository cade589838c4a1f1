"""Limits on machines, instances and roles together on one machine."""

from rolecall.service import Service

service = Service("net", description="", maximum_instances=2)
router = service.role("router", description="", minimum=1, maximum=2)
guest = service.role("guest", description="", excludes=[router])
watcher = service.role("watcher", description="", excludes=[guest])
free = service.role("free", description="", minimum=2)
