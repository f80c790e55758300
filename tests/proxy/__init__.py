"""A proxy between an engine and a real server that does what networks and services do on bad days.

It is no HTTP proxy in the sense of RFC 9110: clients are pointed at its address as if it were the server. It reads each request whole, lets the
first rule that fits decide, passes it on, and remembers what happened, so that a test can say afterwards what was asked for and how often.
"""

from tests.proxy import faults
from tests.proxy.faults import Fault
from tests.proxy.relay import Proxy, Seen, Upstream
from tests.proxy.rules import Rule, asks

__all__ = ["Fault", "Proxy", "Rule", "Seen", "Upstream", "asks", "faults"]
